"""``ebbtide backfill``: many past moments, a clear end, and words that make no sense refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import Command

from ebbtide.jobs import backfill
from ebbtide.jobs.backfill import FilledMoment


def send(ebbtide: Command) -> None:
    """A customer with a call and an export a day, in the March of 2024."""
    lines = [
        {
            "event_id": f"{kind}-{day}",
            "tenant_id": "acme",
            "event_type": kind,
            "timestamp": f"2024-03-{day:02}T08:00:00Z",
        }
        for day in range(1, 29)
        for kind in ("API_CALL_RECEIVED", "EXPORT_GENERATED")
    ]
    path = ebbtide.folder.parent / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    ebbtide("import", str(path))


def test_every_week_is_computed_and_the_second_time_adds_nothing(ebbtide: Command) -> None:
    send(ebbtide)
    words = ("backfill", "--from", "2024-03-01", "--to", "2024-03-31", "--every", "7d")
    first = ebbtide(*words)
    days = ["2024-03-01", "2024-03-08", "2024-03-15", "2024-03-22", "2024-03-29"]
    assert [line[:10] for line in first.splitlines()[1:-1]] == days
    assert first.splitlines()[-1].startswith("5 moments computed, ")
    assert ebbtide(*words).splitlines()[-1] == "5 moments computed, 0 scores kept."
    moments: list[dict[str, Any]] = ebbtide.json(*words)["moments"]
    assert [one["as_of"][:10] for one in moments] == days
    assert [one["num_tenants"] for one in moments] == [0, 1, 1, 1, 1]


def test_moments_are_named_to_the_second_and_the_end_is_not_passed(ebbtide: Command) -> None:
    send(ebbtide)
    found = ebbtide.json(
        "backfill", "--from", "2024-03-02T09:00:00+01:00", "--to", "2024-03-02T21:59:59Z",
        "--every", "6h",
    )  # fmt: skip
    assert [one["as_of"] for one in found["moments"]] == [
        "2024-03-02T08:00:00Z",
        "2024-03-02T14:00:00Z",
        "2024-03-02T20:00:00Z",
    ]


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_who_could_not_be_computed_is_named_and_the_exit_code_says_so(
    ebbtide: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(_stores: Any, as_of: Any, _now: Any) -> FilledMoment:
        return FilledMoment(as_of, 2, 0, 0, 6, {"acme": "OverflowError: too far"})

    monkeypatch.setattr("ebbtide.api.routes.backfill.fill_moment", fails_for_one)
    assert backfill.fill_moment is not fails_for_one
    said = ebbtide("backfill", "--from", "2024-03-01", "--to", "2024-03-01", code=2)
    assert "left out at 2024-03-01T00:00:00Z: acme: OverflowError: too far" in said


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "2024-03-02", "--to", "2024-03-01"), "lies after"),
        (("--from", "yesterday", "--to", "2024-03-01"), "no day such as"),
        (("--from", "2024-02-30", "--to", "2024-03-01"), "no day such as"),
        (("--from", "2024-03-01", "--to", "2024-03-02", "--every", "0d"), "no duration"),
        (("--from", "2024-03-01"), "--to"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ebbtide: Command, words: tuple[str, ...], said: str
) -> None:
    result = ebbtide.run("backfill", *words)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
