"""The Segment door: calls of its HTTP tracking API become events and tenant directory facts.

Pure functions: a parsed body in, a :class:`Reading` out. What an event name means is said by
``catalog/sources/segment.toml`` and the user's own mapping; ``docs/howto/segment.md`` tells
the whole story.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ebbtide.catalog.mapping import SourceMapping, text_of
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import FUTURE_TOLERANCE_S, Outcome
from ebbtide.domain.ids import ID_MAX_CHARS, to_uuid_text
from ebbtide.domain.tenant import Contact, Fact, Origin, Sighting, to_price_usd
from ebbtide.domain.time import EPOCH, format_instant, parse_instant
from ebbtide.ingest.decode import (
    DEPTH_MAX,
    check_number,
    decode_json,
    fault,
    has_repeated_key,
)
from ebbtide.ingest.incoming import IN_DIRECTORY, Aside, Incoming, Reading, write_raw
from ebbtide.ingest.translate import SKIPPED, UNMAPPED, translate
from ebbtide.store.events.base import ORIGINAL_TIMESTAMP

MESSAGE_TYPES = ("track", "identify", "group", "page", "screen", "alias")
CALLS = (*MESSAGE_TYPES, "batch")  #: the last part of each path, ``/v1/<call>``

_FUTURE = timedelta(seconds=FUTURE_TOLERANCE_S)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def write_key(body: object) -> str | None:
    """The ``writeKey`` of a parsed body; None when it names none."""
    key = body.get("writeKey") if isinstance(body, dict) else None
    return key if isinstance(key, str) and key else None


def read(
    call: str,
    body: object,
    *,
    received_at: datetime,
    mapping: SourceMapping,
    bound_tenant: str | None = None,
    is_past: Callable[[Sighting], bool] = lambda _: False,
) -> Reading:
    """Read the body of one call.

    Args:
        call: one of :data:`CALLS`, from the path.
        body: the parsed JSON body.
        received_at: when it came, UTC-aware; the clock-skew rule counts from it.
        mapping: the one named ``segment``.
        bound_tenant: the tenant of the caller's key, None when it may speak for all.
        is_past: whether the directory may no longer hear of it, for that past was erased.

    Returns:
        One message for each of the body's, in order; empty for an empty batch.

    Raises:
        BadRequest: the body is not an object, or a batch without a list.
        BodyTooLarge: a batch of more messages than a request may hold.
    """
    if not isinstance(body, dict):
        raise BadRequest("send a JSON object")
    messages: object = [body]
    around: dict[str, Any] = {"type": call}
    if call == "batch":
        messages = body.get("batch")
        around = {name: body[name] for name in ("sentAt", "context") if body.get(name) is not None}
        if has_repeated_key(body):
            raise BadRequest("a key stands twice in the body")
    if not isinstance(messages, list):
        raise BadRequest('send {"batch": [...]}')
    check_number(messages)
    reader = _Reader(received_at, mapping, bound_tenant, around, is_past)
    read_messages = tuple(reader.message(message) for message in messages)
    return Reading(read_messages, tuple(reader.sightings))


def reread(
    raw: bytes,
    *,
    received_at: datetime,
    mapping: SourceMapping,
    bound_tenant: str | None = None,
    is_past: Callable[[Sighting], bool] = lambda _: False,
) -> Reading:
    """Read again what quarantine kept of one message, with the time it first came.

    Raises:
        BadRequest: it can still not be read.
    """
    return read(
        "batch",
        {"batch": [decode_json(raw)]},
        received_at=received_at,
        mapping=mapping,
        bound_tenant=bound_tenant,
        is_past=is_past,
    )


def happened_at(message: Mapping[str, Any], received_at: datetime) -> datetime | None:
    """When a message happened, by our clock: ``receivedAt - (sentAt - originalTimestamp)``.

    The sender's clock may be wrong, but the time between the event and the sending is right
    on any clock. ``originalTimestamp`` is the field of that name, or else ``timestamp``.

    Args:
        message: with the batch's ``sentAt`` where it has none of its own.
        received_at: when we got it, UTC-aware.

    Returns:
        The corrected moment. Without a usable ``sentAt`` nothing can be corrected and the time
        is believed as sent; without any time it is ``received_at``, as Segment defines it. A
        message that already went through a Segment server (it carries ``receivedAt``,
        ``originalTimestamp`` and ``timestamp``) has its corrected ``timestamp`` taken as it
        is. None when what stands there is no moment with an offset.
    """
    if _is_forwarded(message):
        return _instant(message.get("timestamp"))
    stated = _stated_time(message)
    if stated is None:
        return received_at
    original, sent = _instant(stated), _instant(message.get("sentAt"))
    if original is None or sent is None:
        return original
    try:
        return (received_at - (sent - original)).astimezone(UTC)
    except OverflowError:  # far outside the calendar, and so outside what is believed
        return _FIRST if sent > original else _LAST


def _is_computed(message: Mapping[str, Any]) -> bool:
    """Whether :func:`happened_at` depends on when we got the message."""
    if _is_forwarded(message):
        return False
    stated = _stated_time(message)
    return stated is None or None not in (_instant(stated), _instant(message.get("sentAt")))


def _is_forwarded(message: Mapping[str, Any]) -> bool:
    names = ("receivedAt", "originalTimestamp", "timestamp")
    return all(_instant(message.get(name)) is not None for name in names)


def _stated_time(message: Mapping[str, Any]) -> Any:
    """The sender's own time, whatever it looks like; None when there is none."""
    for name in ("originalTimestamp", "timestamp"):
        value = message.get(name)
        if value is not None and value != "":
            return value
    return None


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_instant(value)
    except (ValueError, OverflowError):
        return None


