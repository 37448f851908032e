"""What the proxy saw gets stored, also when a store was away for a while."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

import pytest
from guarded import NOON

from ebbtide.domain.call import Call, ReportedCall
from ebbtide.domain.errors import QueryError, StoreUnavailable
from ebbtide.guard import handover
from ebbtide.guard.handover import Finished, Handover


class Recorder:
    """Keeps the ids of calls."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def keep(self, calls: Any) -> None:
        self.kept += [call.call_id for call, _ in calls]


class Store:
    """Takes events once what stands in its way is gone."""

    def __init__(self, *trouble: Exception) -> None:
        self.trouble = list(trouble)
        self.stored: list[dict[str, Any]] = []

    def __call__(self, records: Sequence[dict[str, Any]], _: datetime) -> Future[Any]:
        future: Future[Any] = Future()
        if self.trouble:
            future.set_exception(self.trouble.pop(0))
        else:
            self.stored += records
            future.set_result(None)
        return future


def finished(number: int) -> Finished:
    return Finished(ReportedCall(Call(f"call-{number}", "acme", NOON), "proxy"), (), True)


def test_calls_wait_while_a_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "AGAIN_S", 0.01)
    monkeypatch.setattr(handover, "WAITING_MAX", 3)
    away = StoreUnavailable("away")
    store, recorder = Store(away, away), Recorder()
    one = Handover(store, recorder, lambda: NOON)  # type: ignore[arg-type]
    for number in range(3):
        one.put(finished(number))
    assert one.wait_until_stored(5) and one.has_room
    assert [each["entity_id"] for each in store.stored] == ["call-0", "call-1", "call-2"]
    assert recorder.kept == ["call-0", "call-1", "call-2"]
    one.close()


def test_no_call_is_begun_while_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "WAITING_MAX", 2)
    store = Store(*[StoreUnavailable("away")] * 100)
    one = Handover(store, Recorder(), lambda: NOON)  # type: ignore[arg-type]
    assert one.has_room
    one.put(finished(1))
    one.put(finished(2))
    assert not one.has_room
    one.close()  # it tries once more, and says what is lost


def test_one_that_cannot_be_stored_does_not_hold_up_the_others() -> None:
    store, recorder = Store(QueryError("never")), Recorder()
    one = Handover(store, recorder, lambda: NOON)  # type: ignore[arg-type]
    one.put(finished(1))
    assert one.wait_until_stored(5)
    one.put(finished(2))
    one.close()
    assert [each["entity_id"] for each in store.stored] == ["call-2"]
