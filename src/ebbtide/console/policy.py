"""What a browser may do on our pages, and what it reports when something tries more."""

from __future__ import annotations

import json
from collections import deque
from time import monotonic

import structlog
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.console import forms

log = structlog.get_logger(__name__)

REPORT_PATH = "/csp-report"
REPORTS_MAX = 20  # that are logged in a minute: anybody may send them
_SHOWN_CHARS = 200

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        f"report-uri {REPORT_PATH}",
        "report-to console",
    )
)

#: Headers of every answer of the console, errors included.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"reporting-endpoints", f'console="{REPORT_PATH}"'.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: with it a browser names no origin with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
    (b"cache-control", b"private, no-store"),
)


class Reports:
    """Counts what browsers report, and puts the newest into the log."""

    def __init__(self, deadline_s: float) -> None:
        self.num_received = 0
        self._deadline_s = deadline_s
        self._logged: deque[float] = deque(maxlen=REPORTS_MAX)

    async def receive(self, request: Request) -> Response:
        """Take a report; whatever it says it is only ever counted and logged."""
        body = await forms.receive(request, self._deadline_s)
        self.num_received += 1
        now = monotonic()
        if len(self._logged) < REPORTS_MAX or now - self._logged[0] > 60:
            self._logged.append(now)
            log.warning("console.csp_report", **_shown(body))
        return Response(status_code=204)


def _shown(body: bytes) -> dict[str, str]:
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        return {"unreadable": repr(body[:_SHOWN_CHARS])}
    if isinstance(report, list) and report:
        report = report[0]
    inner = report.get("csp-report", report.get("body")) if isinstance(report, dict) else None
    if not isinstance(inner, dict):
        return {"unreadable": repr(body[:_SHOWN_CHARS])}
    wanted = ("effective-directive", "effectiveDirective", "blocked-uri", "blockedURL")
    return {name: repr(inner[name])[:_SHOWN_CHARS] for name in wanted if name in inner}
