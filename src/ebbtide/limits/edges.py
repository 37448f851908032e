"""When a resource crosses its lines: told once at each edge, not at each sample."""

from __future__ import annotations

from collections.abc import Iterable

from ebbtide.domain.resource import Edge, EdgeKind, ResourceSample

WARNING_SHARE = 0.8  # of the limit; the rule for INFRA_LIMIT_HIT
CLEARED_SHARE = 0.75  # below this the next warning is news again; between the two it flutters


def new_edges(before: Iterable[Edge], samples: Iterable[ResourceSample]) -> list[Edge]:
    """Edges that samples of one resource add to those it had.

    Args:
        before: all edges so far, oldest first.
        samples: oldest first; those up to the newest known edge are passed over.
    """
    is_warned = is_exhausted = False
    since = None
    for edge in before:
        since = edge.at
        if edge.kind in (EdgeKind.WARNING, EdgeKind.CLEARED):
            is_warned = edge.kind is EdgeKind.WARNING
        else:
            is_exhausted = edge.kind is EdgeKind.EXHAUSTED
    found = []
    for sample in samples:
        share = sample.saturation
        if share is None or sample.limit is None or (since is not None and sample.at <= since):
            continue
        kinds = []
        if is_warned and share < CLEARED_SHARE:
            is_warned = False
            kinds.append(EdgeKind.CLEARED)
        elif not is_warned and share >= WARNING_SHARE:
            is_warned = True
            kinds.append(EdgeKind.WARNING)
        if is_exhausted != (share >= 1):
            is_exhausted = share >= 1
            kinds.append(EdgeKind.EXHAUSTED if is_exhausted else EdgeKind.RELIEVED)
        found += [
            Edge(sample.resource, sample.at, kind, sample.used, sample.limit) for kind in kinds
        ]
    return found
