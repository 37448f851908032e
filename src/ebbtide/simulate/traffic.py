"""What a sample customer's programs cause: proxied calls, policy verdicts, incidents."""

from __future__ import annotations

from typing import NamedTuple

from ebbtide.simulate.draws import LOGNORMAL_PERMILLE, Draws, Quota, Weighted
from ebbtide.simulate.event import Fields, make_event
from ebbtide.simulate.models import MODELS, Model
from ebbtide.simulate.redis_growth import QUIET_US, RedisGrowth
from ebbtide.simulate.rhythm import (
    CALL_HOUR,
    CALL_WEEK,
    DAY_US,
    MINUTE_US,
    moment_within,
    weekday,
)
from ebbtide.simulate.script import (
    FREEZE_US,
    REGRESSION_FROM_VERSION,
    REGRESSION_POLICY,
    REGRESSION_TO_VERSION,
    Frame,
    Script,
)

POLICY_VERSIONS = {
    REGRESSION_POLICY: REGRESSION_FROM_VERSION,
    "PROMPT_INJECTION": "v7",
    "PII_SHIELD": "v4",
    "TOXICITY": "v5",
    "BUDGET_CAP": "v3",
}
REPEAT_POLICY = "PII_SHIELD"  # the one that blocks a frustrated tenant again and again
REPEATS_PER_DAY = 1.4

_policy = Weighted(
    {REGRESSION_POLICY: 50, "PROMPT_INJECTION": 20, "PII_SHIELD": 15, "TOXICITY": 15}
)
_BLOCK_SHARE = 0.012
_REPEAT_BLOCK_SHARE = 0.15
_FAILURE_SHARE = 0.009  # failures behind incidents come on top: 1 to 2 % together
_SECOND_MODEL_SHARE = 0.15
UPSTREAM_TIMEOUT_MS = 30_000
_SECOND_MODEL = {"tidal-small-1": "heath-pro-2"}

#: What sets an incident off. Each cause leaves its own evidence, save the last one.
TRIGGERS = {
    "accuracy_check": "MODEL_HALLUCINATION",
    "several_policies": "POLICY_CONFLICT",
    "empty_context": "CONTEXT_MISSING",
    "llm_failure": "INFRA_TIMEOUT",
    "limit_exceeded": "BUDGET_EXCEEDED",
    "input_violation": "USER_MISUSE",
    "user_report": None,
}
_trigger_weights = {
    "accuracy_check": 40,
    "several_policies": 10,
    "empty_context": 12,
    "llm_failure": 12,
    "limit_exceeded": 8,
    "input_violation": 12,
    "user_report": 6,
}
REGRESSION_RATE_FACTOR = 4  # incidents of the faulty version per former incident
_trigger = Weighted(_trigger_weights)
_trigger_regressed = Weighted(
    _trigger_weights
    | {"accuracy_check": _trigger_weights["accuracy_check"] * REGRESSION_RATE_FACTOR}
)
#: Incidents of all kinds under the faulty version per former incident.
_REGRESSED_SHARE = (100 - 40 + 40 * REGRESSION_RATE_FACTOR) / 100

#: Severities of incidents, in per cent; the means are 2.42 and 3.22.
SEVERITY_PERCENT = {1: 15, 2: 40, 3: 35, 4: 8, 5: 2}
SEVERITY_PERCENT_REGRESSED = {1: 5, 2: 17, 3: 38, 4: 31, 5: 9}
_severity = Weighted(SEVERITY_PERCENT)
_severity_regressed = Weighted(SEVERITY_PERCENT_REGRESSED)

_upstream_error = Weighted(
    {("timeout", 504): 55, ("server_error", 502): 30, ("rate_limited", 429): 15}
)
# A rate limit of the upstream is no infrastructure incident.
_infra_error = Weighted({("timeout", 504): 65, ("server_error", 502): 35})
_endpoint = Weighted({"/v1/chat/completions": 85, "/v1/completions": 8, "/v1/embeddings": 7})


class Incident(NamedTuple):
    """An incident as the people in the console find it."""

    created_us: int
    incident_id: str


