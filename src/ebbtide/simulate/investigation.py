"""What a sample customer's people do in the console: sessions, views, replays, exports."""

from __future__ import annotations

from ebbtide.simulate.draws import LOGNORMAL_PERMILLE, Draws, Quota, Weighted
from ebbtide.simulate.event import Fields, make_event
from ebbtide.simulate.rhythm import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    OFFICE_HOUR,
    OFFICE_WEEK,
    SECOND_US,
    moment_within,
    weekday,
)
from ebbtide.simulate.script import Frame, Script
from ebbtide.simulate.traffic import Incident

IDLE_TIMEOUT_US = 30 * MINUTE_US
REMEMBERED_INCIDENTS = 40  # older ones are no longer on the first page of the list

# A steady customer has little friction: one or two such events a week.
_NO_ACTION_SHARE = 0.03
_ABORT_SHARE = 0.02
_FAILURE_SHARE = 0.01
_IDLE_SHARE = 0.03
# One that is stuck tries more often and gives up most of the time.
_STUCK_START_FACTOR = 2.2
_STUCK_ABORT_SHARE = 0.75
_STUCK_IDLE_SHARE = 0.4

_match_level = Weighted({"exact": 70, "logical": 20, "semantic": 7, "mismatch": 3})
_export_format = Weighted({"pdf": 70, "json": 30})
_abort_reasons = ("took too long", "unclear options", "wrong incident", "closed the page")
_replay_steps = ("choose_version", "configure", "compare")
_user_agents = ("Firefox", "Chromium", "Safari")


