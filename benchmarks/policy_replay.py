"""How long it takes to judge 100,000 recorded calls by two versions of a policy."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ebbtide.catalog.policy import PolicyVersion, load_policies, read_policy
from ebbtide.domain.call import Call, Message
from ebbtide.domain.replay import PolicyReplay
from ebbtide.domain.time import TimeWindow
from ebbtide.guard.recording import Recorder, Vault, sealed_call
from ebbtide.replay.policy_only import PolicyReplayer
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore

GOALS = {"policy_replay_100k_s": 30}

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
NUM_TENANTS = 50
#: The dearest policy to judge, and an ordinary one.
POLICIES = ("PII_FILTER", "CONTENT_ACCURACY")
WORDS = (
    "the contract is set to renew on the first of may please tell me about my account status and "
    "whether the invoice of last month was paid by our bank or not because nobody here can say"
).split()


def measure_policy_replay(
    work: Path, part: Callable[[str, Callable[[], dict[str, Any]]], None], *, quick: bool
) -> None:
    """Fill a state store with recorded calls and judge them, a policy after the other."""
    num = 10_000 if quick else 100_000
    store = SQLiteStateStore(work / "policy-replay.sqlite")
    store.migrate()
    try:
        recorder = Recorder(store.recordings, Vault([os.urandom(32)]))
        _fill(store, recorder, num)
        for policy_id in POLICIES:
            part(
                f"policy_replay_{policy_id.lower()}",
                lambda policy_id=policy_id: _measure(store, recorder, policy_id, num),  # type: ignore[misc]
            )
    finally:
        store.close()


def _measure(store: StateStore, recorder: Recorder, policy_id: str, num: int) -> dict[str, Any]:
    before = next(one for one in load_policies() if one.policy_id == policy_id)
    after = _stricter(before)
    figures: dict[str, Any] = {"num_calls": num, "cores": os.cpu_count()}
    digests = set()
    for name, apart_from in (("processes", 1), ("one_thread", num + 1)):
        replayer = PolicyReplayer(store, recorder, lambda: NOW, apart_from=apart_from)
        began, cpu = time.monotonic(), sum(os.times()[:4])
        begun = replayer.start(
            before,
            after,
            TimeWindow(NOW - timedelta(days=7), NOW),
            tenant_ids=None,
            asked_by="bench",
        )
        replayer.wait(begun.policy_replay_id)
        figures[f"{name}_s"] = round(time.monotonic() - began, 1)
        # Of the processes too, which have ended: what it takes however busy the machine is.
        figures[f"{name}_cpu_s"] = round(sum(os.times()[:4]) - cpu, 1)
        found: PolicyReplay = store.policy_replays.get(begun.policy_replay_id)
        replayer.stop()
        assert found.num_done == num, found
        digests.add(found.digest)
        figures["num_newly_blocked"] = sum(one.num_newly_blocked for one in found.tenants)
    assert len(digests) == 1, digests
    return figures


def _stricter(version: PolicyVersion) -> PolicyVersion:
    """The next version: it blocks whatever it finds."""
    lines = version.text.replace('version  = "v1"', 'version  = "v2"')
    return read_policy(lines.replace('action   = "warn"', 'action   = "block"'))


def _fill(store: StateStore, recorder: Recorder, num: int) -> None:
    calls = list(_calls(500))
    step = timedelta(days=6) / num
    page = []
    for number in range(num):
        tenant = f"tenant-{number % NUM_TENANTS:02}"
        call = replace(
            calls[number % len(calls)],
            call_id=f"call_{number:06}",
            tenant_id=tenant,
            at=NOW - timedelta(days=6) + number * step,
        )
        page.append(sealed_call(recorder.vault, call, POLICIES))
        if len(page) == 5_000:
            store.recordings.add(page)
            page = []
    store.recordings.add(page)


def _calls(num: int) -> Iterator[Call]:
    """Calls of ordinary length; one of ten answers holds personal data, taken out already."""
    draw = random.Random(1)

    def text(words: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(words))

    for number in range(num):
        answer = text(120)
        if number % 10 == 0:
            answer += " Write to [email] or call [phone]."
        yield Call(
            call_id="",
            tenant_id="",
            at=NOW,
            model="gpt-4o-mini",
            provider="openai",
            messages=(Message("system", text(60)), Message("user", text(60))),
            context={"auto_renew": None, "status": "active"},
            output=answer,
            latency_ms=900,
            is_redacted=number % 10 == 0,
        )
