"""Everything that is suggested for one customer, as rows are made of it."""

from __future__ import annotations

from collections.abc import Container, Mapping

from ebbtide.catalog.playbook import Playbook
from ebbtide.domain.intervention import Suggestion
from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import Economics
from ebbtide.signals.playbooks import Match

#: How soon a playbook is to be begun, by its level.
_PRIORITY = {"critical": "immediate", "high": "today", "medium": "this_week", "low": "this_week"}


def suggestions_of(customer: Customer, playbooks: Mapping[str, Playbook]) -> list[Suggestion]:
    """The customer's interventions, and the first step of each playbook that none of them begins.

    Without the latter the success of a playbook would be measured only for those customers whose
    other numbers happen to suggest its first step too.
    """
    interventions = customer.interventions
    begun = {one.playbook_id for one in interventions}
    return [
        *interventions,
        *(
            _first_step(customer.tenant_id, match, playbooks[match.playbook_id])
            for match in customer.playbooks
            if match.playbook_id not in begun
        ),
    ]


def rules_of(customer: Customer, economics: Economics | None) -> list[str]:
    """The rules of all that is suggested for one customer, before it is put into words.

    Args:
        customer: as it was last assessed; what decides here jumps, and is never stale.
        economics: its money at the moment in question.
    """
    begins = customer.begins(economics)
    begun = {match.playbook_id for _, match in begins if match is not None}
    return [
        *(case.rule for case, _ in begins),
        *(
            _first_step_rule(match.playbook_id)
            for match in customer.playbooks
            if match.playbook_id not in begun
        ),
    ]


class KnownRules:
    """The rules of customers as they were last asked for: most customers are as they were.

    Of money, rules ask for the warning alone, and of all else a customer speaks as it was assessed.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Customer, str | None, list[str]]] = {}

    def of(self, uuid: str, customer: Customer, economics: Economics | None) -> list[str]:
        """The same as :func:`rules_of`."""
        if not customer.risk.is_on_list:
            return rules_of(customer, economics)
        warning = customer.margin_warning(economics)
        known = self._known.get(uuid)
        if known is not None and known[0] is customer and known[1] == warning:
            return known[2]
        rules = rules_of(customer, economics)
        self._known[uuid] = customer, warning, rules
        return rules

    def keep(self, uuids: Container[str]) -> None:
        """Forget all others."""
        for uuid in [uuid for uuid in self._known if uuid not in uuids]:
            del self._known[uuid]


def _first_step_rule(playbook_id: str) -> str:
    return f"playbook:{playbook_id}"


def _first_step(tenant_id: str, match: Match, playbook: Playbook) -> Suggestion:
    step = playbook.steps[0]
    return Suggestion(
        tenant_id=tenant_id,
        rule=_first_step_rule(playbook.id),
        intervention_type=step.type,
        priority=_PRIORITY[match.risk_level],
        suggested_action=step.action,
        context=match.reason,
        expected_outcome=playbook.success.text,
        triggering_signals=match.signals,
        playbook_id=playbook.id,
        window_days=playbook.success.within_days,
    )