class Investigation:
    """Makes the console side of one customer, one UTC day after the other."""

    def __init__(self, frame: Frame, script: Script) -> None:
        self._script = script
        self._draws = draws = Draws(frame.seed, script.index, "investigation")
        self._sessions, self._views = Quota(draws), Quota(draws)
        self._replays, self._exports, self._certs = Quota(draws), Quota(draws), Quota(draws)
        self._aborts, self._failures = Quota(draws), Quota(draws)
        self._idles, self._no_actions = Quota(draws), Quota(draws)
        self._incidents: list[Incident] = []
        self._num_sessions = 0
        self._first_days = self._scripted_sessions()

    def _scripted_sessions(self) -> list[tuple[int, str]]:
        """The sessions that decide what the first week is read as: moment and the flow tried."""
        script, start_us = self._script, self._script.signed_up_us
        after_us = int(self._draws.between(1, 6) * HOUR_US)
        match script.role.persona.name:
            case "legal_buyer" if "late_export" in script.role.traits:
                return [(start_us + after_us, "view"), (start_us + 2 * DAY_US + after_us, "export")]
            case "legal_buyer":
                return [(start_us + after_us, "export")]
            case "debugger":
                return [(start_us + after_us, "replay")]
            case "reliability":
                return [(start_us + after_us, "view")]
            case _:
                return []

    def day(self, day_us: int, incidents: list[Incident], out: list[Fields]) -> None:
        """Append the events of the sessions that start on one UTC day, in no order.

        Args:
            day_us: 00:00 UTC of the day.
            incidents: those created on the day, oldest first.
            out: receives the events; a session, and above all the certificate checks after it,
                may reach into later days.
        """
        script, draws = self._script, self._draws
        self._incidents = (self._incidents + incidents)[-REMEMBERED_INCIDENTS:]
        for moment_us, flow in self._first_days:
            if day_us <= moment_us < day_us + DAY_US:
                self._session(moment_us, out, flow)
        rate = (
            script.role.persona.sessions_per_day
            * OFFICE_WEEK[weekday(day_us)]
            * script.engagement(day_us + DAY_US // 2)
        )
        for _ in range(self._sessions.take(rate)):
            moment_us = moment_within(draws, day_us, OFFICE_HOUR, script.zone_hours)
            # The scripted sessions come first; nobody looks before there is something to see.
            if moment_us > script.signed_up_us + 6 * HOUR_US:
                self._session(moment_us, out, None)
        if script.is_glancing(day_us):
            moment_us = moment_within(draws, day_us, OFFICE_HOUR, script.zone_hours)
            self._session(moment_us, out, "view")

    def _session(self, start_us: int, out: list[Fields], flow: str | None) -> None:
        """One visit to the console, from login to its end; ``flow`` is what a scripted one does."""
        script, draws = self._script, self._draws
        self._num_sessions += 1
        session = _Session(
            script, draws, out, f"ses-{script.tenant_id}-{self._num_sessions}", start_us
        )
        session.add("LOGIN", "user", session.user_id, {"source": "guard"})
        session.wait(0.5, 2)
        session.add(
            "SESSION_STARTED",
            "user",
            session.user_id,
            {"source": "guard", "user_agent": draws.pick(_user_agents)},
        )
        is_stuck = script.is_aborting(start_us)
        starts = _STUCK_START_FACTOR if is_stuck else 1.0
        persona = script.role.persona
        num_views = 1 if flow else max(1, self._views.take(persona.views_per_session))
        for _ in range(num_views):
            incident = self._next_incident(session.now_us)
            if incident is None:
                break
            session.wait(5, 25)
            time_on_page_ms = 40 * draws.pick(LOGNORMAL_PERMILLE)
            session.add(
                "INCIDENT_VIEWED",
                "incident",
                incident.incident_id,
                {"time_on_page_ms": time_on_page_ms},
            )
            session.now_us += time_on_page_ms * 1000
            num_replays = num_exports = 0
            if flow is not None:
                num_replays, num_exports = int(flow == "replay"), int(flow == "export")
            elif self._is_open(start_us):
                if start_us >= script.replays_from_us:
                    num_replays = self._replays.take(persona.replay_share * starts)
                if start_us >= script.exports_from_us:
                    num_exports = self._exports.take(persona.export_share * starts)
            for _ in range(num_replays):
                self._flow(session, "REPLAY", incident, is_stuck, is_sure=flow is not None)
            for _ in range(num_exports):
                self._flow(session, "EXPORT", incident, is_stuck, is_sure=flow is not None)
            if num_replays + num_exports == 0 and self._no_actions.take(_NO_ACTION_SHARE):
                session.add(
                    "INCIDENT_VIEWED_NO_ACTION",
                    "incident",
                    incident.incident_id,
                    {"time_on_page_ms": time_on_page_ms, "friction_signal": "viewed_no_action"},
                )
        if self._idles.take(_STUCK_IDLE_SHARE if is_stuck else _IDLE_SHARE):
            session.time_out()
        else:
            session.end()

    def _is_open(self, moment_us: int) -> bool:
        """Whether flows of the persona's own kind may start: not before the scripted first one."""
        return moment_us > self._script.signed_up_us + 6 * HOUR_US

    def _next_incident(self, now_us: int) -> Incident | None:
        """The newest incident not yet looked at, else an older one; None when there is none."""
        for place in range(len(self._incidents) - 1, -1, -1):
            if self._incidents[place].created_us < now_us:
                if self._draws.chance(0.85) and len(self._incidents) > 8:
                    return self._incidents.pop(place)
                return self._incidents[place]
        return None

    def _flow(
        self, session: _Session, kind: str, incident: Incident, is_stuck: bool, *, is_sure: bool
    ) -> None:
        """One replay or export: started, then done, given up, or failed."""
        draws = self._draws
        entity_type = kind.lower()
        entity_id = f"{entity_type[:3]}-{draws.bits(40):010x}"
        about: Fields = {"incident_id": incident.incident_id}
        if kind == "EXPORT":
            about["format"] = _export_format.at(draws.unit())
        session.wait(3, 15)
        session.add(f"{kind}_STARTED", entity_type, entity_id, dict(about))
        session.wait(8, 60)
        if not is_sure and self._aborts.take(_STUCK_ABORT_SHARE if is_stuck else _ABORT_SHARE):
            about |= {"abort_reason": draws.pick(_abort_reasons), "friction_signal": "user_abort"}
            if kind == "REPLAY":
                about["step_reached"] = draws.pick(_replay_steps)
            session.add(f"{kind}_ABORTED", entity_type, entity_id, about)
        elif not is_sure and self._failures.take(_FAILURE_SHARE):
            about |= {
                "error_type": "timeout",
                "error_message": f"the {entity_type} did not finish in time",
                "friction_signal": "system_failure",
            }
            severity = 4 if kind == "REPLAY" else 3
            session.add(f"{kind}_FAILED", entity_type, entity_id, about, severity=severity)
        elif kind == "REPLAY":
            about["match_level"] = _match_level.at(draws.unit())
            latency_ms = 2200 * draws.pick(LOGNORMAL_PERMILLE) // 1000
            session.add("REPLAY_EXECUTED", entity_type, entity_id, about, latency_ms=latency_ms)
        else:
            about["include_flags"] = {"prompts": draws.chance(0.8), "policies": True}
            session.add("EXPORT_GENERATED", entity_type, entity_id, about)
            self._certificates(session, incident)

    def _certificates(self, session: _Session, incident: Incident) -> None:
        """Third parties check the exported certificate, hours to days later."""
        script, draws = self._script, self._draws
        if "certs_only" in script.role.traits:
            delays_days = [2 + 3 * number + draws.unit() for number in range(400)]
        else:
            num_checks = self._certs.take(script.role.persona.cert_share)
            delays_days = [draws.between(0.1, 3) for _ in range(num_checks)]
        certificate_id = f"cert-{draws.bits(40):010x}"
        for delay in delays_days:
            session.add_later(
                int(delay * DAY_US),
                "CERT_VERIFIED",
                "certificate",
                certificate_id,
                {
                    "incident_id": incident.incident_id,
                    "source_ip": f"203.0.113.{1 + draws.below(254)}",  # reserved for examples
                    "referrer": "https://auditor.example.com/",
                },
            )


class _Session:
    """One user in the console: a clock that runs on, and events that belong together."""

    def __init__(
        self, script: Script, draws: Draws, out: list[Fields], session_id: str, start_us: int
    ) -> None:
        self._script = script
        self._draws = draws
        self._out = out
        self._start_us = start_us
        self._num_events = 0
        self._last_event_type = ""
        self.now_us = start_us
        self.session_id = session_id
        self.user_id = draws.pick(script.company.user_ids)

    def wait(self, low_s: float, high_s: float) -> None:
        """Let some seconds pass."""
        self.now_us += int(self._draws.between(low_s, high_s) * SECOND_US)

    def add(
        self,
        event_type: str,
        entity_type: str,
        entity_id: str,
        metadata: Fields,
        *,
        severity: int | None = None,
        latency_ms: int | None = None,
    ) -> None:
        """One event of this session, now, unless the customer has gone quiet meanwhile."""
        silent_us = self._script.silent_us
        if silent_us is not None and self.now_us >= silent_us:
            return
        self._num_events += 1
        self._last_event_type = event_type
        self._out.append(
            make_event(
                self._draws,
                self.now_us,
                self._script.tenant_id,
                event_type,
                entity_type,
                entity_id,
                metadata,
                session=(self.user_id, self.session_id),
                severity=severity,
                latency_ms=latency_ms,
            )
        )

    def add_later(
        self, delay_us: int, event_type: str, entity_type: str, entity_id: str, metadata: Fields
    ) -> None:
        """One event after the session, by somebody who is not one of its users."""
        self._out.append(
            make_event(
                self._draws,
                self.now_us + delay_us,
                self._script.tenant_id,
                event_type,
                entity_type,
                entity_id,
                metadata,
            )
        )

    def end(self) -> None:
        """The user leaves."""
        self.wait(2, 40)
        duration_s = (self.now_us - self._start_us) // SECOND_US
        self.add(
            "SESSION_ENDED",
            "user",
            self.user_id,
            {"duration_seconds": duration_s, "events_count": self._num_events},
        )

    def time_out(self) -> None:
        """The user walks away; half an hour later the session ends by itself."""
        self.now_us += IDLE_TIMEOUT_US
        self.add(
            "SESSION_IDLE_TIMEOUT",
            "user",
            self.user_id,
            {
                "idle_seconds": IDLE_TIMEOUT_US // SECOND_US,
                "last_event_type": self._last_event_type,
                "friction_signal": "idle_abandon",
            },
        )