def _whole(message: Mapping[str, Any], around: Mapping[str, Any]) -> dict[str, Any]:
    """A message as if it had come alone: with what its path or its batch says about it.

    Without the write key: that is a secret, no part of what happened, and must not stand in
    quarantine.
    """
    whole = {name: value for name, value in message.items() if name != "writeKey"}
    for name, value in around.items():
        if whole.get(name) is None:
            whole[name] = value
    shared, own = around.get("context"), message.get("context")
    if isinstance(shared, dict) and isinstance(own, dict):
        whole["context"] = {**shared, **own}
    return whole


class _Reader:
    """Reads the messages of one request and gathers what they say about tenants."""

    def __init__(
        self,
        received_at: datetime,
        mapping: SourceMapping,
        bound_tenant: str | None,
        around: dict[str, Any],
        is_past: Callable[[Sighting], bool],
    ) -> None:
        self.received_at = received_at
        self.mapping = mapping
        self.bound_tenant = bound_tenant
        self.around = around
        self.is_past = is_past
        self.fault_around = fault(around, DEPTH_MAX)
        self.sightings: list[Sighting] = []

    def message(self, message: object) -> Incoming | Aside:
        if not isinstance(message, dict):
            return Incoming(None, write_raw(message), "not_an_object")
        whole = _whole(message, self.around)
        raw = write_raw(whole)
        reason = fault(message, DEPTH_MAX) or self.fault_around
        reason = reason or _type_fault(whole.get("type"), self.around.get("type"))
        if reason is not None:
            return Incoming(None, raw, reason)
        return self.event(whole, raw)

    def event(self, message: dict[str, Any], raw: bytes) -> Incoming | Aside:
        moment = happened_at(message, self.received_at)
        timestamp = _stated_time(message) if moment is None else format_instant(moment)
        fields = translate(self.mapping, {**message, "timestamp": timestamp})
        if message["type"] in ("identify", "group"):
            said = self.directory_facts(message, moment)
            if isinstance(said, str):
                return Incoming(None, raw, said)
            if said is not None and not self.may_speak_for(said.tenant_id):
                return Aside(_message_id(message), Outcome.REFUSED, "tenant_mismatch")
            if said is not None and self.is_past(said):
                if fields is None:
                    return Aside(_message_id(message), Outcome.REFUSED, "erased_tenant")
            elif said is not None:
                self.sightings.append(said)
            if fields is None:
                return Aside(_message_id(message), Outcome.STORED, IN_DIRECTORY)
        if fields is None:
            if self.mapping.otherwise == "skip":
                return Aside(_message_id(message), Outcome.REFUSED, SKIPPED)
            return Incoming(None, raw, UNMAPPED)
        if _is_computed(message):
            fields["metadata"] = fields.get("metadata", {}) | {
                ORIGINAL_TIMESTAMP: _stated_time(message)
            }
        return Incoming(fields, raw, None)

    def may_speak_for(self, tenant_id: str) -> bool:
        bound = self.bound_tenant
        return bound is None or to_uuid_text(bound) == to_uuid_text(tenant_id)

    def directory_facts(
        self, message: dict[str, Any], moment: datetime | None
    ) -> Sighting | str | None:
        """What an identify or group call says about its tenant, or why it cannot be believed."""
        tenant_id = _tenant_id(message) or self.bound_tenant
        if tenant_id is None:
            return "missing_tenant_id"
        if len(tenant_id) > ID_MAX_CHARS:
            return "invalid_tenant_id"
        if "\0" in tenant_id:
            return "nul_character"
        reason = self.time_fault(message, moment)
        if reason is not None or moment is None:
            return reason
        traits = message.get("traits")
        if traits is not None and not isinstance(traits, dict):
            return "invalid_traits"
        said = _company_of(traits or {}, tenant_id) if message["type"] == "identify" else traits
        facts = _facts(moment, said or {})
        if isinstance(facts, str):
            return facts
        return Sighting.of(tenant_id, self.received_at, facts, said_at=moment)

    def time_fault(self, message: dict[str, Any], moment: datetime | None) -> str | None:
        # A fact from the future would outrank every later one, so the rules of events hold.
        if moment is None:
            return "naive_timestamp" if _is_naive(_stated_time(message)) else "invalid_timestamp"
        if moment > self.received_at + _FUTURE:
            return "future_timestamp"
        return "timestamp_before_1970" if moment < EPOCH else None


