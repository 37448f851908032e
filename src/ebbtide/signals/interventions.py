"""What should be done for a customer on the list, how soon, and why (interventions/1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ebbtide.catalog.playbook import PRIORITIES, Playbook
from ebbtide.catalog.signal import InterventionCase
from ebbtide.domain.intervention import Suggestion
from ebbtide.signals.measures import Measured
from ebbtide.signals.playbooks import Match


def suggest(
    measured: Measured, matches: Sequence[Match], playbooks: Mapping[str, Playbook]
) -> tuple[Suggestion, ...]:
    """Every row of the table that speaks of this tenant.

    Args:
        measured: a tenant on the list, its risk already set.
        matches: the playbooks that fit.
        playbooks: by id.

    Returns:
        At least one, the most urgent first, in the order of the table within one priority.
        Each has one signal or more. A playbook is begun by one row only.
    """
    suggestions = [
        _suggestion(case, measured, match, playbooks) for case, match in begun_by(measured, matches)
    ]
    return tuple(sorted(suggestions, key=lambda one: PRIORITIES.index(one.priority)))


def begun_by(
    measured: Measured, matches: Sequence[Match]
) -> list[tuple[InterventionCase, Match | None]]:
    """Every row of the table that speaks of this tenant, with the playbook that it begins."""
    signals = measured.rules.signals
    cases = [case for case in signals.interventions if case.when and measured.all_hold(case.when)]
    if not cases:
        cases = [case for case in signals.interventions if not case.when]
    if not matches:
        return [(case, None) for case in cases]
    open_matches = {match.playbook_id: match for match in matches}
    found = []
    for case in cases:
        begun = next((name for name in case.playbooks if name in open_matches), None)
        found.append((case, None if begun is None else open_matches.pop(begun)))
    return found


def _suggestion(
    case: InterventionCase,
    measured: Measured,
    match: Match | None,
    playbooks: Mapping[str, Playbook],
) -> Suggestion:
    said = [measured.says(condition) for condition in case.when]
    if match is not None:
        said += [signal for signal in match.signals if signal not in said]
    if not said:  # on the list for components that no row of the table speaks of
        said = [f"{measured.primary_risk_reason}, signal strength {measured.risk_signal_strength}"]
    return Suggestion(
        tenant_id=measured.facts.tenant_id,
        rule=case.rule,
        intervention_type=case.intervention_type,
        priority=case.priority,
        suggested_action=measured.text(case.suggested_action),
        context=measured.text(case.context),
        expected_outcome=measured.text(case.expected_outcome),
        triggering_signals=tuple(said),
        playbook_id=None if match is None else match.playbook_id,
        window_days=None if match is None else playbooks[match.playbook_id].success.within_days,
    )
