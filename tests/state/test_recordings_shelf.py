"""Sealed calls, choices and freezes as the state store keeps them, on every engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import TimeWindow
from ebbtide.store.state import recordings
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.freezes import Freeze
from ebbtide.store.state.recordings import RecordingChoice, SealedCall, recorded_policies

AT = datetime(2026, 3, 12, 8, 30, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ALL = TimeWindow(AT - SECOND, AT + timedelta(days=1))


def sealed(number: int, tenant: str = "acme", **more: object) -> SealedCall:
    policies = recorded_policies(["B_1", "A"])
    at = AT + number // 2 * SECOND  # two at a moment
    made = SealedCall(to_uuid_text(tenant), f"call-{number}", at, policies, "k", b"\0\xff")
    return made._replace(**more)  # type: ignore[arg-type]


def test_calls_are_kept_once_and_come_in_pages(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "PAGE", 3)
    shelf = store.recordings
    calls = [sealed(number) for number in range(7)]
    assert shelf.add(calls) == 7 and shelf.add([calls[0]._replace(sealed=b"x")]) == 0
    others = sealed(0, "globex")
    shelf.add([others])
    assert shelf.get("call-0", "ACME") is None and shelf.get("call-0", "acme") == calls[0]
    assert shelf.tenants() == sorted({others.tenant_uuid, calls[0].tenant_uuid})
    pages = list(shelf.within(ALL, tenant_id="acme"))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [one for page in pages for one in page] == calls
    assert shelf.count(ALL) == 8 and shelf.count(ALL, policy_id="B_1") == 8
    for policy_id in ("B", "B%1", "BX1", "|"):
        assert shelf.count(ALL, policy_id=policy_id) == 0
    # Half-open: what lies at the start is out, what lies at the end is in.
    window = TimeWindow(AT, AT + 2 * SECOND)
    assert shelf.count(window, tenant_id="acme") == 4


def test_old_calls_go_and_the_others_stay(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "FORGET_PAGE", 2)
    shelf = store.recordings
    shelf.add([sealed(number) for number in range(6)])
    acme = to_uuid_text("acme")
    assert shelf.forget(acme, AT + 2 * SECOND) == 4
    assert shelf.forget(to_uuid_text("globex")) == 0
    assert shelf.forget(acme) == 2 and shelf.tenants() == []


def test_the_newest_choice_holds_and_all_go_with_the_tenant(store: StateStore) -> None:
    shelf = store.recordings
    acme = to_uuid_text("acme")
    first = RecordingChoice(acme, "acme", True, 30, AT, "k1")
    second = replace(first, is_on=False, retention_days=7, changed_at=AT + SECOND)
    assert shelf.choice(acme) is None
    shelf.choose(first)
    shelf.choose(second)
    assert shelf.choice(acme) == second and shelf.choices() == {acme: second}
    shelf.add([sealed(1), sealed(1, "globex")])
    store.freezes.add(Freeze("f1", acme, "acme", None, "r", AT, "k1"))
    store.erase_tenant("acme", AT + SECOND)
    assert shelf.choices() == {} and store.freezes.list() == []
    assert shelf.tenants() == [to_uuid_text("globex")]
    assert shelf.add([sealed(1)]) == 0  # its past stays away; what comes later is another's
    assert shelf.add([sealed(9, at=AT + 2 * SECOND)]) == 1


def test_a_freeze_is_lifted_once(store: StateStore) -> None:
    shelf = store.freezes
    made = Freeze("f1", to_uuid_text("acme"), "acme", None, "r", AT, "k1")
    shelf.add(made)
    shelf.add(Freeze("f2", None, None, "key", "r", AT + SECOND, "k1"))
    assert [one.freeze_id for one in shelf.list()] == ["f2", "f1"]
    lifted = shelf.lift("f1", AT + SECOND, "k2", None)
    assert lifted == replace(made, lifted_at=AT + SECOND, lifted_by="k2")
    assert [one.freeze_id for one in shelf.list(is_active_only=True)] == ["f2"]
    with pytest.raises(WrongState):
        shelf.lift("f1", AT + SECOND, "k2", None)
    with pytest.raises(NotFound):
        shelf.lift("nothing", AT, "k2", None)
