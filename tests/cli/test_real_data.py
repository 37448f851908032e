"""What docs/howto/real-data.md tells of real data holds, from the import to the answer.

It runs where EBBTIDE_TEST_DATA names the folder of the public data sets.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from command import Command

from ebbtide.app.house import House
from ebbtide.app.settings import Settings
from ebbtide.catalog.incidents import ATTRIBUTIONS
from ebbtide.signals.incident_reading import IncidentReader
from ebbtide.signals.pulse import State
from ebbtide.signals.pulse_reading import Pulse, take_pulse

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"
DAY = timedelta(days=1)


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("EBBTIDE_TEST_DATA")
    if not folder:
        pytest.skip("set EBBTIDE_TEST_DATA to the folder of public data sets to run this")
    return Path(folder)


Imported = Callable[[Path, Path], House]


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Imported]:
    """Import a file with a mapping into a new folder, and open it."""
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path / "data"))
    opened: list[House] = []

    def load(file: Path, mapping: Path) -> House:
        Command(tmp_path / "data", "alone")("import", str(file), "--mapping", str(mapping))
        opened.append(House(Settings(data_dir=tmp_path / "data")))
        return opened[0]

    try:
        yield load
    finally:
        for house in opened:
            house.close()
        structlog.reset_defaults()


def of_day(month: int, day: int) -> datetime:
    """The end of a day of 2024."""
    return datetime(2024, month, day, tzinfo=UTC) + DAY


def pulse_of(house: House, at: datetime) -> Pulse:
    services = house.services
    return take_pulse(services.catalog, services.events, services.state, at)


def reader_of(house: House, at: datetime) -> IncidentReader:
    services = house.services
    return IncidentReader(services.catalog, services.events, services.state, at)


def trend_of(house: House, at: datetime, event_type: str) -> str | None:
    (found,) = (one for one in reader_of(house, at).patterns() if one.event_type == event_type)
    return found.trend


def test_incidents_of_a_shop_show_within_a_day(imported: Imported, data: Path) -> None:
    house = imported(data / "shop-clickstream" / "ecom.csv.gz", EXAMPLES / "shop-clickstream.toml")

    # The payment provider fails from 19 May to 7 June.
    before = pulse_of(house, of_day(5, 18))
    assert before.verdict.state is State.STABLE
    assert trend_of(house, of_day(5, 18), "LLM_CALL_FAILED") is None
    first = pulse_of(house, of_day(5, 19))
    assert first.verdict.state is State.ACTIVE_FAILURE
    assert [alert.name for alert in first.verdict.alerts] == ["llm_failure_rate"]
    assert trend_of(house, of_day(5, 19), "LLM_CALL_FAILED") == "increasing"
    assert pulse_of(house, of_day(6, 9)).verdict.state is State.STABLE

    # The checkout is broken from 9 April on; the first visitor runs into it on 13 April.
    assert trend_of(house, of_day(4, 12), "POLICY_BLOCKED") is None
    assert trend_of(house, of_day(4, 13), "POLICY_BLOCKED") == "increasing"

    # With the article of 29 February incidents rise, of too few for an alarm.
    article = pulse_of(house, of_day(2, 29)).verdict
    assert article.alerts == ()
    assert any("Incidents rose by 300 %" in reason for reason in article.reasons)


def test_reverts_of_teams_are_incidents(imported: Imported, data: Path) -> None:
    house = imported(data / "teams" / "events.parquet", EXAMPLES / "teams.toml")
    end = datetime(2024, 1, 1, tzinfo=UTC)
    reader = reader_of(house, end)

    (row,) = reader.heatmap(end - 365 * DAY)["by_policy"]
    incidents = reader.incidents(end - 365 * DAY)
    assert row.cell == (None,)
    assert row.num == len(incidents) == 102
    causes = reader.attributions(incidents)
    assert len(causes) == 102
    assert Counter(one.needs_review for one in causes.values()) == {True: 102}
    assert {one.attribution for one in causes.values()} <= set(ATTRIBUTIONS)
    # A commit names neither policy nor version, so there is nothing to compare.
    assert reader.regressions() == ([], [])
    assert reader.day_over_day() == []


def test_real_model_calls_cost_what_their_prices_say(
    imported: Imported, data: Path, tmp_path: Path
) -> None:
    for file in (EXAMPLES / "azure-llm-calls.toml", data / "llm-calls" / "model_prices.json"):
        shutil.copy(file, tmp_path)
    house = imported(data / "llm-calls" / "azure_2023.parquet", tmp_path / "azure-llm-calls.toml")

    rows = house.services.events.query(
        "SELECT tenant_id, SUM(cost_usd) FROM events GROUP BY tenant_id"
    )
    assert {tenant: round(cost, 4) for tenant, cost in rows} == {
        "code": Decimal("2.8565"),
        "conv": Decimal("5.8075"),
    }
    pulse = pulse_of(house, datetime(2023, 11, 17, tzinfo=UTC) - timedelta(microseconds=1))
    assert pulse.strip is not None and pulse.strip.cost_today_usd is not None
    assert round(pulse.strip.cost_today_usd, 4) == Decimal("8.6640")
