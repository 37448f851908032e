"""All customers at one moment, with what is known of the moment itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals.change_log import ChangeLog
from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import Economics, Facts

Pair = tuple[datetime | None, datetime | None]


class Newest:
    """When the newest event happened and when the last one came, read when somebody asks."""

    def __init__(self, read: Callable[[datetime | None], Pair], since: datetime | None) -> None:
        """Make it ready.

        Args:
            read: answers for the events after a moment, or for all of them.
            since: up to there ``known`` holds; None when nothing is known.
        """
        self._read = read
        self._since = since
        self._known: Pair = (None, None)
        self._is_read = False
        self._lock = threading.Lock()

    def read(self) -> Pair:
        """Both moments; None where there is no event.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        with self._lock:
            if not self._is_read:
                found = self._read(self._since)
                at, came = (
                    max(filter(None, pair), default=None)
                    for pair in zip(self._known, found, strict=True)
                )
                self._known, self._is_read = (at, came), True
            return self._known

    def followed_by(
        self, read: Callable[[datetime | None], Pair], at: datetime, since: datetime
    ) -> Newest:
        """The same for a later moment, of what this one knows and what came after ``since``.

        Args:
            at: the moment of this one.
        """
        with self._lock:
            known, is_read, before = self._known, self._is_read, self._since
        if not is_read and before is None:
            return Newest(read, None)
        later = Newest(read, min(since, at) if is_read or before is None else min(since, before))
        later._known = known
        return later


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
    newest: Newest

    @property
    def newest_event_at(self) -> datetime | None:
        """When the newest event up to the moment happened; None when there is none."""
        return self.newest.read()[0]

    @property
    def newest_received_at(self) -> datetime | None:
        """When the last of them came."""
        return self.newest.read()[1]


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
    money: Mapping[str, Economics]  # by tenant id; who had no call in 60 days is not in it

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
