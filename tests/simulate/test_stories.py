"""What the ground truth says about each customer really stands in the events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import fmean
from typing import Any

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.time import parse_instant
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.simulate.personas import PERSONAS, STATES, TRAITS
from ebbtide.simulate.simulation import Simulation, simulate

END = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
INVESTIGATION_TENTHS = {"INCIDENT_VIEWED": 2, "REPLAY_EXECUTED": 3, "EXPORT_GENERATED": 5}
FRICTION_TYPES = {
    "REPLAY_ABORTED",
    "EXPORT_ABORTED",
    "REPLAY_FAILED",
    "EXPORT_FAILED",
    "POLICY_BLOCK_REPEAT",
    "SESSION_IDLE_TIMEOUT",
    "INCIDENT_VIEWED_NO_ACTION",
}

Event = dict[str, Any]
Truth = dict[str, Any]


class Story:
    """The events of one simulation by customer, in time order, with some simple sums."""

    def __init__(self, simulation: Simulation) -> None:
        self.truth = simulation.truth
        self.directory = {tenant["tenant_id"]: tenant for tenant in simulation.tenants}
        self.events: dict[str, list[Event]] = defaultdict(list)
        for event in simulation:
            self.events[event["tenant_id"]].append(event)

    def tenants(self, wanted: Callable[[Truth], bool]) -> list[Truth]:
        """The customers of whom something is true, never none of them."""
        found = [tenant for tenant in self.truth["tenants"] if wanted(tenant)]
        assert found, "the company shows nobody of this kind"
        return found

    def of_types(self, tenant: Truth, types: set[str]) -> Iterator[Event]:
        return (e for e in self.events[tenant["tenant_id"]] if e["event_type"] in types)

    def num(self, tenant: Truth, event_type: str, days: float = 1000) -> int:
        return sum(1 for e in self.of_types(tenant, {event_type}) if e["timestamp"] > ago(days))

    def ratio(self, tenant: Truth) -> Fraction | None:
        """The 7-day score against the 30-day base of a customer at least 30 days old."""
        last_7d = last_30d = 0
        for event in self.of_types(tenant, set(INVESTIGATION_TENTHS)):
            points = INVESTIGATION_TENTHS[event["event_type"]]
            last_7d += points if event["timestamp"] > ago(7) else 0
            last_30d += points if event["timestamp"] > ago(30) else 0
        return Fraction(last_7d * 30, last_30d * 7) if last_30d else None

    def friction_7d(self, tenant: Truth) -> Counter[str]:
        return Counter(
            e["event_type"]
            for e in self.of_types(tenant, FRICTION_TYPES)
            if e["timestamp"] > ago(7)
        )

    def last(self, tenant: Truth, *types: str) -> str:
        return max((e["timestamp"] for e in self.of_types(tenant, set(types))), default="")


def ago(days: float) -> str:
    return (END - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture(scope="module", params=[7, 20_260_301])
def story(request: pytest.FixtureRequest) -> Story:
    return Story(simulate(request.param, 24, 45, END, scale=0.5))


def test_every_persona_state_and_twist_is_there(story: Story) -> None:
    tenants = story.truth["tenants"]
    assert {tenant["persona"] for tenant in tenants} == set(PERSONAS)
    assert {tenant["state"] for tenant in tenants} == set(STATES)
    assert {trait for tenant in tenants for trait in tenant["traits"]} == set(TRAITS)


def test_ingest_takes_every_event_and_every_settled_type_is_there(story: Story) -> None:
    catalog = load_catalog()
    validator = Validator(catalog)
    seen = set()
    for events in story.events.values():
        for fields in events:
            event = validator.check(fields, received_at=END, default_source="unsaid")
            assert not isinstance(event, Rejection), (event, fields)
            assert event.source == "simulated"
            kind = catalog.event_types[fields["event_type"]]
            assert fields["metadata"].keys() <= kind.metadata.keys(), fields
            seen.add(kind.name)
    # A new type is experimental at first, and no story has been written for it yet.
    settled = {name for name, kind in catalog.event_types.items() if kind.status != "experimental"}
    assert len(settled) >= 26
    assert seen >= settled


def test_each_customer_signs_up_first(story: Story) -> None:
    for tenant in story.truth["tenants"]:
        first = story.events[tenant["tenant_id"]][0]
        assert first["event_type"] == "SUBSCRIPTION_STARTED"
        assert first["timestamp"] == tenant["moments"]["signed_up"]
        entry = story.directory[tenant["tenant_id"]]
        newest = list(story.of_types(tenant, {"SUBSCRIPTION_STARTED"}))[-1]["metadata"]
        assert (entry["plan"], entry["price_usd"]) == (newest["plan"], newest["price_usd"])


def test_decaying_customers_fall_below_half_and_healthy_ones_stay(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] in ("decaying", "healthy")):
        expected, ratio = tenant["expect"]["stickiness_ratio"], story.ratio(tenant)
        if tenant["persona"] == "proxy_only":
            assert expected is None and ratio is None
            continue
        assert ratio is not None
        if tenant["state"] == "decaying":
            assert expected == {"below": 0.5} and ratio < Fraction(1, 2)
        else:
            assert expected == {"above": 0.7, "below": 1.5}
            assert Fraction(7, 10) < ratio < Fraction(3, 2), tenant["tenant_id"]


def test_decay_begins_on_its_day(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] == "decaying"):
        begin = parse_instant(tenant["moments"]["decay_from"])
        views = [parse_instant(e["timestamp"]) for e in story.of_types(tenant, {"INCIDENT_VIEWED"})]
        week_before = sum(begin - timedelta(days=7) < view <= begin for view in views)
        week_after = sum(
            begin + timedelta(days=3) < view <= begin + timedelta(days=10) for view in views
        )
        assert week_before >= 8 and week_after < week_before / 2


def test_silent_customers_go_on_calling_and_investigate_no_more(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] == "silent"):
        silent_from = tenant["moments"]["silent_from"]
        last = story.last(tenant, *INVESTIGATION_TENTHS)
        assert "" < last < silent_from
        assert silent_from < ago(7) or "certs_only" in tenant["traits"]
        assert story.last(tenant, "API_CALL_RECEIVED") > ago(1)
        assert story.last(tenant, "LOGIN") < silent_from


def test_silent_churn_is_found_where_it_is_told(story: Story) -> None:
    for tenant in story.truth["tenants"]:
        is_calling = story.last(tenant, "API_CALL_RECEIVED") > ago(2)
        has_stopped = story.last(tenant, *INVESTIGATION_TENTHS) < ago(7)
        is_old = tenant["moments"]["signed_up"] < ago(8)
        is_paying = tenant["expect"]["status"] == "active"
        found = is_paying and is_calling and has_stopped and is_old
        assert found == tenant["expect"]["silent_churn"], tenant["tenant_id"]


def test_cancelled_customers_fade_and_then_send_nothing(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] == "cancelled"):
        cancelled = tenant["moments"]["cancelled"]
        assert story.directory[tenant["tenant_id"]]["cancelled"] == cancelled
        last = story.events[tenant["tenant_id"]][-1]
        assert (last["event_type"], last["timestamp"]) == ("SUBSCRIPTION_CANCELLED", cancelled)
        assert story.num(tenant, "API_CALL_RECEIVED") > 100
        assert tenant["expect"]["status"] == "churned"
        end = parse_instant(cancelled)
        moments = [parse_instant(e["timestamp"]) for e in story.of_types(tenant, {"LOGIN"})]
        last_week = sum(moment > end - timedelta(days=7) for moment in moments)
        before = sum(
            end - timedelta(days=21) < moment <= end - timedelta(days=14) for moment in moments
        )
        assert last_week < before


def test_frustrated_customers_meet_the_friction_that_is_told(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] == "frustrated"):
        friction, expected = story.friction_7d(tenant), tenant["expect"]["friction_events_7d"]
        assert friction.total() > expected["above"] == 5
        assert friction.most_common(1)[0][0] in expected["top_type_among"]
        if tenant["expect"]["blocked_policy"]:
            policies = Counter(
                e["metadata"]["policy_id"]
                for e in story.of_types(tenant, {"POLICY_BLOCK_REPEAT"})
                if e["timestamp"] > ago(7)
            )
            assert policies[tenant["expect"]["blocked_policy"]] >= 3 and len(policies) == 1


def test_healthy_customers_meet_little_friction(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["state"] == "healthy"):
        assert story.friction_7d(tenant).total() <= 5


def test_the_first_week_shows_the_intent_that_is_told(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["expect"]["intent"] is not None):
        sign_up = parse_instant(tenant["moments"]["signed_up"])
        week, day = sign_up + timedelta(days=7), sign_up + timedelta(days=1)
        early = [
            (e["event_type"], parse_instant(e["timestamp"]))
            for e in story.events[tenant["tenant_id"]]
            if parse_instant(e["timestamp"]) < week
        ]
        types = {event_type for event_type, _ in early}
        if any(kind == "EXPORT_GENERATED" and moment < day for kind, moment in early):
            found = ("Legal/Compliance", 0.95)
        elif "EXPORT_GENERATED" in types:
            found = ("Legal/Compliance", 0.85)
        elif "REPLAY_EXECUTED" in types:
            found = ("Debugging", 0.75)
        elif "INCIDENT_CREATED" in types:
            found = ("Reliability Monitoring", 0.65)
        else:
            found = ("Proxy Only", 0.50)
        expected = tenant["expect"]["intent"]
        assert found == (expected["buyer_type"], expected["confidence"]), tenant["tenant_id"]
    confidences = {t["expect"]["intent"]["confidence"] for t in story.tenants(_has_intent)}
    assert confidences == {0.95, 0.85, 0.75, 0.65, 0.5}


def _has_intent(tenant: Truth) -> bool:
    return tenant["expect"]["intent"] is not None


def test_unit_economics_show_the_flags_that_are_told(story: Story) -> None:
    costs = {
        t["tenant_id"]: sum(
            e.get("cost_usd", 0)
            for e in story.of_types(t, {"LLM_CALL_MADE", "LLM_CALL_FAILED"})
            if e["timestamp"] > ago(30)
        )
        for t in story.truth["tenants"]
    }
    calls = {t["tenant_id"]: story.num(t, "API_CALL_RECEIVED", 30) for t in story.truth["tenants"]}
    flagged = set()
    for tenant in story.tenants(lambda t: t["expect"]["unit_economics_flags"] is not None):
        if tenant["expect"]["status"] == "churned":
            continue
        tenant_id, found = tenant["tenant_id"], []
        if story.num(tenant, "EXPORT_GENERATED", 30) and not story.num(
            tenant, "REPLAY_EXECUTED", 30
        ):
            found.append("exports_without_replays")
        if costs[tenant_id] > story.directory[tenant_id]["price_usd"]:
            found.append("negative_margin")
        others = sorted(number for other, number in calls.items() if other != tenant_id)
        is_abuse = calls[tenant_id] > 10 * others[len(others) // 2]
        if costs[tenant_id] > 0.3 * sum(costs.values()):
            assert is_abuse
            found.append("resource_hog")
        else:
            assert not is_abuse
        assert found == tenant["expect"]["unit_economics_flags"], tenant_id
        flagged |= set(found)
    assert flagged == {"exports_without_replays", "negative_margin", "resource_hog"}


def test_certificates_only(story: Story) -> None:
    for tenant in story.tenants(lambda t: "certs_only" in t["traits"]):
        assert story.num(tenant, "CERT_VERIFIED", 30) >= 5
        assert story.num(tenant, "EXPORT_GENERATED") >= 1
        assert story.num(tenant, "EXPORT_GENERATED", 30) == 0
        assert story.num(tenant, "REPLAY_EXECUTED", 30) == 0


def test_changes_come_shortly_before_the_decay_they_explain(story: Story) -> None:
    kinds = set()
    for tenant in story.tenants(lambda t: t["expect"]["change_before_decay"] is not None):
        change = tenant["expect"]["change_before_decay"]
        kinds.add(change["kind"])
        lead = parse_instant(tenant["moments"]["decay_from"]) - parse_instant(change["at"])
        assert timedelta(0) < lead < timedelta(days=2)
        if change["kind"] == "freeze":
            [freeze] = story.of_types(tenant, {"FREEZE_ACTIVATED"})
            assert freeze["timestamp"] == change["at"] and freeze["severity"] == 5
            thaw = parse_instant(change["at"]) + timedelta(hours=12)
            calls = list(story.of_types(tenant, {"API_CALL_RECEIVED"}))
            refused = [c for c in calls if c["metadata"]["status_code"] == 423]
            assert refused == [
                c
                for c in calls
                if change["at"] <= c["timestamp"] and parse_instant(c["timestamp"]) < thaw
            ]
            assert refused
        else:
            calls = list(story.of_types(tenant, {"LLM_CALL_MADE"}))
            old = Counter(e["metadata"]["model"] for e in calls if e["timestamp"] < change["at"])
            new = Counter(e["metadata"]["model"] for e in calls if e["timestamp"] > change["at"])
            assert old.most_common(1)[0][0] != new.most_common(1)[0][0]
    assert kinds == {"freeze", "model_switch"}


def test_the_regression_shows_on_its_tenants_from_its_hour_on(story: Story) -> None:
    told = story.truth["regression"]
    severities: dict[str, list[int]] = defaultdict(list)
    for tenant in story.truth["tenants"]:
        is_affected = tenant["tenant_id"] in told["affected_tenants"]
        assert (tenant["moments"]["regression"] == told["at"]) == is_affected
        for event in story.of_types(tenant, {"INCIDENT_CREATED", "POLICY_EVALUATED"}):
            metadata = event["metadata"]
            if metadata["policy_id"] != told["policy_id"]:
                continue
            version = metadata["policy_version"]
            if event["event_type"] == "INCIDENT_CREATED":
                severities[version].append(event["severity"])
            # A verdict comes some milliseconds after its call, an incident some seconds.
            if version == told["to_version"]:
                assert is_affected and event["timestamp"] > told["at"]
            elif is_affected and event["event_type"] == "POLICY_EVALUATED":
                assert event["timestamp"] < told["at"][:-8] + "1.000000Z"
    before, after = severities[told["from_version"]], severities[told["to_version"]]
    assert len(severities) == 2 and len(before) > 500 and len(after) > 40
    assert abs(fmean(before) - told["mean_severity_before"]) < 0.15
    assert abs(fmean(after) - told["mean_severity_after"]) < 0.35
    assert told["mean_severity_change"] == 0.8
    assert fmean(after) - fmean(before) > 0.5


def test_the_regression_brings_more_incidents_per_verdict(story: Story) -> None:
    told = story.truth["regression"]
    num: Counter[tuple[str, str]] = Counter()
    for tenant_id in told["affected_tenants"]:
        for event in story.events[tenant_id]:
            if event["metadata"].get("policy_id") == told["policy_id"]:
                num[event["event_type"], event["metadata"]["policy_version"]] += 1
    rates = [
        num["INCIDENT_CREATED", told[version]] / num["POLICY_EVALUATED", told[version]]
        for version in ("from_version", "to_version")
    ]
    assert rates[1] > 2 * rates[0]


def test_redis_grows_as_told_and_is_reported_from_80_percent_on(story: Story) -> None:
    told = story.truth["redis"]
    hits = [
        e
        for events in story.events.values()
        for e in events
        if e["event_type"] == "INFRA_LIMIT_HIT"
    ]
    assert hits
    for event in hits:
        metadata = event["metadata"]
        assert metadata["resource"] == told["resource"] and metadata["limit"] == told["limit"]
        assert metadata["current"] / metadata["limit"] >= 0.8
        assert metadata["utilization_pct"] == round(100 * metadata["current"] / told["limit"], 2)
    first = parse_instant(min(e["timestamp"] for e in hits))
    assert abs(first - parse_instant(told["reaches_80_pct_at"])) < timedelta(hours=12)

    samples = [(parse_instant(s["at"]), s["current"]) for s in told["samples"]]
    (begin, low), (finish, high) = samples[0], samples[-1]
    growth = (high - low) / ((finish - begin) / timedelta(days=1))
    assert abs(growth - told["growth_per_day"]) < 0.05
    assert 0.8 < told["current"] / told["limit"] < 0.84
    days = (told["limit"] - told["current"]) / told["growth_per_day"]
    assert abs(days - told["days_to_limit"]) < 0.3
    assert parse_instant(told["reaches_limit_at"]) > END


def test_llm_calls_fail_in_one_to_two_percent(story: Story) -> None:
    num = Counter(e["event_type"] for events in story.events.values() for e in events)
    failed, made = num["LLM_CALL_FAILED"], num["LLM_CALL_MADE"]
    assert 0.01 < failed / (failed + made) < 0.02


def test_incidents_carry_the_evidence_of_their_cause(story: Story) -> None:
    causes: Counter[str] = Counter()
    calls = {
        e["metadata"]["call_id"]
        for events in story.events.values()
        for e in events
        if e["event_type"] == "POLICY_EVALUATED"
    }
    for tenant in story.truth["tenants"]:
        for event in story.of_types(tenant, {"INCIDENT_CREATED"}):
            evidence = event["metadata"]
            causes[evidence["trigger_type"]] += 1
            told = story.truth["attribution_by_trigger_type"][evidence["trigger_type"]]
            assert told == _attribution(evidence), evidence
            assert evidence["call_id"] in calls
    assert set(causes) == set(story.truth["attribution_by_trigger_type"])


def _attribution(evidence: Event) -> str | None:
    """The forced attribution in its order of rules; None where only the fallback is left."""
    if evidence.get("error_type") == "timeout" or evidence.get("http_status", 0) >= 500:
        return "INFRA_TIMEOUT"
    if evidence.get("limit") in ("cost", "token"):
        return "BUDGET_EXCEEDED"
    if evidence["input_violation"]:
        return "USER_MISUSE"
    if evidence["context_empty"]:
        return "CONTEXT_MISSING"
    if len(evidence["policies_fired"]) >= 2:
        return "POLICY_CONFLICT"
    if "CONTENT_ACCURACY" in evidence["policies_fired"]:
        return "MODEL_HALLUCINATION"
    return None


def test_sessions_tie_the_events_of_one_visit_together(story: Story) -> None:
    for tenant in story.truth["tenants"]:
        sessions: dict[str, list[Event]] = defaultdict(list)
        for event in story.events[tenant["tenant_id"]]:
            if "session_id" in event:
                sessions[event["session_id"]].append(event)
        assert bool(sessions) == (tenant["persona"] != "proxy_only")
        for events in sessions.values():
            types = [event["event_type"] for event in events]
            assert types[0] == "LOGIN" and types.count("SESSION_STARTED") <= 1
            assert len({event["user_id"] for event in events}) == 1
            assert sum(t in ("SESSION_ENDED", "SESSION_IDLE_TIMEOUT") for t in types) <= 1
            # Started, then done, given up or failed; only a cut visit leaves one open.
            for kind in ("REPLAY", "EXPORT"):
                ends = {f"{kind}_{end}" for end in ("EXECUTED", "GENERATED", "ABORTED", "FAILED")}
                assert 0 <= types.count(f"{kind}_STARTED") - sum(t in ends for t in types) <= 1


def test_incidents_are_viewed_after_they_happened(story: Story) -> None:
    for tenant in story.tenants(lambda t: t["persona"] != "proxy_only"):
        created: dict[str, str] = {}
        for event in story.events[tenant["tenant_id"]]:
            if event["event_type"] == "INCIDENT_CREATED":
                created[event["entity_id"]] = event["timestamp"]
            elif event["event_type"] == "INCIDENT_VIEWED":
                assert created[event["entity_id"]] < event["timestamp"]
            elif "incident_id" in event["metadata"]:
                assert event["metadata"]["incident_id"] in created


def test_calls_follow_the_day_and_the_week(story: Story) -> None:
    healthy = story.tenants(lambda t: t["state"] == "healthy")
    moments = [
        parse_instant(e["timestamp"])
        for tenant in healthy
        if "resource_hog" not in tenant["traits"]
        for e in story.of_types(tenant, {"API_CALL_RECEIVED"})
    ]
    weekend = sum(moment.weekday() >= 5 for moment in moments)
    assert weekend / 2 < 0.6 * (len(moments) - weekend) / 5
    by_hour = Counter(moment.hour for moment in moments)
    assert max(by_hour.values()) > 3 * min(by_hour[hour] for hour in range(24))
