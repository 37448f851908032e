"""Which playbooks fit a customer now, and the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebbtide.catalog.playbook import Playbook
from ebbtide.signals.measures import Measured, Value


@dataclass(frozen=True, slots=True)
class Match:
    """One playbook whose conditions all hold."""

    playbook_id: str
    title: str
    risk_level: str
    reason: str  # why the customer needs attention, in one line
    signals: tuple[str, ...]  # each condition in words, with its number
    numbers: Mapping[str, Value]  # each measure that was compared, exact


def match_playbooks(
    measured: Measured, status: str, playbooks: Mapping[str, Playbook]
) -> tuple[Match, ...]:
    """The playbooks whose conditions all hold.

    Args:
        status: active, churned or gone; the last two match none.
        playbooks: by id, the worst level first.

    Returns:
        Matches in the order given; often none.
    """
    if status != "active":
        return ()
    return tuple(
        [
            _match(measured, playbook)
            for playbook in playbooks.values()
            if measured.all_hold(playbook.when)
        ]
    )


def _match(measured: Measured, playbook: Playbook) -> Match:
    numbers: dict[str, Value] = {}
    for condition in playbook.when:
        numbers[condition.name] = measured.value(condition.metric, condition.event_types)
        if condition.metric == "policy_block_repeats_7d":
            numbers["policy_id"] = measured.top_policy()[0]
    return Match(
        playbook_id=playbook.id,
        title=playbook.title,
        risk_level=playbook.risk_level,
        reason=measured.text(playbook.reason),
        signals=tuple(measured.says(condition) for condition in playbook.when),
        numbers=numbers,
    )