class Traffic:
    """Makes the machine side of one customer, one UTC day after the other."""

    def __init__(self, frame: Frame, script: Script, redis: RedisGrowth) -> None:
        self._script = script
        self._redis = redis
        self._scale = frame.scale
        self._draws = Draws(frame.seed, script.index, "traffic")
        self._repeats = Quota(self._draws)
        self._num_repeats = 0
        self._redis_quiet_until_us = redis.first_alarm_us
        self._api_key = f"key-{script.tenant_id}-1"

    def day(self, day_us: int, out: list[Fields]) -> list[Incident]:
        """Append the events of the calls that come in on one UTC day, in no order.

        Args:
            day_us: 00:00 UTC of the day.
            out: receives the events; answers to calls just before midnight fall on the next day.

        Returns:
            The incidents created, oldest first; empty when there were none.
        """
        script, draws = self._script, self._draws
        if day_us + DAY_US <= script.signed_up_us:
            return []
        noon_us = day_us + DAY_US // 2
        week_share = 1.0 if script.is_round_the_clock else CALL_WEEK[weekday(day_us)]
        num_calls = round(
            script.calls_per_day
            * week_share
            * script.call_share(noon_us)
            * draws.between(0.88, 1.12)
            * self._scale
        )
        if script.is_round_the_clock:
            moments = [day_us + int(draws.unit() * DAY_US) for _ in range(num_calls)]
        else:
            zone = script.zone_hours
            moments = [moment_within(draws, day_us, CALL_HOUR, zone) for _ in range(num_calls)]
        incidents: list[Incident] = []
        has_incidents = script.role.persona.incidents_per_day > 0
        onboarding_us = script.signed_up_us + 10 * MINUTE_US
        if has_incidents and day_us <= onboarding_us < day_us + DAY_US:
            self._call(onboarding_us, out, incidents, is_incident=True)
        chance = script.role.persona.incidents_per_day / (script.calls_per_day * self._scale)
        for moment in sorted(moments):
            if moment > script.signed_up_us:
                share = _REGRESSED_SHARE if script.is_regressed(moment) else 1.0
                self._call(moment, out, incidents, is_incident=draws.unit() < chance * share)
        if script.is_blocked(day_us):
            for _ in range(self._repeats.take(REPEATS_PER_DAY)):
                self._block_repeat(moment_within(draws, day_us, CALL_HOUR, script.zone_hours), out)
        return sorted(incidents)

    def _call(
        self, start_us: int, out: list[Fields], incidents: list[Incident], *, is_incident: bool
    ) -> None:
        """One proxied call: its policy verdict, its upstream call, perhaps an incident."""
        script, draws = self._script, self._draws
        tenant_id = script.tenant_id
        call_id = f"call-{draws.bits(48):012x}"
        model = self._model(start_us)
        regressed = script.is_regressed(start_us)
        trigger = None
        if is_incident:
            trigger = (_trigger_regressed if regressed else _trigger).at(draws.unit())

        policy_id, is_blocked, failure = self._verdict(start_us, trigger)
        version = POLICY_VERSIONS[policy_id]
        if regressed and policy_id == REGRESSION_POLICY:
            version = REGRESSION_TO_VERSION
        is_frozen = script.frozen_us is not None and 0 <= start_us - script.frozen_us < FREEZE_US

        check_ms = 2 + int(draws.unit() * 9)
        latency_ms, status = check_ms, 423
        if not is_frozen:
            status = 200
            checked_us = start_us + check_ms * 1000
            about: Fields = {
                "policy_id": policy_id,
                "policy_version": version,
                "call_id": call_id,
            }
            verdict = about | {"result": "blocked" if is_blocked else "allowed"}
            out.append(
                make_event(
                    draws,
                    checked_us,
                    tenant_id,
                    "POLICY_EVALUATED",
                    "policy",
                    policy_id,
                    verdict,
                    latency_ms=check_ms,
                )
            )
            if is_blocked:
                status = 403
                about["reason"] = _block_reason(trigger)
                out.append(
                    make_event(
                        draws, checked_us, tenant_id, "POLICY_BLOCKED", "policy", policy_id, about
                    )
                )
            else:
                latency_ms += self._llm_call(checked_us, call_id, model, failure, out)
                if failure is not None:
                    status = failure[1]
        request: Fields = {
            "endpoint": _endpoint.at(draws.unit()),
            "method": "POST",
            "status_code": status,
        }
        out.append(
            make_event(
                draws,
                start_us,
                tenant_id,
                "API_CALL_RECEIVED",
                "api_key",
                self._api_key,
                request,
                latency_ms=latency_ms,
            )
        )
        if trigger is not None and not is_frozen:
            # The policy sets the severity, so its version decides and not what set it off.
            is_faulty = version == REGRESSION_TO_VERSION
            severity = (_severity_regressed if is_faulty else _severity).at(draws.unit())
            incident = Incident(start_us + (latency_ms + 1) * 1000, f"inc-{draws.bits(40):010x}")
            incidents.append(incident)
            out.append(
                make_event(
                    draws,
                    incident.created_us,
                    tenant_id,
                    "INCIDENT_CREATED",
                    "incident",
                    incident.incident_id,
                    _evidence(trigger, call_id, model.name, policy_id, version, failure),
                    severity=severity,
                )
            )
        if start_us >= self._redis_quiet_until_us and self._redis.is_alarming(start_us):
            self._redis_quiet_until_us = start_us + QUIET_US
            sample = self._redis.sample(start_us)
            out.append(
                make_event(
                    draws, start_us, tenant_id, "INFRA_LIMIT_HIT", None, None, sample, severity=4
                )
            )

    def _model(self, moment_us: int) -> Model:
        script = self._script
        name = script.model
        if script.model_switch_us is not None and moment_us >= script.model_switch_us:
            assert script.next_model is not None
            name = script.next_model
        if self._draws.unit() < _SECOND_MODEL_SHARE:
            name = _SECOND_MODEL.get(name, "tidal-small-1")
        return MODELS[name]

    def _verdict(
        self, moment_us: int, trigger: str | None
    ) -> tuple[str, bool, tuple[str, int] | None]:
        """The policy asked, whether it blocks, and how the upstream call fails if it does."""
        unit = self._draws.unit
        if trigger == "accuracy_check":
            return REGRESSION_POLICY, False, None
        if trigger == "input_violation":
            return "PROMPT_INJECTION", True, None
        if trigger == "limit_exceeded":
            return "BUDGET_CAP", True, None
        policy_id = _policy.at(unit())
        if trigger == "llm_failure":
            return policy_id, False, _infra_error.at(unit())
        if trigger is not None:
            return policy_id, False, None
        block_share = _BLOCK_SHARE
        if self._script.is_blocked(moment_us) and policy_id == REPEAT_POLICY:
            block_share = _REPEAT_BLOCK_SHARE
        if unit() < block_share:
            return policy_id, True, None
        return policy_id, False, _upstream_error.at(unit()) if unit() < _FAILURE_SHARE else None

    def _llm_call(
        self,
        start_us: int,
        call_id: str,
        model: Model,
        failure: tuple[str, int] | None,
        out: list[Fields],
    ) -> int:
        """One upstream call; returns its latency in milliseconds."""
        script, draws = self._script, self._draws
        # Three draws of ten bits each choose quantiles: one call of the generator, not three.
        luck = draws.bits(30)
        latency_ms = model.latency_ms_median * LOGNORMAL_PERMILLE[luck & 1023] // 1000
        tokens_in = script.tokens_in_median * LOGNORMAL_PERMILLE[luck >> 10 & 1023] // 1000
        tokens_out = script.tokens_out_median * LOGNORMAL_PERMILLE[luck >> 20] // 1000
        # Money and stories stay as they are when more, smaller calls are asked for.
        tokens_in = max(1, int(tokens_in / self._scale))
        tokens_out = max(1, int(tokens_out / self._scale))
        event_type, retry_count = "LLM_CALL_MADE", 0
        is_billed = True
        if failure is not None:
            event_type, retry_count, tokens_out = "LLM_CALL_FAILED", 2, 0
            is_billed = failure[0] == "timeout"  # only then had the prompt been read
            if is_billed:
                latency_ms = UPSTREAM_TIMEOUT_MS
        metadata: Fields = {"model": model.name}
        if is_billed:
            metadata |= {"tokens_in": tokens_in, "tokens_out": tokens_out}
        metadata["retry_count"] = retry_count
        if failure is not None:
            metadata["error_type"], metadata["http_status"] = failure
        out.append(
            make_event(
                draws,
                start_us + latency_ms * 1000,
                script.tenant_id,
                event_type,
                "llm_call",
                call_id,
                metadata,
                latency_ms=latency_ms,
                cost_usd=model.cost_usd(tokens_in, tokens_out) if is_billed else None,
            )
        )
        return latency_ms

    def _block_repeat(self, moment_us: int, out: list[Fields]) -> None:
        self._num_repeats += 1
        block_count = 2 + self._draws.below(3) + self._num_repeats // 2
        metadata: Fields = {
            "policy_id": REPEAT_POLICY,
            "policy_version": POLICY_VERSIONS[REPEAT_POLICY],
            "block_count": block_count,
            "time_window_hours": 24,
            "reason": "the same flow was blocked again",
            "friction_signal": "policy_friction",
        }
        out.append(
            make_event(
                self._draws,
                moment_us,
                self._script.tenant_id,
                "POLICY_BLOCK_REPEAT",
                "policy",
                REPEAT_POLICY,
                metadata,
                severity=3 if block_count < 10 else 4,
            )
        )


def _block_reason(trigger: str | None) -> str:
    match trigger:
        case "limit_exceeded":
            return "the cost limit is used up"
        case "input_violation":
            return "the input breaks the policy"
        case _:
            return "the policy matched"


def _evidence(
    trigger: str,
    call_id: str,
    model: str,
    policy_id: str,
    version: str,
    failure: tuple[str, int] | None,
) -> Fields:
    """The metadata of INCIDENT_CREATED: what the proxy saw, never the class it belongs to."""
    evidence: Fields = {
        "call_id": call_id,
        "model": model,
        "policy_id": policy_id,
        "policy_version": version,
        "trigger_type": trigger,
        "policies_fired": [],
        "context_empty": trigger == "empty_context",
        "input_violation": trigger == "input_violation",
    }
    if trigger in ("accuracy_check", "input_violation", "limit_exceeded"):
        evidence["policies_fired"] = [policy_id]
    elif trigger == "several_policies":
        other = "TOXICITY" if policy_id != "TOXICITY" else "PII_SHIELD"
        evidence["policies_fired"] = [policy_id, other]
    if trigger == "limit_exceeded":
        evidence["limit"] = "cost"
    if failure is not None:
        evidence["error_type"], evidence["http_status"] = failure
    return evidence
