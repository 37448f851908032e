"""Fills a fresh data folder with the simulated sample company, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ebbtide.app.house import House
from ebbtide.cli.output import console, errors
from ebbtide.domain.errors import SettingsError
from ebbtide.domain.event import Outcome
from ebbtide.domain.resource import Origin as SampleOrigin
from ebbtide.domain.resource import ResourceSample
from ebbtide.domain.tenant import Contact, Fact, Origin
from ebbtide.domain.time import format_instant, parse_instant
from ebbtide.simulate.simulation import Simulation, simulate
from ebbtide.store.state.settings import SAMPLE_COMPANY

FILLED = "demo.filled"  # what the settings shelf remembers once the company is in
TRUTH_FILE = "simulated-truth.json"
BATCH_EVENTS = 50_000


def fill(house: House, *, seed: int, num_tenants: int, num_days: int) -> None:
    """Store the sample company unless it is there already.

    A fill that was interrupted is repeated whole: its event ids come from the seed and the
    end that was chosen at the first start, so what is there already counts as duplicate.

    Raises:
        SettingsError: the folder holds events that are not a sample company.
    """
    services = house.services
    shelf = services.state.settings
    if shelf.get(FILLED) is not None:
        return
    plan = shelf.get_or_set(
        SAMPLE_COMPANY,
        json.dumps(
            {
                "seed": seed,
                "num_tenants": num_tenants,
                "num_days": num_days,
                "end": format_instant(_last_hour(services.clock())),
            }
        ),
    )
    chosen = json.loads(plan)
    end = parse_instant(chosen.pop("end"))
    story = simulate(end=end, **chosen)
    if services.events.query(
        "SELECT COUNT(*) FROM event_rollup WHERE tenant_id NOT IN (:simulated)",
        {"simulated": [tenant["tenant_id"] for tenant in story.tenants]},
    )[0][0]:
        raise SettingsError(
            f"{house.settings.data_dir} holds real events; the demo needs a folder of its own"
        )
    num_stored = _store(house, story)
    _enter(house, story, end)
    services.state.resources.add(list(_gauges(story)))
    truth = house.settings.data_dir / TRUTH_FILE
    truth.write_text(json.dumps(story.truth, indent=2) + "\n", encoding="utf-8")
    services.events.maintain()
    for job in services.runner.jobs:  # so that there is an answer at once, before the first slot
        services.runner.run_now(job, "demo")
    shelf.set(FILLED, format_instant(services.clock()))
    console.print(
        f"Simulated {num_stored:,} events of {len(story.tenants)} customers over"
        f" {story.num_days} days; what was scripted stands in {truth}"
    )


def _last_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _store(house: House, story: Simulation) -> int:
    columns = (
        TextColumn("simulating the sample company"),
        BarColumn(),
        TaskProgressColumn(),
    )
    num_stored = 0
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("days", total=story.num_days)
        for events in _batches(story, lambda: progress.advance(bar)):
            outcome = house.services.bulk.load(
                _table(events),
                door="demo",
                received_at=house.services.clock(),
                default_source="simulated",
                file=None,
                key=FILLED,
            )
            lost = outcome.counts[Outcome.QUARANTINED] + outcome.counts[Outcome.CONFLICT]
            if lost:
                raise SettingsError(f"{lost} simulated events were not stored; see quarantine list")
            num_stored += outcome.counts[Outcome.STORED]
    return num_stored


def _gauges(story: Simulation) -> Iterator[ResourceSample]:
    """What a gauge of the sample company's Redis would have read."""
    redis = story.truth["redis"]
    for one in redis["samples"]:
        yield ResourceSample(
            redis["resource"],
            parse_instant(one["at"]),
            float(one["current"]),
            float(redis["limit"]),
            redis["unit"],
            SampleOrigin.GAUGE,
        )


def _batches(story: Simulation, on_day: Any) -> Iterator[list[dict[str, Any]]]:
    held: list[dict[str, Any]] = []
    for events in story.batches():
        held.extend(events)
        on_day()
        if len(held) >= BATCH_EVENTS:
            yield held
            held = []
    if held:
        yield held


def _table(events: list[dict[str, Any]]) -> pa.Table:
    """Events as the unchecked columns that the bulk path takes."""
    names = (
        "event_id timestamp tenant_id user_id session_id event_type entity_type entity_id"
        " severity latency_ms source"
    ).split()
    columns: dict[str, Any] = {name: [event.get(name) for event in events] for name in names}
    costs = [event.get("cost_usd") for event in events]
    columns["cost_usd"] = pa.array(
        [None if cost is None else Decimal(repr(cost)) for cost in costs],
        pa.decimal128(18, 10),
    )
    columns["metadata"] = [
        msgspec.json.encode(event.get("metadata") or {}).decode() for event in events
    ]
    # Received as it happened: a history of which everything was known only today would make
    # every question about the past come out empty.
    columns["received_at"] = [
        parse_instant(event["timestamp"]) + timedelta(seconds=1) for event in events
    ]
    columns["line"] = pa.array(range(1, len(events) + 1), pa.int64())
    return pa.table(columns)


def _enter(house: House, story: Simulation, end: datetime) -> None:
    for tenant in story.tenants:
        contacts = tuple(
            Contact(one.get("name"), one.get("email"), one.get("role"))
            for one in tenant.get("contacts") or ()
        )
        # Known since they signed up: an answer as it was known then has names too.
        started = tenant.get("started")
        at = end if started is None else parse_instant(started)
        facts = [
            Fact("name", tenant.get("name"), at, Origin.API),
            Fact("contacts", contacts, at, Origin.API),
        ]
        house.services.state.tenants.put(tenant["tenant_id"], facts, at)
