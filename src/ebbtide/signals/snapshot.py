"""All customers at one moment, with what is known of the moment itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.change_log import ChangeLog
from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import Facts


@dataclass(frozen=True, slots=True)
class Moment:
    """What an answer is for and what it knows.

    ``asked_known_at`` is what the stores are asked with; None: everything counts. ``is_stored``:
    a job computed it, not the read.
    """

    as_of: datetime
    known_at: datetime
    asked_known_at: datetime | None
    computed_at: datetime
    is_stored: bool
    newest_event_at: datetime | None
    newest_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Customers and their facts at one moment, by tenant UUID.

    ``standing`` are the same customers as they were last assessed: at this moment or an earlier
    one since which nothing has jumped. They are good for choosing and ranking; ages and the
    newest moments of a customer stand in ``customers``.
    """

    moment: Moment
    customers: Mapping[str, Customer]
    facts: Mapping[str, Facts]
    log: ChangeLog
    standing: Mapping[str, Customer]

    def has(self, tenant_id: str) -> bool:
        """Whether it had an event by then."""
        return to_uuid_text(tenant_id) in self.customers

    def find(self, tenant_id: str) -> tuple[Facts, Customer]:
        """One customer in any spelling of its id.

        Raises:
            NotFound: it had no event by then.
        """
        uuid = to_uuid_text(tenant_id)
        if uuid not in self.customers:
            raise NotFound("there is no such customer, or it had no event by then")
        return self.facts[uuid], self.customers[uuid]

    def now(self, customers: Iterable[Customer]) -> list[Customer]:
        """The same customers as they are at this moment."""
        return [self.customers[to_uuid_text(one.tenant_id)] for one in customers]
