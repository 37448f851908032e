"""What another version would have said of recorded calls: no call, the same result each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replays_at_hand import CALL, NOW, V12, V13

from ebbtide.catalog.policy import PolicyVersion, read_policy
from ebbtide.domain.errors import RunEnded, Unprocessable, WrongState
from ebbtide.domain.policy import Result
from ebbtide.domain.replay import PolicyReplay, ReplayState
from ebbtide.domain.time import TimeWindow
from ebbtide.guard.detectors.pii import find
from ebbtide.guard.recording import Recorder, Vault
from ebbtide.replay.difference import EXAMPLES_MAX, Tally, total
from ebbtide.replay.judging import STAND_INS, judge, results_of
from ebbtide.replay.policy_only import PolicyReplayer, Progress
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.judgements import Judgement
from ebbtide.store.state.sqlite import SQLiteStateStore
from ready_files import lay_state_file

A, B = read_policy(V12), read_policy(V13)
WEEK = TimeWindow(NOW - timedelta(days=7), NOW)
PII = """
id = "PII"
version = "{version}"
title = "Personal data"
meaning = "The answer holds personal data."
stages = ["output"]
action = "{action}"
severity = 3
[[rules]]
name = "personal"
says = "It holds personal data."
detector = "pii"
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    path = tmp_path / "state.sqlite"
    lay_state_file(path)
    store = SQLiteStateStore(path)
    yield store
    store.close()


@pytest.fixture
def recorder(state: StateStore) -> Recorder:
    """Twelve calls of two tenants; every third claims, every fourth is set."""
    one = Recorder(state.recordings, Vault([b"k" * 32]))
    for tenant in ("acme", "globex"):
        one.choose(tenant, is_on=True, retention_days=30, at=NOW, by="t")
    words = {0: "It will auto-renew.", 1: "It is set to end.", 2: "Nobody knows."}
    calls = [
        replace(
            CALL,
            call_id=f"call_{n:02}",
            tenant_id=("acme", "globex")[n % 2],
            at=NOW - timedelta(hours=n),
            output=words[n % 3],
        )
        for n in range(12)
    ]
    one.keep((call, ("CLAIMS",)) for call in calls)
    one.keep([(replace(CALL, call_id="unseen"), ("OTHER",))])  # the policy never looked at it
    return one


def run(
    state: StateStore,
    recorder: Recorder,
    before: PolicyVersion = A,
    after: PolicyVersion = B,
    window: TimeWindow = WEEK,
    apart_from: int = 10**9,
    tenant_ids: tuple[str, ...] | None = None,
) -> PolicyReplay:
    replayer = PolicyReplayer(state, recorder, lambda: NOW, apart_from=apart_from)
    begun = replayer.start(before, after, window, tenant_ids=tenant_ids, asked_by="key_1")
    replayer.wait(begun.policy_replay_id, 60)
    replayer.stop()
    return state.policy_replays.get(begun.policy_replay_id)


def test_processes_and_one_thread_say_the_same(state: StateStore, recorder: Recorder) -> None:
    state.judgements.add(Judgement("acme", "call_00", "CLAIMS", True, None, NOW, "p"))
    state.judgements.add(Judgement("globex", "call_01", "CLAIMS", False, None, NOW, "p"))
    here, apart = run(state, recorder), run(state, recorder, apart_from=1)
    assert (here.state, here.num_done) == (ReplayState.DONE, 12)
    assert here.tenants == apart.tenants
    assert here.digest == apart.digest
    acme, globex = here.tenants
    assert (acme.tenant_id, acme.num_calls) == ("acme", 6)
    assert (acme.newly_blocked, acme.let_through) == (
        ("call_10", "call_04"),
        ("call_06", "call_00"),
    )
    assert (acme.num_false_blocks_before, acme.num_false_blocks_after) == (1, 0)
    assert (globex.num_unjudged_before, globex.num_unjudged_after) == (2, 1)
    assert total(here.tenants).num_blocked_before == 4


def test_a_window_and_a_choice_of_tenants_narrow_it(state: StateStore, recorder: Recorder) -> None:
    found = run(state, recorder, tenant_ids=("globex",))
    assert [one.tenant_id for one in found.tenants] == ["globex"]
    # Open at its start, closed at its end.
    window = TimeWindow(NOW - timedelta(hours=2), NOW)
    assert sum(one.num_calls for one in run(state, recorder, window=window).tenants) == 2


