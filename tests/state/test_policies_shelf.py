"""Versions of policies never change, and who has which is told in the order it was decided."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ebbtide.catalog.policy import load_policies
from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.policy import DEFAULT, OFF, StoredVersion
from ebbtide.guard.assigned import AssignedPolicies, add_built_in
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.policies import Act, effective

if TYPE_CHECKING:
    from conftest import Place

T0 = datetime(2026, 3, 12, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BUDGET = next(one for one in load_policies() if one.policy_id == "BUDGET")


def act(number: int, version: str, *tenants: str) -> Act:
    whom = tenants or None
    return Act(f"act-{number}", "BUDGET", whom, version, T0 + number * MINUTE, "key 1", "why")


def version(name: str) -> StoredVersion:
    text = BUDGET.text.replace('"v1"', f'"{name}"', 1)
    return StoredVersion("BUDGET", name, f"digest of {name}", text, T0, "key 1")


@pytest.fixture
def two_versions(store: StateStore) -> StateStore:
    for name in ("v1", "v2"):
        assert store.policies.add_version(version(name))
    return store


def holds(store: StateStore, as_of: datetime | None = None) -> dict[str | None, str]:
    found = effective(store.policies.assignments(as_of=as_of)).get("BUDGET", {})
    return {one.tenant_id: one.version for one in found.values()}


def test_the_same_version_again_is_no_news_and_another_content_is_refused(
    two_versions: StateStore,
) -> None:
    shelf = two_versions.policies
    assert not shelf.add_version(version("v1"))
    with pytest.raises(WrongState, match="never changes"):
        shelf.add_version(StoredVersion("BUDGET", "v1", "other", "text", T0, "key 2"))
    assert shelf.versions("BUDGET") == [version("v1"), version("v2")]
    assert shelf.versions("OTHER") == []


def test_the_newest_assignment_holds_and_the_past_stays(two_versions: StateStore) -> None:
    shelf = two_versions.policies
    assert shelf.mark() == (0, 0)
    (first,) = shelf.assign(act(1, "v1"))
    assert (first.version, first.previous, first.tenant_id) == ("v1", OFF, None)
    one, two = shelf.assign(act(2, "v2", "acme", "beta"))
    assert (one.previous, two.previous) == (DEFAULT, DEFAULT)
    assert one.number < two.number and shelf.mark() == (two.number, 3)
    shelf.assign(act(3, OFF, "acme"))
    shelf.assign(act(4, DEFAULT, "beta"))
    assert holds(two_versions) == {None: "v1", "acme": OFF}
    assert holds(two_versions, T0 + 2 * MINUTE) == {None: "v1", "acme": "v2", "beta": "v2"}
    assert holds(two_versions, T0) == {}
    with pytest.raises(NotFound):
        shelf.assign(act(5, "v3"))


def test_one_tenant_has_one_version_however_it_is_spelt(two_versions: StateStore) -> None:
    two_versions.policies.assign(act(1, "v1", "acme", to_uuid_text("acme")))
    two_versions.policies.assign(act(2, "v2", to_uuid_text("acme").upper()))
    assert list(holds(two_versions).values()) == ["v2"]


def test_an_act_for_many_is_for_all_of_them_or_none(two_versions: StateStore) -> None:
    shelf = two_versions.policies
    shelf.assign(act(1, "v1", "acme"))
    shelf.assign(act(2, "v2", "acme"))
    shelf.assign(act(3, "v1", "beta"))
    with pytest.raises(WrongState, match="beta had no version"):
        shelf.roll_back(act(4, DEFAULT, "acme", "beta"))
    assert holds(two_versions) == {"acme": "v2", "beta": "v1"}
    shelf.roll_back(act(5, DEFAULT, "acme"))
    assert holds(two_versions) == {"acme": "v1", "beta": "v1"}


def test_what_was_decided_since_is_not_undone(two_versions: StateStore) -> None:
    shelf = two_versions.policies
    shelf.assign(act(1, "v1", "acme", "beta"))
    shelf.assign(act(2, "v2", "beta"))
    said = {"at": T0, "by": "key 1", "reason": "a slip"}
    with pytest.raises(WrongState, match="since"):
        shelf.undo("act-1", new_id="u1", **said)
    assert holds(two_versions) == {"acme": "v1", "beta": "v2"}
    shelf.undo("act-2", new_id="u2", **said)
    assert holds(two_versions) == {"acme": "v1", "beta": "v1"}


def test_of_many_at_once_each_sees_the_one_before(two_versions: StateStore) -> None:
    """Two people who decide at the same moment: the rows are a chain, and the last one holds."""
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda number: two_versions.policies.assign(
                    act(number, f"v{number % 2 + 1}", "acme")
                ),
                range(12),
            )
        )
    rows = two_versions.policies.assignments("BUDGET")
    assert [row.previous for row in rows[1:]] == [row.version for row in rows[:-1]]
    assert [row.number for row in rows] == sorted({row.number for row in rows})


def test_an_erased_tenant_is_forgotten(two_versions: StateStore) -> None:
    two_versions.policies.assign(act(1, "v1", "acme", "beta"))
    two_versions.erase_tenant("acme", T0)
    assert holds(two_versions) == {"beta": "v1"}


def test_those_that_come_along_are_kept_once(store: StateStore) -> None:
    ours = {one.policy_id: one.version for one in load_policies()}
    assert sorted(add_built_in(store, T0)) == sorted(ours)
    assert add_built_in(store, T0 + MINUTE) == []
    known = AssignedPolicies(store).versions_for("anybody")
    assert {one.policy_id: one.version for one in known} == ours
    assert AssignedPolicies(store).in_force("anybody", T0 - MINUTE) == ()


def test_a_policy_that_was_switched_off_stays_off(store: StateStore) -> None:
    add_built_in(store, T0)
    store.policies.assign(act(1, OFF))
    add_built_in(store, T0 + 2 * MINUTE)
    found = AssignedPolicies(store).versions_for("anybody")
    assert "BUDGET" not in {one.policy_id for one in found}


@pytest.fixture
def beside(migrated_place: Place, store: StateStore) -> Iterator[StateStore]:
    """The same place, as another process has it open."""
    opened = migrated_place.open()
    yield opened
    opened.close()


def test_another_process_hears_of_it_within_a_second(
    store: StateStore, beside: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_built_in(store, T0)
    here, there = AssignedPolicies(store), AssignedPolicies(beside)
    seconds = [100.0]
    monkeypatch.setattr("ebbtide.guard.assigned.monotonic", lambda: seconds[0])
    assert here.versions_for("acme") == there.versions_for("acme")
    store.policies.assign(act(1, OFF, "acme"))
    here.forget()
    assert len(here.versions_for("acme")) == 4
    assert len(there.versions_for("acme")) == 5, "it looks once a second"
    seconds[0] += 1.0
    assert len(there.versions_for("acme")) == 4
