"""A promotion is watched for a while: taken back when it is worse, unless people decided since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from replays_at_hand import NOW, V12, V13

from ebbtide.catalog.policy import read_policy
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.replay import (
    PolicyReplay,
    Promotion,
    PromotionState,
    Replay,
    ReplayState,
)
from ebbtide.guard.assigned import to_stored
from ebbtide.replay.promotion import Promoter, Wanted
from ebbtide.replay.versions import VersionsThen
from ebbtide.signals.regressions import Comparison, Side
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.policies import Act
from ebbtide.store.state.sqlite import SQLiteStateStore
from ready_files import lay_state_file

LATER = NOW + timedelta(hours=1)
Events = list[Mapping[str, Any]]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    """Two versions of a policy, of which everybody has v12, and a run that tried v13."""
    path = tmp_path / "state.sqlite"
    lay_state_file(path)
    store = SQLiteStateStore(path)
    for text in (V12, V13):
        store.policies.add_version(to_stored(read_policy(text), NOW, "t"))
    store.policies.assign(Act("asg_1", "CLAIMS", None, "v12", NOW - timedelta(days=1), "t", "r"))
    run = PolicyReplay(
        "prp_1", "CLAIMS", "v12", "v13", NOW, NOW, None, ReplayState.RUNNING, "key", NOW
    )
    store.policy_replays.start(run, due_at=LATER, running_max=9)
    yield store
    store.close()


def promote(
    state: StateStore, review_id: str = "prp_1", version: str = "v13"
) -> tuple[Promotion, Events]:
    events: Events = []
    wanted = Wanted("CLAIMS", version, ("acme", "globex"), review_id)
    return Promoter(state, events.append).promote(wanted, "key 1", NOW), events


def end_run(state: StateStore) -> None:
    state.policy_replays.end("prp_1", NOW, num_done=0)


def worse(version: str = "v13") -> list[Comparison]:
    new, old = (Side(name, 100, 50, 50, {5: 50}) for name in (version, "v12"))
    return [
        Comparison("CLAIMS", new, old, NOW, "both", frozenset(), (), 0.001, None, 0.01, ("rate",))
    ]


def versions(state: StateStore, at: Any = LATER) -> list[str]:
    then = VersionsThen(state.policies)
    return [then.in_force(tenant, at)[0].version for tenant in ("acme", "globex", "other")]


def test_nothing_is_promoted_without_a_run_of_it_that_ended(state: StateStore) -> None:
    with pytest.raises(Unprocessable, match="is running"):
        promote(state)
    end_run(state)
    with pytest.raises(Unprocessable, match="did not try this version"):
        promote(state, version="v12")
    with pytest.raises(NotFound):
        promote(state, "prp_2")
    with pytest.raises(Unprocessable, match="older than 30 days"):
        wanted = Wanted("CLAIMS", "v13", ("acme",), "prp_1")
        Promoter(state, print).promote(wanted, "key 1", NOW + timedelta(days=31))
    assert versions(state) == ["v12", "v12", "v12"]
    assert state.promotions.watched() == []


def test_a_replay_counts_as_a_review_of_the_versions_that_it_chose(state: StateStore) -> None:
    one = Replay("rep_1", "acme", "inc", "call", "m", False, (), 1, ReplayState.RUNNING, "k", NOW)
    state.replays.start(one, b"", due_at=LATER, keep_until=None, running_max=9)
    state.replays.end("rep_1", ReplayState.DONE, NOW)
    with pytest.raises(Unprocessable, match="did not try"):
        promote(state, "rep_1")


def test_it_is_for_the_chosen_alone_and_taken_back_when_it_is_worse(state: StateStore) -> None:
    end_run(state)
    made, told = promote(state)
    assert made.previous == (("acme", "default"), ("globex", "default"))
    assert versions(state) == ["v13", "v13", "v12"]
    assert [one["tenant_id"] for one in told] == ["acme", "globex"]
    events: Events = []
    promoter = Promoter(state, events.append)
    assert promoter.watch(lambda: worse("v14"), LATER) == 0  # another version
    assert promoter.watch(worse, LATER) == 1
    assert promoter.watch(worse, LATER) == 0  # once
    assert versions(state) == ["v12", "v12", "v12"]
    assert versions(state, NOW) == ["v13", "v13", "v12"]  # as it was
    (kept,) = state.promotions.of_policy("CLAIMS")
    assert (kept.state, kept.ended_at) == (PromotionState.ROLLED_BACK, LATER)
    assert kept.reason == "regression against v12: incidents a call"
    assert [one["metadata"]["policy_version"] for one in events] == ["default", "default"]
    assert events[0]["metadata"]["previous"] == "v13"


def test_what_somebody_decided_since_holds(state: StateStore) -> None:
    end_run(state)
    promote(state)
    state.policies.assign(Act("asg_9", "CLAIMS", ("acme",), "v13", NOW, "p", "stays"))
    assert Promoter(state, print).watch(worse, LATER) == 0
    (kept,) = state.promotions.of_policy("CLAIMS")
    assert (kept.state, kept.reason) == (
        PromotionState.KEPT,
        "something else was decided since for one of its tenants",
    )
    assert versions(state) == ["v13", "v13", "v12"]


def test_a_watch_ends(state: StateStore) -> None:
    end_run(state)
    made, _ = promote(state)
    promoter = Promoter(state, print)
    assert promoter.watch(list, made.watched_until - timedelta(seconds=1)) == 0
    assert len(state.promotions.watched()) == 1
    promoter.watch(list, made.watched_until)
    assert state.promotions.watched() == []
    assert promoter.watch(lambda: pytest.fail("nobody is watched"), LATER) == 0
