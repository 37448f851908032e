"""Changed thresholds and corrected causes: what holds when, and that nothing is made over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.attributions import Correction
from ebbtide.store.state.base import StateStore

T0 = datetime(2026, 3, 12, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEFAULTS = load_catalog().signals.pulse.thresholds


def test_without_a_change_the_definition_holds(store: StateStore) -> None:
    assert store.thresholds.effective(DEFAULTS) == DEFAULTS
    assert store.thresholds.edits() == {}


def test_a_change_holds_from_its_moment_on_and_keeps_its_exact_fraction(store: StateStore) -> None:
    replays = next(one for one in DEFAULTS if one.name == "replays_executed")
    third = replace(replays, than=Fraction(1, 3), level="warning", min_baseline=9, is_enabled=False)
    store.thresholds.put([third], T0, "key 1")
    now = {one.name: one for one in store.thresholds.effective(DEFAULTS)}
    assert now["replays_executed"] == third
    assert [one for one in now.values() if one != third] == [
        one for one in DEFAULTS if one != replays
    ]
    assert store.thresholds.effective(DEFAULTS, T0 - HOUR) == DEFAULTS
    assert store.thresholds.effective(DEFAULTS, T0) == tuple(now.values())
    store.thresholds.put([], T0 + HOUR, "key 2", reset=["replays_executed"])
    assert store.thresholds.effective(DEFAULTS) == DEFAULTS
    assert store.thresholds.effective(DEFAULTS, T0) == tuple(now.values())
    assert store.thresholds.edits()["replays_executed"].changed_by == "key 2"


def test_the_newest_correction_of_an_incident_holds(store: StateStore) -> None:
    acme = to_uuid_text("acme")
    first = Correction(acme, "e-1", "USER_MISUSE", None, T0, "key 1")
    second = replace(first, attribution="POLICY_CONFLICT", note="seen in the log")
    second = replace(second, changed_at=T0 + HOUR)
    store.attributions.add(first)
    store.attributions.add(second)
    store.attributions.add(replace(first, tenant_uuid="other"))
    assert store.attributions.effective(tenant_uuid=acme) == {(acme, "e-1"): second}
    assert store.attributions.effective(T0, tenant_uuid=acme) == {(acme, "e-1"): first}
    assert len(store.attributions.effective()) == 2


def test_an_erased_tenant_leaves_no_correction(store: StateStore) -> None:
    store.attributions.add(
        Correction(to_uuid_text("acme"), "e-1", "USER_MISUSE", "said by Ada", T0, "key 1")
    )
    store.erase_tenant("acme", T0)
    assert store.attributions.effective() == {}
