"""Keeps calls to models of tenants that want it: without personal data, sealed, and for a time.

What is kept has first lost what the recognisers of personal data find, then is sealed with
AES-256-GCM under a key that the store does not have. The tenant and the call's id are sealed in:
a row that is put in the place of another does not open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from ebbtide.domain.call import Call, Message
from ebbtide.domain.errors import EbbtideError, NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import TimeWindow
from ebbtide.guard.detectors.pii import redact
from ebbtide.store.state.recordings import (
    RecordingChoice,
    Recordings,
    SealedCall,
    recorded_policies,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RETENTION_DAYS, RETENTION_MAX_DAYS = 30, 730
CHOICES_S = 1.0  # a choice holds in every process within this time
_NONCE_BYTES = 12
_FORM = b"ebbtide recorded call 1"

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Call).decode


class RecordingBroken(EbbtideError):
    """A recorded call cannot be opened: its key is not given, or its bytes were changed."""

    code = "recording-broken"


class Vault:
    """Seals and opens bytes; the first key seals, all of them open.

    Args:
        keys: of 32 bytes each.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys: dict[str, AESGCM] = {}
        if keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._keys = {_key_id(one): AESGCM(one) for one in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, plain: bytes, about: bytes) -> tuple[str, bytes]:
        """Seal bytes.

        Args:
            about: what they belong to; needed again to open them.

        Returns:
            Which key opens them, and the sealed bytes.

        Raises:
            WrongState: there is no key.
        """
        for key_id, key in self._keys.items():
            nonce = os.urandom(_NONCE_BYTES)
            return key_id, nonce + key.encrypt(nonce, plain, about)
        raise WrongState(NO_KEY)

    def open(self, key_id: str, sealed: bytes, about: bytes) -> bytes:
        """Open what was sealed.

        Raises:
            RecordingBroken: the key is not given, or the bytes are not those that were sealed.
        """
        from cryptography.exceptions import InvalidTag

        key = self._keys.get(key_id)
        if key is None:
            raise RecordingBroken(f"the key {key_id} that sealed this is not given")
        try:
            return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except InvalidTag as error:
            raise RecordingBroken("a recorded call was changed, and does not open") from error


NO_KEY = (
    "nothing can be recorded without a key: set EBBTIDE_RECORDING_KEY_FILE or "
    "EBBTIDE_RECORDING_KEY (openssl rand -base64 32) and start again"
)


