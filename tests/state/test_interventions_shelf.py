"""Interventions on their shelf: kept whole, changed one at a time, open once, erased for good."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.intervention import DismissReason, Effect, Intervention, State, Suggestion
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.interventions import InterventionFilter
from ebbtide.store.state.tables import INTERVENTION_STEPS

T0 = datetime(2026, 3, 12, 8, 30, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
ANY = InterventionFilter()


def suggestion(tenant: str = "acme", rule: str = "silent_churn", **more: Any) -> Suggestion:
    values: dict[str, Any] = {
        "tenant_id": tenant,
        "rule": rule,
        "intervention_type": "call",
        "priority": "today",
        "suggested_action": "Call Änne.",
        "context": "Silent.",
        "expected_outcome": "They look again.",
        "triggering_signals": ("no investigation in 9 days", "API call within 48 h"),
        "playbook_id": "silent_churn",
        "window_days": 7,
        "evidence": {"gap_days": "8.92", "policies": ["PII"]},
    }
    return Suggestion(**(values | more))


def record(
    store: StateStore,
    new: list[Suggestion],
    changed: list[Intervention] | None = None,
    at: datetime = T0,
) -> int:
    with store._database.write() as transaction:
        return store.interventions.record(
            transaction, [(one, T0) for one in new], changed or [], at
        )


def newest(store: StateStore) -> Intervention:
    return store.interventions.list_newest(ANY, limit=1)[0]


def change(store: StateStore, step: Callable[[Intervention], Intervention]) -> Intervention:
    return store.interventions.change(newest(store).id, step)


def test_what_was_suggested_comes_back_whole(store: StateStore) -> None:
    assert record(store, [suggestion()]) == 1
    found = newest(store)
    assert found == Intervention(found.id, suggestion(), T0)
    assert store.interventions.get(found.id) == found
    assert store.interventions.holding() == [found]


def test_every_step_of_a_life_comes_back(store: StateStore) -> None:
    record(store, [suggestion()])
    change(store, lambda one: one.accept(T0, "k1", "mine"))
    done = change(store, lambda one: one.do(T0 + DAY, T0 + 2 * DAY, "k2"))
    assert store.interventions.get(done.id) == done
    assert store.interventions.lasting() == [done]
    assert store.interventions.lasting()[0] is store.interventions.lasting()[0]
    closed = replace(done, effect=Effect.SUCCESS, effect_closed_at=T0 + 3 * DAY).end(T0 + 3 * DAY)
    record(store, [], [closed])
    assert store.interventions.get(done.id) == closed
    assert store.interventions.lasting() == store.interventions.holding() == []
    assert store.interventions.of_playbooks() == [closed]
    dismissed = Intervention(0, suggestion("globex"), T0)
    record(store, [dismissed.suggestion])
    found = change(store, lambda one: one.dismiss(DismissReason.USEFUL, T0, "k"))
    assert store.interventions.get(found.id) == found


def test_every_moment_of_a_life_can_be_asked_for_again(store: StateStore) -> None:
    """Also steps that were taken back, reasons and notes that were replaced, and late reports."""
    record(store, [suggestion()])
    number = newest(store).id
    steps: list[Callable[[Intervention, datetime], Intervention]] = [
        lambda one, at: one.accept(at, "k1", "mine"),
        lambda one, at: one.undo(at, "k1"),
        lambda one, at: one.dismiss(DismissReason.NOT_USEFUL, at, "k2"),
        lambda one, at: one.dismiss(DismissReason.FIXED, at, "k2", "it was fixed"),
        lambda one, at: one.undo(at, "k2"),
        lambda one, at: one.do(T0 + DAY, at, "k3", "said on the phone"),  # five days late
    ]
    seen = []
    for day, step in enumerate(steps, 1):
        seen.append(store.interventions.get(number))
        at = T0 + day * DAY
        store.interventions.change(number, lambda one, at=at, step=step: step(one, at))  # type: ignore[misc]
    seen.append(store.interventions.get(number))
    record(store, [], [seen[-1].end(T0 + 8 * DAY)], T0 + 8 * DAY)
    for day, then in enumerate(seen):
        at = T0 + day * DAY
        assert store.interventions.get_as_of(number, at) == then
        assert store.interventions.list_as_of(ANY, at) == [then]
        assert store.interventions.holding([then.suggestion.key[0]], at) == [then]
        assert store.interventions.of_playbooks(at) == [then]
    assert store.interventions.holding(None, T0 + 8 * DAY) == []
    before = T0 - timedelta(microseconds=1)
    assert store.interventions.list_as_of(ANY, before) == []
    assert store.interventions.of_playbooks(before) == []
    with pytest.raises(NotFound):
        store.interventions.get_as_of(number, before)


def test_the_same_is_open_once(store: StateStore) -> None:
    assert record(store, [suggestion(), suggestion()]) == 1
    assert record(store, [suggestion()]) == 0
    assert record(store, [suggestion(rule="delta"), suggestion("globex")]) == 2
    change(store, lambda one: one.dismiss(DismissReason.FIXED, T0, "k"))
    assert record(store, [suggestion("globex")]) == 1


def test_undo_does_not_open_the_same_twice(store: StateStore) -> None:
    record(store, [suggestion()])
    old = change(store, lambda one: one.dismiss(DismissReason.FIXED, T0, "k"))
    record(store, [suggestion()])
    with pytest.raises(WrongState, match="suggested again"):
        store.interventions.change(old.id, lambda one: one.undo(T0, "k"))
    assert store.interventions.get(old.id) == old


def test_what_people_did_meanwhile_is_kept(store: StateStore) -> None:
    record(store, [suggestion()])
    seen = newest(store)
    accepted = change(store, lambda one: one.accept(T0, "k"))
    record(store, [], [seen.end(T0 + DAY)])  # computed from the row as it was before
    found = store.interventions.get(seen.id)
    assert (found.state, found.ended_at) == (State.ACCEPTED, T0 + DAY)
    assert found.accepted_at == accepted.accepted_at


def test_a_measure_of_a_moment_that_was_taken_back_is_dropped(store: StateStore) -> None:
    record(store, [suggestion()])
    done = change(store, lambda one: one.do(T0, T0, "k"))
    change(store, lambda one: one.undo(T0, "k"))
    record(store, [], [replace(done, effect=Effect.SUCCESS, effect_closed_at=T0)])
    assert store.interventions.get(done.id).effect is None


def test_a_moment_before_the_newest_one_changes_nothing(store: StateStore) -> None:
    assert store.interventions.evaluated_at() is None
    assert record(store, [suggestion()], at=T0 + DAY) == 1
    seen = newest(store)
    assert record(store, [suggestion("globex")], [seen.end(T0)], at=T0) == 0
    assert store.interventions.list_newest(ANY) == [seen]
    assert store.interventions.evaluated_at() == T0 + DAY


def test_pages_and_filters(store: StateStore) -> None:
    tenants = ["acme", "globex", "initech"]
    record(store, [suggestion(t, r) for t in tenants for r in ("a", "b")])
    record(store, [suggestion("acme", "c", playbook_id=None, window_days=None)])
    shelf = store.interventions
    ids = [one.id for one in shelf.list_newest(ANY)]
    assert ids == sorted(ids, reverse=True) and len(ids) == 7
    first = shelf.list_newest(ANY, limit=4)
    rest = shelf.list_newest(ANY, before=first[-1].id, limit=4)
    assert [one.id for one in first + rest] == ids
    assert shelf.count(InterventionFilter(tenant_id="acme")) == 3
    assert shelf.count(InterventionFilter(playbook_id="silent_churn")) == 6
    shelf.change(ids[0], lambda one: one.accept(T0, "k"))
    assert shelf.count(InterventionFilter(states=[State.ACCEPTED])) == 1
    assert shelf.count(InterventionFilter(is_open=True)) == 7
    assert shelf.count(InterventionFilter(is_open=False)) == 0
    assert shelf.count(InterventionFilter(states=[])) == 0


@pytest.mark.parametrize("number", [0, -1, 7, 2**63, 2**70])
def test_an_unknown_number_is_not_found(store: StateStore, number: int) -> None:
    with pytest.raises(NotFound):
        store.interventions.get(number)


def test_of_many_who_answer_at_once_each_sees_the_one_before(store: StateStore) -> None:
    record(store, [suggestion()])
    number = newest(store).id

    def answer(n: int) -> str:
        try:
            store.interventions.change(
                number, lambda one: one.do(T0, T0, f"k{n}") if n % 2 else one.accept(T0, f"k{n}")
            )
        except WrongState:
            return "refused"
        return "done"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(answer, range(16)))
    assert answers.count("done") >= 8  # all that say "done", and accepts before the first of them
    assert store.interventions.get(number).state is State.DONE


def test_erasing_a_tenant_takes_its_rows(store: StateStore) -> None:
    record(store, [suggestion("globex"), suggestion("acme")])
    change(store, lambda one: one.accept(T0, "k1", "a note about acme"))
    store.erase_tenant("acme", T0)
    assert [one.tenant_id for one in store.interventions.list_newest(ANY)] == ["globex"]
    with store._database.read() as connection:
        assert connection.execute(sa.select(INTERVENTION_STEPS)).all() == []


def test_what_was_planned_before_an_erasure_is_not_written_after_it(store: StateStore) -> None:
    store.erase_tenant("acme", T0)
    record(store, [suggestion("acme"), suggestion("globex")])
    assert [one.tenant_id for one in store.interventions.list_newest(ANY)] == ["globex"]