def test_it_is_kept_and_another_digest_stands_for_another_result(
    state: StateStore, recorder: Recorder
) -> None:
    first = run(state, recorder)
    assert state.policy_replays.get(first.policy_replay_id) == first
    recorder.keep([(replace(CALL, call_id="late"), ("CLAIMS",))])
    assert run(state, recorder).digest != first.digest
    assert run(state, recorder, before=B, after=A).digest != first.digest


def test_without_a_call_there_is_an_empty_result(state: StateStore, recorder: Recorder) -> None:
    found = run(state, recorder, window=TimeWindow(NOW - timedelta(days=30), WEEK.start))
    assert (found.state, found.tenants, found.num_done) == (ReplayState.DONE, (), 0)


def test_only_two_versions_of_one_policy_are_compared(
    state: StateStore, recorder: Recorder
) -> None:
    other = read_policy(PII.format(version="v1", action="warn"))
    for after in (A, other):
        with pytest.raises(Unprocessable):
            run(state, recorder, after=after)


def test_a_lost_key_fails_the_run_and_says_so(state: StateStore, recorder: Recorder) -> None:
    recorder.vault._keys.clear()
    replayer = PolicyReplayer(state, recorder, lambda: NOW)
    begun = replayer.start(A, B, WEEK, tenant_ids=None, asked_by="k")
    replayer._pool.shutdown()
    found = state.policy_replays.get(begun.policy_replay_id)
    assert (found.state, found.error_type) == (ReplayState.FAILED, "recording-broken")
    with pytest.raises(WrongState):
        replayer.stop()
        replayer.start(A, B, WEEK, tenant_ids=None, asked_by="k")


def test_an_erased_tenant_is_in_no_result(state: StateStore, recorder: Recorder) -> None:
    found = run(state, recorder, tenant_ids=("acme", "globex"))
    state.erase_tenant("acme", NOW)
    left = state.policy_replays.get(found.policy_replay_id)
    assert [one.tenant_id for one in left.tenants] == ["globex"]
    assert left.tenant_ids == ("globex",)


def test_a_run_stops_when_it_is_told_to_and_tells_how_far_it_is() -> None:
    told: list[int] = []
    moments = iter([0.0, 0.1, 0.6, 0.7, 1.2])

    def tell(num: int) -> bool:
        told.append(num)
        return num < 40

    progress = Progress(tell, lambda: False, timer=lambda: next(moments))
    for _ in range(3):
        progress.add(10)
    assert told == [20]
    with pytest.raises(RunEnded):
        progress.add(10)
    with pytest.raises(RunEnded):
        Progress(tell, lambda: True).add(1)


def test_personal_data_that_were_taken_out_are_still_judged(
    state: StateStore, recorder: Recorder
) -> None:
    for place, value in STAND_INS.items():
        assert [f"[{one.kind}]" for one in find(f"It is {value}, says he.")] == [place]
    mail = replace(CALL, call_id="mail", output="Write to ada@example.org.")
    recorder.keep([(mail, ("PII",))])
    kept = recorder.get("mail", "acme")
    assert (kept.output, kept.is_redacted) == ("Write to [email].", True)
    warns, blocks = (
        read_policy(PII.format(version=f"v{n}", action=action))
        for n, action in enumerate(("warn", "block"), 1)
    )
    assert results_of(kept, [warns, blocks]) == [Result.WARNED, Result.BLOCKED]
    (verdict,) = judge(kept, [blocks])
    assert verdict.findings and verdict.findings[0].start is None
    found = run(state, recorder, warns, blocks)
    assert found.tenants[0].newly_blocked == ("mail",)


RESULT = st.sampled_from(list(Result))


@settings(max_examples=60)
@given(st.lists(st.tuples(RESULT, RESULT, st.none() | st.booleans()), max_size=60))
def test_a_tally_adds_up(calls: list[tuple[Result, Result, bool | None]]) -> None:
    tally = Tally()
    for number, (before, after, is_wrong) in enumerate(calls):
        tally.add(f"c{number}", before, after, is_wrong)
    found = tally.of_tenant("acme")
    pairs = Counter(
        (before is Result.BLOCKED, after is Result.BLOCKED) for before, after, _ in calls
    )
    assert found.num_calls == len(calls)
    assert found.num_newly_blocked == pairs[False, True]
    assert found.num_let_through == pairs[True, False]
    assert (
        found.num_blocked_before + found.num_newly_blocked
        == found.num_blocked_after + found.num_let_through
    )
    judged = [one for one in calls if one[0] is Result.BLOCKED and one[2] is not None]
    assert found.num_unjudged_before == found.num_blocked_before - len(judged)
    assert len(found.newly_blocked) == min(found.num_newly_blocked, EXAMPLES_MAX)
    both = total([found, found])
    assert both.num_calls == 2 * found.num_calls