class Recorder:
    """Records calls, and reads what was recorded; from any thread."""

    def __init__(self, shelf: Recordings, vault: Vault) -> None:
        self._shelf = shelf
        self.vault = vault
        self._choices: dict[str, RecordingChoice] = {}
        self._until = 0.0
        self._lock = Lock()

    @property
    def is_possible(self) -> bool:
        """Whether there is a key to seal with."""
        return bool(self.vault)

    def choose(
        self, tenant_id: str, *, is_on: bool, retention_days: int, at: datetime, by: str
    ) -> RecordingChoice:
        """Switch the recording of a tenant's calls on or off.

        Args:
            retention_days: for how long calls are kept, those of the past too.

        Raises:
            WrongState: it cannot be switched on without a key.
        """
        if is_on and not self.vault:
            raise WrongState(NO_KEY)
        choice = RecordingChoice(to_uuid_text(tenant_id), tenant_id, is_on, retention_days, at, by)
        self._shelf.choose(choice)
        self._until = 0.0
        return choice

    def choice(self, tenant_id: str) -> RecordingChoice | None:
        """What was chosen for a tenant; None when nothing was, which means: not recorded."""
        return self._known_choices().get(to_uuid_text(tenant_id))

    def wants(self, tenant_id: str) -> bool:
        """Whether the calls of a tenant are recorded now."""
        choice = self.choice(tenant_id)
        return choice is not None and choice.is_on and bool(self.vault)

    def keep(self, calls: Iterable[tuple[Call, Iterable[str]]]) -> int:
        """Record calls of tenants that want it, each with the policies that looked at it.

        Returns:
            How many are new; what is there already stays as it is.
        """
        sealed = [
            sealed_call(self.vault, redacted(call), policies)
            for call, policies in calls
            if self.wants(call.tenant_id)
        ]
        return self._shelf.add(sealed)

    def get(self, call_id: str, tenant_id: str | None = None) -> Call:
        """A recorded call, without its personal data.

        Args:
            tenant_id: whose it has to be; None takes anybody's.

        Raises:
            NotFound: it was not recorded, or is gone.
            RecordingBroken: it cannot be opened.
        """
        found = self._shelf.get(call_id, tenant_id)
        if found is None:
            raise NotFound("this call was not recorded, or its time is over")
        return self._opened(found)

    def of(
        self,
        window: TimeWindow,
        *,
        tenant_id: str | None = None,
        policy_id: str | None = None,
    ) -> Iterator[Call]:
        """Recorded calls in ``(start, as_of]``, oldest first.

        Args:
            tenant_id: whose; None for everybody's.
            policy_id: only those that this policy looked at; None for all.

        Raises:
            RecordingBroken: one of them cannot be opened.
        """
        for page in self._shelf.within(window, tenant_id=tenant_id, policy_id=policy_id):
            yield from map(self._opened, page)

    def opened(
        self,
        window: TimeWindow,
        *,
        tenant_id: str | None = None,
        policy_id: str | None = None,
    ) -> Iterator[tuple[str, str, bytes]]:
        """As :meth:`of`, with each call as bytes for :func:`read_call`, which takes the most time.

        Returns:
            The tenant's UUID, the call's id, and the bytes.
        """
        for page in self._shelf.within(window, tenant_id=tenant_id, policy_id=policy_id):
            for one in page:
                yield one.tenant_uuid, one.call_id, self._plain(one)

    def count(
        self,
        window: TimeWindow,
        *,
        tenant_id: str | None = None,
        policy_id: str | None = None,
    ) -> int:
        """How many :meth:`of` gives."""
        return self._shelf.count(window, tenant_id=tenant_id, policy_id=policy_id)

    def forget(self, tenant_id: str) -> int:
        """Remove all recorded calls of a tenant; returns how many there were."""
        return self._shelf.forget(to_uuid_text(tenant_id))

    def forget_expired(self, now: datetime, check: Callable[[], None]) -> int:
        """Remove what has been kept for as long as its tenant wants; returns how many.

        Args:
            check: called between tenants, to stop by raising.
        """
        choices = self._shelf.choices()
        num = 0
        for tenant_uuid in self._shelf.tenants():
            check()
            choice = choices.get(tenant_uuid)
            # Nobody's wish is on record: then it is not kept at all.
            days = 0 if choice is None else choice.retention_days
            num += self._shelf.forget(tenant_uuid, now - timedelta(days=days))
        return num

    def _known_choices(self) -> Mapping[str, RecordingChoice]:
        if monotonic() >= self._until:
            with self._lock:
                if monotonic() >= self._until:
                    self._choices = self._shelf.choices()
                    self._until = monotonic() + CHOICES_S
        return self._choices

    def _opened(self, one: SealedCall) -> Call:
        return read_call(self._plain(one))

    def _plain(self, one: SealedCall) -> bytes:
        return self.vault.open(one.key_id, one.sealed, _about(one.tenant_uuid, one.call_id))


def sealed_call(vault: Vault, call: Call, policies: Iterable[str]) -> SealedCall:
    """A call as it is kept.

    Args:
        call: without its personal data; see :func:`redacted`.
        policies: those that looked at it.
    """
    tenant_uuid = to_uuid_text(call.tenant_id)
    key_id, sealed = vault.seal(_encode(_as_written(call)), _about(tenant_uuid, call.call_id))
    named = recorded_policies(policies)
    return SealedCall(tenant_uuid, call.call_id, call.at, named, key_id, sealed)


def read_call(plain: bytes) -> Call:
    """A recorded call from its opened bytes."""
    return _decode(plain)


def redacted(call: Call) -> Call:
    """A call without the personal data that are found in it; says of itself that it lost some."""
    found = replace(
        call,
        messages=tuple(Message(one.role, _clean(one.text)) for one in call.messages),
        context=None if call.context is None else _clean(call.context),
        output=_clean(call.output),
        parameters=_clean(call.parameters),
    )
    is_same = (found.messages, found.context, found.output, found.parameters) == (
        call.messages,
        call.context,
        call.output,
        call.parameters,
    )
    return found if is_same else replace(found, is_redacted=True)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)[0]
    if isinstance(value, Mapping):
        return {_clean(name): _clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    return value


def _as_written(call: Call) -> Call:
    # What cannot be changed is no JSON by itself.
    context = None if call.context is None else dict(call.context)
    return replace(call, context=context, parameters=dict(call.parameters))


def _key_id(key: bytes) -> str:
    return sha256(b"ebbtide recording key:" + key).hexdigest()[:12]


def _about(tenant_uuid: str, call_id: str) -> bytes:
    return b"\0".join((_FORM, tenant_uuid.encode(), call_id.encode("utf-8", "surrogatepass")))
