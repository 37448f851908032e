"""The one path of every event: check each record, queue the request, promise its results."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial

from ebbtide.domain.event import Event
from ebbtide.domain.ids import ID_MAX_CHARS, to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.tenant import Sighting
from ebbtide.ingest.decode import Records
from ebbtide.ingest.directory import tenant_uuid
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.plain_request import PlainRequests
from ebbtide.ingest.result import Result
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.ingest.writer import Entry, Held, Refused, Submission, Writer

#: What an event's source is called where its producer names none; other doors by their name.
DEFAULT_SOURCES = {"events": "api"}


class Ingestor:
    """What every door calls with the records it has read."""

    def __init__(self, validator: Validator, writer: Writer) -> None:
        self._validator = validator
        self._plain_requests = PlainRequests(validator)
        self._writer = writer

    def submit(
        self,
        incoming: Sequence[Incoming],
        *,
        door: str,
        received_at: datetime,
        key: ApiKey | None = None,
        default_source: str | None = None,
        sightings: Sequence[Sighting] = (),
        file: str | None = None,
        lines: Sequence[int] | None = None,
        holds: bool = True,
    ) -> Future[list[Result]]:
        """Check records and queue them.

        Args:
            incoming: records in the order of the request; may be empty.
            door: the way they came in, for metrics and quarantine.
            received_at: when they came, UTC-aware.
            key: the caller's key; when it is bound to a tenant, records without one are that
                tenant's, and records of another tenant are refused.
            default_source: the producer's name where a record has none; by default that of
                the door in :data:`DEFAULT_SOURCES`, or the door itself.
            sightings: what the request says about tenants beside events.
            file, lines: for imports, where each record stood.
            holds: whether rejects go to quarantine; False when they are there already.

        Returns:
            A future with one result per record, done when all of them are durable.

        Raises:
            IngestOverloaded: nothing was queued.
        """
        bound = key.tenant_id if key is not None else None
        source = default_source or DEFAULT_SOURCES.get(door, door)
        generated: set[int] = set()
        plain = None
        if isinstance(incoming, Records):
            plain = self._plain_requests.read(
                incoming.items,
                holds_nul=incoming.holds_nul,
                received_at=received_at,
                default_source=source,
            )
            if plain is not None and bound is not None:
                if {tenant_uuid(sent) for sent in plain.tenant_ids} != {tenant_uuid(bound)}:
                    plain = None  # some of it is refused, and the caller is told which
        submission = Submission(
            door=door,
            received_at=received_at,
            incoming=incoming,
            judge=partial(self._check, incoming, received_at, source, bound, generated),
            plain=plain,
            sightings=sightings,
            key_id=key.key_id if key is not None else None,
            source_file=file,
            lines=lines,
            generated=generated,
            holds=holds,
        )
        return self._writer.submit(submission)

    def _check(
        self,
        incoming: Sequence[Incoming],
        received_at: datetime,
        default_source: str,
        bound_tenant: str | None,
        generated: set[int],
    ) -> list[Entry]:
        check = self._validator.check
        bound_uuid = None if bound_tenant is None else to_uuid_text(bound_tenant)
        entries: list[Entry] = []
        for record in incoming:
            fields = record.fields
            if fields is None or record.reason is not None:
                # Under the key's tenant, whomever the record names: that much is certain.
                named = bound_tenant or _id(record.tenant_id)
                entries.append(Held(record.reason or "not_an_object", None, named))
                continue
            if bound_tenant is not None and fields.get("tenant_id") is None:
                fields["tenant_id"] = bound_tenant
            if fields.get("event_id") is None:
                generated.add(len(entries))
            event = check(fields, received_at=received_at, default_source=default_source)
            if type(event) is Rejection:
                tenant_id = _id(fields.get("tenant_id")) or bound_tenant
                event_id = _id(fields.get("event_id"))
                if bound_uuid is not None and tenant_id and tenant_uuid(tenant_id) != bound_uuid:
                    entries.append(Refused("tenant_mismatch", event_id))
                else:
                    entries.append(Held(event.reason, event_id, tenant_id))
                continue
            assert type(event) is Event
            if bound_uuid is not None and tenant_uuid(event.tenant_id) != bound_uuid:
                entries.append(Refused("tenant_mismatch", event.event_id))
            else:
                entries.append(event)
        return entries


def _id(value: object) -> str | None:
    return value if type(value) is str and 0 < len(value) <= ID_MAX_CHARS else None
