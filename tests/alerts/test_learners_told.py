"""Each learner is told of once: not at each run, and next week only when it is new."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ebbtide.alerts import learners
from ebbtide.alerts.learners import LearnersTold, tell_learners
from ebbtide.alerts.messages import ALERTS_MAX
from ebbtide.domain.alert import AlertStatus, Channel, ChannelKind
from ebbtide.learners.formulas import HIGH_RISK
from ebbtide.learners.report import LearnerScore
from ebbtide.store.state import learner_alerts
from ebbtide.store.state.base import StateStore

MONDAY = datetime(2026, 3, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def channel(name: str = "hook", kind: ChannelKind = ChannelKind.WEBHOOK, **more: Any) -> Channel:
    least = more.get("least", AlertStatus.WARNING)
    return Channel(
        f"ch_{name}", name, kind, "https://example.org", (), None, least, False, MONDAY, "a person"
    )


def silent(user_id: str = "u1", *, days: int = 8, risk: float = 0.5) -> LearnerScore:
    return LearnerScore(user_id, MONDAY.date(), risk, None, MONDAY - days * DAY, days)


def tell(state: StateStore, found: Iterable[LearnerScore], at: datetime) -> LearnersTold:
    return tell_learners(state, found, at, at + timedelta(hours=5))


def sent(state: StateStore) -> list[dict[str, Any]]:
    return [json.loads(one.body) for _, one in reversed(state.outbox.list_newest(limit=500))]


def test_a_second_run_sends_nothing_and_the_next_week_only_what_is_new(state: StateStore) -> None:
    state.outbox.add_channel(channel())
    assert tell(state, [silent("a"), silent("b")], MONDAY) == LearnersTold(2, 0, 1)
    for days in (0, 1, 6, 7, 30):
        assert tell(state, [silent("a"), silent("b")], MONDAY + days * DAY) == LearnersTold()
    assert tell(state, [silent(one) for one in "abc"], MONDAY + 31 * DAY) == LearnersTold(1, 0, 1)
    (first, second) = sent(state)
    assert [one["annotations"]["summary"] for one in first["alerts"]] == ["Learner a", "Learner b"]
    assert [one["labels"]["alertname"] for one in second["alerts"]] == ["learner_inactive"]
    assert second["groupLabels"] == {"group": "learners"}
    assert "no activity for 8 days, S 0.50" in first["alerts"][0]["annotations"]["description"]


def test_a_risk_that_rises_is_an_alert_of_its_own_and_tells_once_a_week(state: StateStore) -> None:
    state.outbox.add_channel(channel())
    low, high = silent(risk=HIGH_RISK), silent(risk=0.71)
    assert tell(state, [low], MONDAY).num_messages == 1
    assert tell(state, [high], MONDAY + DAY) == LearnersTold(0, 1, 1)
    assert tell(state, [low], MONDAY + 2 * DAY) == LearnersTold()
    assert tell(state, [high], MONDAY + 3 * DAY) == LearnersTold()  # the same week
    assert tell(state, [low], MONDAY + 7 * DAY) == LearnersTold()
    assert tell(state, [high], MONDAY + 8 * DAY) == LearnersTold(0, 1, 1)
    severities = [one["alerts"][0]["labels"]["severity"] for one in sent(state)]
    assert severities == ["warning", "critical", "critical"]


def test_who_comes_back_and_falls_silent_again_is_told_of_again(state: StateStore) -> None:
    state.outbox.add_channel(channel())
    assert tell(state, [silent()], MONDAY).num_messages == 1
    assert tell(state, [], MONDAY + DAY) == LearnersTold()
    assert tell(state, [silent()], MONDAY + 6 * DAY) == LearnersTold()  # not twice in one week
    assert tell(state, [], MONDAY + 7 * DAY) == LearnersTold()
    assert tell(state, [silent()], MONDAY + 15 * DAY) == LearnersTold(1, 0, 1)


def test_both_at_once_are_one_alert_about_the_worse(state: StateStore) -> None:
    state.outbox.add_channel(channel())
    assert tell(state, [silent(risk=1.0, days=70)], MONDAY) == LearnersTold(1, 1, 1)
    (body,) = sent(state)
    (alert,) = body["alerts"]
    assert alert["labels"]["alertname"] == "learner_high_risk"
    assert alert["startsAt"].startswith("2025-12-29")


def test_without_a_channel_nothing_counts_as_told(state: StateStore) -> None:
    assert tell(state, [silent()], MONDAY) == LearnersTold()
    state.outbox.add_channel(channel())
    assert tell(state, [silent()], MONDAY + DAY) == LearnersTold(1, 0, 1)


@pytest.mark.parametrize("late", [timedelta(days=3), -timedelta(hours=1)])
def test_a_run_for_another_time_tells_nothing(state: StateStore, late: timedelta) -> None:
    state.outbox.add_channel(channel())
    assert tell_learners(state, [silent()], MONDAY, MONDAY + late) == LearnersTold()
    assert tell(state, [silent()], MONDAY) == LearnersTold(1, 0, 1)


def test_programs_get_every_learner_and_people_one_message(state: StateStore) -> None:
    num = 2 * ALERTS_MAX + 1
    state.outbox.add_channel(channel())
    state.outbox.add_channel(channel("chat", ChannelKind.SLACK))
    state.outbox.add_channel(channel("calm", least=AlertStatus.ALERT))
    told = tell(state, [silent(f"u{n:04}") for n in range(num)], MONDAY)
    assert told == LearnersTold(num, 0, 4)
    bodies = sent(state)
    named = [one["labels"]["rule"] for body in bodies for one in body.get("alerts", [])]
    assert len(set(named)) == len(named) == num
    (chat,) = [body for body in bodies if "blocks" in body]
    assert "alerts list" not in json.dumps(chat)


def test_more_than_a_page_is_told_kept_and_forgotten_as_a_few_are(
    state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learners, "PAGE", 7)
    monkeypatch.setattr(learner_alerts, "PAGE", 5)
    state.outbox.add_channel(channel())
    state.outbox.add_channel(channel("chat", ChannelKind.SLACK))
    everybody = [silent(f"u{n:03}", risk=0.9 if n % 2 else 0.1) for n in range(2 * ALERTS_MAX)]
    assert tell(state, everybody, MONDAY) == LearnersTold(2 * ALERTS_MAX, ALERTS_MAX, 3)
    (chat,) = [body for body in sent(state) if "blocks" in body]
    text = chat["blocks"][0]["text"]["text"]
    assert text.startswith("ALERT: Learner u001: At high risk")
    assert "Learner u000" not in text
    assert chat["text"].endswith(f"(and {2 * ALERTS_MAX - 1} more)")
    assert tell(state, everybody[:10], MONDAY + 7 * DAY) == LearnersTold()
    assert sum(map(len, state.learner_alerts.told_before(MONDAY.date() + 7 * DAY))) == 15
    assert tell(state, everybody, MONDAY + 8 * DAY) == LearnersTold(90, 45, 3)


def test_a_channel_for_the_worst_hears_of_no_others(state: StateStore) -> None:
    state.outbox.add_channel(channel("calm", ChannelKind.SLACK, least=AlertStatus.ALERT))
    everybody = [silent(f"u{n:03}", risk=0.9 if n % 3 == 0 else 0.1) for n in range(300)]
    tell(state, everybody, MONDAY)
    (body,) = sent(state)
    assert body["text"].endswith("(and 99 more)")


def test_the_state_store_knows_nobody_by_name(state: StateStore) -> None:
    state.outbox.add_channel(channel())
    tell(state, [silent("erika.mustermann@example.org")], MONDAY)
    ((key,),) = state.learner_alerts.told_before(MONDAY.date() + 7 * DAY)
    assert len(key) == 16
    assert "erika" not in key
