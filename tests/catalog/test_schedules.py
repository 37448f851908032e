"""The schedules: each job has its table, and a wrong one is refused with job and key."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ebbtide.catalog.schedule import (
    check_every,
    load_schedules,
    parse_duration,
    read_schedules,
)
from ebbtide.domain.errors import CatalogError

GOOD = {
    "title": '"t"',
    "message": '"m"',
    "owner": '"o"',
    "every": '"15m"',
    "deadline": '"10m"',
    "max_delay": '"5m"',
    "attempts": "3",
}


def table(name: str = "a-job", **changes: str) -> str:
    keys = {key: value for key, value in (GOOD | changes).items() if value}
    return f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())


def test_what_comes_with_ebbtide_can_be_read() -> None:
    for name, schedule in load_schedules().items():
        assert schedule.name == name
        assert schedule.deadline < schedule.every  # else a hung run would cost a slot
        assert schedule.max_delay < schedule.every


def test_one_period_for_all() -> None:
    assert all(s.every == timedelta(hours=1) for s in load_schedules(timedelta(hours=1)).values())


def test_a_table_is_read() -> None:
    schedule = read_schedules(table())["a-job"]
    assert (schedule.every, schedule.attempts) == (timedelta(minutes=15), 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table("A_Job"), "A_Job: name"),
        (table(every=""), "a-job: every: must be a text"),
        (table(every='"7m"'), "a-job: every: the period must divide a day"),
        (table(every='"15"'), "a-job: every: '15' is no duration"),
        (table(every='"0m"'), "a-job: every: '0m' is no duration"),
        (table(deadline="600"), "a-job: deadline: must be a text"),
        (table(attempts="0"), "a-job: attempts"),
        (table(attempts="true"), "a-job: attempts"),
        (table(cron='"* * * * *"'), "a-job: cron: unknown key"),
        ("a-job = 1", "a-job: name: must be a table"),
        ("[a-job", "not TOML"),
    ],
)
def test_a_wrong_table_is_refused_with_job_and_key(text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        read_schedules(text)


@pytest.mark.parametrize(
    ("text", "minutes"), [("90s", 1.5), ("15m", 15), ("1h", 60), ("1d", 1440), ("7d", 10_080)]
)
def test_durations(text: str, minutes: float) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)
    if text != "90s":
        assert check_every(parse_duration(text))


@pytest.mark.parametrize("text", ["", "m", "-1m", "1.5h", "15 m", "15min", "9999999d"])
def test_other_words_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
