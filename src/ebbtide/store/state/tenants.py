"""The tenant directory on its shelf: who was seen under which id, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import ID_MAX_CHARS, to_uuid_text
from ebbtide.domain.quarantine import printable
from ebbtide.domain.tenant import Contact, Fact, Origin, Provenance, Sighting, Tenant
from ebbtide.domain.time import format_instant, parse_instant
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import ERASURES, TENANT_PASTS, TENANTS

_UUIDS_PER_QUERY = 10_000  # below the number of parameters that either engine takes


class Tenants:
    """All tenants ever seen or entered, and a ledger of those that were erased."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, sightings: Sequence[Sighting]) -> dict[str, str]:
        """Enter tenants that are new, and settle what was said about any of them.

        Repeating sightings, or giving them in another order, leads to the same directory,
        except that the first spelling of an id to come here is the one that stays.

        Args:
            sightings: any number, of any tenants, in order of arrival.

        Returns:
            The canonical spelling of the id by tenant UUID, one for each tenant given.
        """
        seen = _merge(sightings)
        if not seen:
            return {}
        # In one order everywhere, so that two batches cannot wait for each other.
        uuids = sorted(seen)
        insert = self._database.insert(TENANTS)
        first_seen_at = TENANTS.c.first_seen_at
        upsert = insert.on_conflict_do_update(
            index_elements=[TENANTS.c.tenant_uuid],
            set_={"first_seen_at": insert.excluded.first_seen_at},
            where=insert.excluded.first_seen_at < first_seen_at,
        )
        with self._database.write() as connection:
            connection.execute(
                upsert,
                [
                    {
                        "tenant_uuid": uuid,
                        "tenant_id": seen[uuid].tenant_id,
                        "first_seen_at": seen[uuid].seen_at,
                        "provenance": "{}",
                    }
                    for uuid in uuids
                ],
            )
            _apply(connection, {uuid: seen[uuid] for uuid in uuids if seen[uuid].facts})
            return _spellings(connection, uuids)

    def put(self, tenant_id: str, facts: Iterable[Fact], at: datetime) -> Tenant:
        """Enter or edit one tenant by hand and return it as it then stands.

        Args:
            tenant_id: in any spelling; the known one stays.
            facts: what is said; fields without a fact stay as they are.
            at: the moment of the edit, UTC-aware.
        """
        sighting = Sighting.of(tenant_id, at, facts)
        self.remember([sighting])
        return self.get(sighting.tenant_uuid)

    def get(self, tenant_uuid: str) -> Tenant:
        """One tenant.

        Raises:
            NotFound: the directory does not know it.
        """
        query = sa.select(TENANTS).where(TENANTS.c.tenant_uuid == to_uuid_text(tenant_uuid))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("the directory does not know this tenant")
        return _from_row(row)

    def find(
        self, tenant_uuids: Collection[str], known_at: datetime | None = None
    ) -> dict[str, Tenant]:
        """The entries of some tenants by UUID; one that the directory does not know is left out.

        Args:
            known_at: with the name, the contacts, and the plan and price that people had entered
                by then; None means now.
        """
        found: dict[str, Tenant] = {}
        with self._database.read() as connection:
            for part in _slices(sorted(tenant_uuids)):
                query = sa.select(TENANTS).where(TENANTS.c.tenant_uuid.in_(part))
                rows = [_from_row(row) for row in connection.execute(query)]
                pasts = {} if known_at is None else _pasts(connection, part, known_at)
                for one in rows:
                    past = pasts.get(one.tenant_uuid)
                    found[one.tenant_uuid] = one if past is None else _from_past(one, past)
        return found

    def priced(self) -> Sequence[Tenant]:
        """All entries that hold a price, from an event or by hand, in no order."""
        query = sa.select(TENANTS).where(TENANTS.c.price_usd.is_not(None))
        with self._database.read() as connection:
            return [_from_row(row) for row in connection.execute(query)]

    def newest_edit(self) -> int:
        """The number of the newest change by hand, another one after each; 0 before the first.

        An erasure takes its tenant's along.
        """
        with self._database.read() as connection:
            return connection.scalar(sa.select(sa.func.max(TENANT_PASTS.c.id))) or 0

    def list(self, *, after: str | None = None, limit: int = 100) -> list[Tenant]:
        """A page of tenants in the order of their ids, by code point.

        Args:
            after: the ``tenant_id`` of the last tenant of the page before; None at first.
            limit: tenants per page.

        Returns:
            Tenants; empty at the end.
        """
        query = sa.select(TENANTS).order_by(TENANTS.c.tenant_id).limit(limit)
        if after is not None:
            query = query.where(TENANTS.c.tenant_id > printable(after, ID_MAX_CHARS))
        with self._database.read() as connection:
            return [_from_row(row) for row in connection.execute(query)]

    def spellings(self, tenant_uuids: Collection[str]) -> dict[str, str]:
        """The canonical spelling by UUID of those that the directory knows."""
        with self._database.read() as connection:
            return _spellings(connection, sorted(tenant_uuids))

    def delete(self, tenant_uuid: str) -> bool:
        """Drop a tenant's entry, not its events; returns whether there was one."""
        uuid = to_uuid_text(tenant_uuid)
        with self._database.write() as connection:
            connection.execute(sa.delete(TENANT_PASTS).where(TENANT_PASTS.c.tenant_uuid == uuid))
            dropped = connection.execute(sa.delete(TENANTS).where(TENANTS.c.tenant_uuid == uuid))
            return dropped.rowcount > 0

    def erased_at(self, tenant_uuid: str) -> datetime | None:
        """When this tenant's data was last erased; None when it never was."""
        query = sa.select(ERASURES.c.erased_at).where(
            ERASURES.c.tenant_uuid == to_uuid_text(tenant_uuid)
        )
        with self._database.read() as connection:
            return connection.scalar(query)

    def erasures(self) -> dict[str, datetime]:
        """The whole ledger: newest erasure by tenant UUID; empty when none was erased."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(ERASURES).order_by(ERASURES.c.erased_at))
            return {row.tenant_uuid: row.erased_at for row in rows}


def _merge(sightings: Iterable[Sighting]) -> dict[str, Sighting]:
    """One sighting per tenant: the first spelling, the earliest moment, everything said."""
    merged: dict[str, Sighting] = {}
    for one in sightings:
        known = merged.get(one.tenant_uuid)
        if known is not None:
            one = Sighting(
                known.tenant_uuid,
                known.tenant_id,
                min(known.seen_at, one.seen_at),
                known.facts + one.facts,
            )
        merged[one.tenant_uuid] = one
    return merged


def _apply(connection: sa.Connection, sightings: Mapping[str, Sighting]) -> None:
    """Settle new facts with the known ones.

    No other transaction comes between reading and writing: the caller's upsert has locked the
    rows, also those that it left as they were.
    """
    for part in _slices(list(sightings)):
        query = sa.select(TENANTS).where(TENANTS.c.tenant_uuid.in_(part))
        known = [_from_row(row) for row in connection.execute(query)]
        changed = [
            (old, new)
            for old in known
            if (new := old.with_facts(sightings[old.tenant_uuid].facts)) != old
        ]
        if changed:
            update = sa.update(TENANTS).where(TENANTS.c.tenant_uuid == sa.bindparam("uuid"))
            connection.execute(
                update, [{"uuid": new.tenant_uuid, **_facts_to_row(new)} for _, new in changed]
            )
        pasts = [old for old, new in changed if _said(old) != _said(new)]
        if pasts:
            connection.execute(
                sa.insert(TENANT_PASTS),
                [
                    {
                        "tenant_uuid": old.tenant_uuid,
                        "recorded_at": sightings[old.tenant_uuid].seen_at,
                        "before": _to_past(old),
                    }
                    for old in pasts
                ],
            )


def _said(tenant: Tenant) -> tuple[Any, ...]:
    """What an answer about an earlier moment takes from the directory and not from events."""
    by_hand = [
        (getattr(tenant, name), said)
        for name in ("plan", "price_usd")
        if (said := tenant.provenance.get(name)) is not None and said.origin is Origin.API
    ]
    return tenant.name, tenant.contacts, by_hand


def _pasts(connection: sa.Connection, uuids: Sequence[str], known_at: datetime) -> dict[str, str]:
    """What entries were at a moment, as far as they have changed since, by tenant UUID."""
    table = TENANT_PASTS.c
    query = (
        sa.select(table.tenant_uuid, table.before)
        .where(table.tenant_uuid.in_(uuids), table.recorded_at > known_at)
        # The first change after the moment is the last one read, and stays.
        .order_by(table.recorded_at.desc(), table.id.desc())
    )
    return {row.tenant_uuid: row.before for row in connection.execute(query)}


def _spellings(connection: sa.Connection, tenant_uuids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _slices(tenant_uuids):
        query = sa.select(TENANTS.c.tenant_uuid, TENANTS.c.tenant_id)
        rows = connection.execute(query.where(TENANTS.c.tenant_uuid.in_(part)))
        found.update((row.tenant_uuid, row.tenant_id) for row in rows)
    return found


def _slices(items: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(items), _UUIDS_PER_QUERY):
        yield items[start : start + _UUIDS_PER_QUERY]


def _facts_to_row(tenant: Tenant) -> dict[str, Any]:
    contacts, provenance = tenant.contacts, tenant.provenance
    return {
        "name": tenant.name,
        "plan": tenant.plan,
        "price_usd": None if tenant.price_usd is None else str(tenant.price_usd),
        "started_at": tenant.started_at,
        "cancelled_at": tenant.cancelled_at,
        "contacts": None if contacts is None else json.dumps([asdict(one) for one in contacts]),
        "provenance": json.dumps(
            {name: [p.origin, format_instant(p.at)] for name, p in sorted(provenance.items())}
        ),
    }


def _to_past(tenant: Tenant) -> str:
    row = _facts_to_row(tenant)
    return json.dumps(
        {name: row[name] for name in ("name", "plan", "price_usd", "contacts", "provenance")},
        ensure_ascii=False,
    )


def _from_past(tenant: Tenant, text: str) -> Tenant:
    said = json.loads(text)
    return replace(
        tenant,
        name=said["name"],
        plan=said["plan"],
        price_usd=_price(said["price_usd"]),
        contacts=_contacts(said["contacts"]),
        provenance=_provenance(said["provenance"]),
    )


def _from_row(row: sa.Row[Any]) -> Tenant:
    return Tenant(
        tenant_uuid=row.tenant_uuid,
        tenant_id=row.tenant_id,
        first_seen_at=row.first_seen_at,
        name=row.name,
        plan=row.plan,
        price_usd=_price(row.price_usd),
        started_at=row.started_at,
        cancelled_at=row.cancelled_at,
        contacts=_contacts(row.contacts),
        provenance=_provenance(row.provenance),
    )


def _price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _contacts(text: str | None) -> tuple[Contact, ...] | None:
    return None if text is None else tuple(Contact(**one) for one in json.loads(text))


def _provenance(text: str) -> dict[str, Provenance]:
    return {
        name: Provenance(Origin(origin), parse_instant(at))
        for name, (origin, at) in json.loads(text).items()
    }
