"""Which playbooks fit a customer now, and the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebbtide.catalog.condition import Condition
from ebbtide.catalog.playbook import Playbook
from ebbtide.signals.measures import Measured, Value


@dataclass(frozen=True, slots=True)
class Match:
    """One playbook whose conditions all hold; its reasons are put into words when asked for."""

    playbook_id: str
    title: str
    risk_level: str
    reason: str  # why the customer needs attention, in one line
    _when: tuple[Condition, ...] = field(repr=False)
    _measured: Measured = field(repr=False, compare=False)

    @property
    def signals(self) -> tuple[str, ...]:
        """Each condition in words, with its number."""
        return tuple(self._measured.says(condition) for condition in self._when)

    @property
    def numbers(self) -> Mapping[str, Value]:
        """Each measure that was compared, exact, and the policy that the words name."""
        numbers: dict[str, Value] = {}
        for one in self._when:
            numbers[one.name] = self._measured.value(one.metric, one.event_types)
            if one.metric == "policy_block_repeats_7d":
                numbers["policy_id"] = self._measured.top_policy()[0]
        return numbers


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
    return Match(
        playbook_id=playbook.id,
        title=playbook.title,
        risk_level=playbook.risk_level,
        reason=measured.text(playbook.reason),
        _when=playbook.when,
        _measured=measured,
    )