def _type_fault(named: object, call: str | None) -> str | None:
    if named is None:
        return "missing_type"
    if not isinstance(named, str) or named not in MESSAGE_TYPES:
        return "invalid_type"
    return "type_contradicts" if call is not None and named != call else None


def _is_naive(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        return False


def _message_id(message: Mapping[str, Any]) -> str | None:
    return text_of(message.get("messageId")) or None


def _tenant_id(message: Mapping[str, Any]) -> str | None:
    """The group a message is about: ``groupId`` of a group call, else ``context.groupId``."""
    context = message.get("context")
    shared = context.get("groupId") if isinstance(context, dict) else None
    own = message.get("groupId") if message["type"] == "group" else None
    return text_of(own) or text_of(shared) or None


def _company_of(traits: Mapping[str, Any], tenant_id: str) -> Mapping[str, Any]:
    """The reserved trait ``company`` of a user; empty when it is not about this tenant.

    A user's own traits are no facts about the customer, so they are not taken.
    """
    company = traits.get("company")
    if not isinstance(company, dict):
        return {}
    named = text_of(company.get("id"))
    same = not named or to_uuid_text(named) == to_uuid_text(tenant_id)
    return {name: company.get(name) for name in ("name", "plan")} if same else {}


def _facts(moment: datetime, traits: Mapping[str, Any]) -> list[Fact] | str:
    facts = []
    for name in ("name", "plan", "email"):
        value = traits.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > ID_MAX_CHARS:
            return f"invalid_trait:{name}"
        if "\0" in value:
            return "nul_character"
        if name == "email":
            contacts = (Contact(email=value),)
            facts.append(Fact("contacts", contacts, moment, Origin.EVENT))
        else:
            facts.append(Fact(name, value, moment, Origin.EVENT))
    price = traits.get("price_usd")
    if price is not None:
        price_usd = to_price_usd(price)
        if price_usd is None:
            return "invalid_trait:price_usd"
        facts.append(Fact("price_usd", price_usd, moment, Origin.EVENT))
    return facts
