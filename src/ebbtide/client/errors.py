"""What can go wrong when an application hands events to the client."""

from __future__ import annotations

from collections.abc import Sequence

from ebbtide.client.result import EventResult
from ebbtide.domain.errors import EbbtideError


class EmitterError(EbbtideError):
    """Root of the client's errors; an application only sees them when it asked for them."""

    code = "emitter-error"


class EmitterSettingsError(EmitterError):
    """The emitter cannot work with what it was given (address, key, sizes)."""

    code = "emitter-settings-error"


class InvalidEvent(EmitterError):
    """The event cannot be written as JSON without guessing, so it was not taken."""

    code = "invalid-event"


class QueueFull(EmitterError):
    """The queue had no room within the time allowed, so the event was not taken."""

    code = "queue-full"


class EmitterClosed(EmitterError):
    """The emitter was closed before this call, so the event was not taken."""

    code = "emitter-closed"


class DeliveryFailed(EmitterError):
    """Some events got no answer from the server, or one that no retry can change.

    ``results`` holds what became of each event, in the order given: those before the failure
    as the server answered, the others as ``dropped`` with the reason. ``status`` is the HTTP
    status of the last answer, None when there was no answer at all.
    """

    code = "delivery-failed"

    def __init__(
        self, message: str, *, results: Sequence[EventResult] = (), status: int | None = None
    ) -> None:
        super().__init__(message)
        self.results = list(results)
        self.status = status
