"""Backfill over HTTP: one past moment at a time, by those who may, and never the future."""

from __future__ import annotations

from datetime import timedelta

import pytest
from api_server import NOON, Server, event

from ebbtide.domain.time import format_instant

DAY = timedelta(days=1)


def path(days: float) -> str:
    return f"/ops/backfill?as_of={format_instant(NOON - days * DAY)}"


def tell(server: Server) -> None:
    """A customer who was silent a week ago and has come back since."""
    server.admin.send(
        *(
            event(
                tenant_id="acme",
                event_type="API_CALL_RECEIVED",
                timestamp=format_instant(NOON - day * DAY),
            )
            for day in range(30)
        ),
        event(
            tenant_id="acme",
            event_type="EXPORT_GENERATED",
            timestamp=format_instant(NOON - DAY),
        ),
    )


def test_a_moment_is_computed_kept_and_the_second_time_the_same(fresh: Server) -> None:
    tell(fresh)
    client = fresh.client("jobs:run")
    first = client.ask("POST", path(7))
    assert first.status == 200
    assert first.json == {
        "as_of": format_instant(NOON - 7 * DAY),
        "num_tenants": 1,
        "num_at_risk": 1,
        "num_silent": 1,
        "num_scores": 6,
        "failed_tenants": [],
    }
    again = client.ask("POST", f"/api/v1{path(7)}")
    assert again.json == first.json | {"num_scores": 0}
    assert fresh.house.services.state.scores.head().as_of is None


def test_the_future_no_moment_and_half_a_moment_are_refused(fresh: Server) -> None:
    for asked, status in [
        (path(-1), 422),
        ("/ops/backfill", 422),
        ("/ops/backfill?as_of=2026-03-01T00:00:00", 422),
        (path(1) + "&every=7d", 400),
    ]:
        assert fresh.admin.ask("POST", asked).status == status, asked


@pytest.mark.parametrize(("scopes", "tenant"), [(["read"], None), (["jobs:run"], "acme")])
def test_other_keys_may_not(fresh: Server, scopes: list[str], tenant: str | None) -> None:
    assert fresh.client(*scopes, tenant=tenant).ask("POST", path(1)).status == 403
