"""What a door hands on for each record it read: its fields, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Outcome
from ebbtide.domain.quarantine import to_raw
from ebbtide.domain.tenant import Sighting

Answer = TypeVar("Answer")

#: The reason of a message that is no event, but went into the tenant directory.
IN_DIRECTORY = "tenant_directory"


class Incoming(NamedTuple):
    """One record of a request, before anybody judged whether it is an event.

    ``fields`` is our canonical JSON object for the validator, None when there is none and
    ``reason`` says why. ``raw`` is what quarantine keeps, or how to find it when it is wanted;
    empty when it is just ``fields`` written as JSON. ``tenant_id`` is whom a record without
    ``fields`` names all the same, so that it goes when that tenant is erased.
    """

    fields: dict[str, Any] | None
    raw: bytes | Callable[[], bytes]
    reason: str | None
    tenant_id: str | None = None

    @property
    def text(self) -> bytes:
        """What quarantine keeps; empty when it is just ``fields`` written as JSON."""
        return self.raw if isinstance(self.raw, bytes) else self.raw()


class Aside(NamedTuple):
    """A message that is no event and does not wait either; its answer is settled.

    Laid out like a result: ``STORED`` with :data:`IN_DIRECTORY`, or ``REFUSED`` when the
    mapping says to skip such messages or the key may not speak for that tenant.
    """

    event_id: str | None
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a compatible door made of one request.

    ``messages`` are in the order of the request. ``sightings`` are what they say about tenants;
    an :data:`IN_DIRECTORY` answer may be given only when these are written.
    """

    messages: tuple[Incoming | Aside, ...]
    sightings: tuple[Sighting, ...] = ()

    @property
    def incoming(self) -> list[Incoming]:
        """The messages that are events or must wait in quarantine, in order."""
        return [one for one in self.messages if isinstance(one, Incoming)]

    @property
    def asides(self) -> list[Aside]:
        """The messages whose answer is settled without an event, in order."""
        return [one for one in self.messages if isinstance(one, Aside)]

    def in_order(self, results: Sequence[Answer]) -> list[Answer | Aside]:
        """The answers of all messages in the order of the request.

        Args:
            results: one for each of :attr:`incoming`, in that order.

        Raises:
            ValueError: there are more or fewer results than that.
        """
        if len(results) != len(self.incoming):
            raise ValueError("each message that was submitted needs one result")
        left = iter(results)
        return [one if isinstance(one, Aside) else next(left) for one in self.messages]


def write_raw(value: object) -> bytes:
    """A decoded JSON value as the text that quarantine keeps; lone surrogates and NaN stay.

    Raises:
        BadRequest: it nests too deep to be written.
    """
    try:
        return to_raw(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise BadRequest("the body nests too deep, or holds a number too long to keep") from error
