"""The API key leaves the process in one header to one address, and shows up nowhere else."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from event_server import EventServer, cut_before, status

from ebbtide import Emitter
from ebbtide.client.emit_now import emit_now
from ebbtide.client.errors import DeliveryFailed, EmitterSettingsError
from ebbtide.client.secret import Secret

MakeEmitter = Callable[..., Emitter]
KEY = "ebb_k1_canary0123456789"


def echo_key(handler: Any, events: list[dict[str, Any]]) -> bool:
    """A server (or a proxy before it) that repeats the key in its error."""
    handler.answer(400, {"code": f"bad key {handler.headers['X-API-Key']}"})
    return True


def test_the_key_is_in_no_log_repr_or_stat(
    server: EventServer, make_emitter: MakeEmitter, caplog: pytest.LogCaptureFixture
) -> None:
    server.verdict = lambda event: ("quarantined", f"reason with {KEY}")
    server.script.extend([echo_key, cut_before, status(503), status(401)])
    reasons: list[str] = []
    emitter = make_emitter(api_key=KEY, on_drop=lambda event, reason: reasons.append(reason))
    with caplog.at_level(logging.DEBUG):
        for _ in range(4):
            emitter.emit("LOGIN")
            emitter.flush()
    assert server.requests[0].headers["x-api-key"] == KEY
    shown = "".join(
        [caplog.text, repr(emitter), str(emitter), str(emitter.stats), *reasons]
        + [str(vars(part)) for part in (emitter, emitter._delivery, emitter._delivery._transport)]  # type: ignore[union-attr]
    )
    assert KEY not in shown
    assert "bad key ***" in shown  # the masking did happen
    assert "reason with ***" in shown
    assert "api_key=***" in repr(emitter)


def test_the_key_is_in_no_exception(server: EventServer, make_emitter: MakeEmitter) -> None:
    server.script.append(echo_key)
    emitter = make_emitter(api_key=KEY, raise_errors=True)
    emitter.emit("LOGIN")
    with pytest.raises(DeliveryFailed) as caught:
        emitter.flush()
    assert KEY not in "".join(traceback.format_exception(caught.value))

    server.script.append(echo_key)
    with pytest.raises(DeliveryFailed) as caught:
        emit_now(server.url, KEY, [{"event_type": "LOGIN"}])
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(caught.value.results)

    with pytest.raises(EmitterSettingsError) as refused:
        make_emitter(api_key=KEY + "\n", raise_errors=True)
    assert "canary" not in "".join(traceback.format_exception(refused.value))


def test_the_key_comes_from_the_environment(
    server: EventServer, make_emitter: MakeEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_emitter()  # clears the variable first
    monkeypatch.setenv("EBBTIDE_API_KEY", KEY)
    emitter = Emitter(server.url, tenant_id="acme")
    emitter.emit("LOGIN")
    assert emitter.close()
    assert server.requests[0].headers["x-api-key"] == KEY


def test_redirects_do_not_carry_the_key_elsewhere(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    other = EventServer()
    server.always = status(307, Location=other.url + "/v1/events")
    emitter = make_emitter(api_key=KEY)
    emitter.emit("LOGIN")
    assert not emitter.flush()
    assert len(server.requests) == 1
    assert other.requests == []
    other.close()


def test_a_secret_does_not_travel() -> None:
    secret = Secret(KEY)
    assert f"{secret} {secret!r}" == "*** ***"
    for escape in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            escape(secret)
