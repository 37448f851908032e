"""The console: a page for each question, for people who are signed in."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ebbtide.console import policy
from ebbtide.console.address import HOME, Moment, read_moment
from ebbtide.console.ask import Api
from ebbtide.console.assets import Assets
from ebbtide.console.pages import (
    alerts,
    brief,
    customer,
    customers,
    data,
    events,
    incident,
    incidents,
    infra,
    jobs,
    playbooks,
    pulse,
    replay_lab,
    revenue,
    sign_in,
    steps,
    stickiness,
    tables,
    today,
    verify,
    why,
)
from ebbtide.console.sessions import PLAIN_COOKIE, TLS_COOKIE, Session, Sessions
from ebbtide.console.shown import make_environment
from ebbtide.console.visit import Desk, Visit, render
from ebbtide.domain import errors
from ebbtide.domain.keys import ApiKey

log = structlog.get_logger(__name__)

Page = Callable[[Visit], Awaitable[Response]]

#: Pages for those who are signed in: (methods, path, page).
PAGES: list[tuple[str, str, Page]] = [
    ("GET", "/pulse", pulse.page),
    ("GET", "/today", today.page),
    ("GET", "/brief", brief.page),
    ("GET", "/customers", customers.page),
    ("GET", "/customers/{tenant}", customer.page),
    ("GET", "/customers/{tenant}/timeline.csv", customer.timeline_csv),
    ("GET", "/customers/{tenant}/why", why.page),
    ("GET", "/why", why.number),
    ("GET", "/events", events.page),
    ("GET", "/tables/{name}.csv", tables.page),
    ("GET", "/incidents", incidents.page),
    ("GET", "/incidents/{incident}", incident.page),
    ("POST", "/incidents/{incident}/attribution", incident.correct),
    ("GET", "/stickiness", stickiness.page),
    ("GET", "/revenue", revenue.page),
    ("GET", "/infra", infra.page),
    ("GET", "/playbooks", playbooks.page),
    ("GET", "/replay", replay_lab.page),
    ("GET", "/replay/incident", replay_lab.incident),
    ("POST", "/replay/runs", replay_lab.start),
    ("GET", "/replay/runs/{replay}", replay_lab.run),
    ("POST", "/replay/runs/{replay}/abort", replay_lab.abort),
    ("POST", "/replay/policies", replay_lab.start_policy),
    ("GET", "/replay/policies/{run}", replay_lab.policy),
    ("POST", "/replay/promote", replay_lab.promote),
    ("POST", "/replay/files", replay_lab.export),
    ("GET", "/replay/files/{export}", replay_lab.file),
    ("POST", "/replay/recording", replay_lab.record),
    ("GET", "/data", data.page),
    ("POST", "/data/release", data.release),
    ("POST", "/data/discard", data.discard),
    ("POST", "/data/keys", data.make_key),
    ("POST", "/data/keys/{key_id}/revoke", data.revoke_key),
    ("GET", "/alerts", alerts.page),
    ("POST", "/alerts/channels", alerts.make_channel),
    ("POST", "/alerts/channels/{channel}/{step}", alerts.change_channel),
    ("POST", "/alerts/lines/{name}", alerts.change_line),
    ("POST", "/alerts/{alert}/{step}", alerts.answer),
    ("GET", "/jobs", jobs.page),
    ("POST", "/jobs/{name}/run", jobs.run),
    ("POST", "/steps/{number:int}/{step}", steps.take),
]

#: First words of the paths that are the console's; all others are the API's.
_WORDS = frozenset(
    {path.split("/")[1] for _, path, _ in PAGES}
    | {"sign-in", "sign-out", "static", policy.REPORT_PATH.strip("/")}
)

_STATUS: list[tuple[type[errors.EbbtideError], int]] = [
    (errors.BodyTooLarge, 413),
    (errors.Unauthorized, 401),
    (errors.TooManyAttempts, 429),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.ReceiveTimeout, 408),
    (errors.BadRequest, 400),
    (errors.StoreUnavailable, 503),
]


class Console:
    """The ASGI application of the console."""

    def __init__(
        self,
        api: ASGIApp,
        look_up: Callable[[str, str], Awaitable[ApiKey]],
        clock: Callable[[], datetime],
        *,
        is_simulated: bool,
        receive_deadline_s: float,
    ) -> None:
        """Put the console together.

        Args:
            api: the application that answers every question.
            look_up: the key that a text opens, for one address; raises Unauthorized and
                TooManyAttempts as the API does.
            is_simulated: the data is a sample company's; every page says so.
        """
        self.desk = Desk(
            Api(api),
            look_up,
            make_environment(),
            Assets(),
            clock,
            is_simulated,
            receive_deadline_s,
        )
        self.sessions = Sessions()
        self.reports = policy.Reports(receive_deadline_s)
        doorman = sign_in.Doorman(self.desk, self.sessions)
        self._application = Starlette(
            routes=[
                Route("/", _home),
                Route("/sign-in", doorman.show, methods=["GET"]),
                Route("/sign-in", doorman.sign_in, methods=["POST"]),
                Route("/sign-out", self._guarded(doorman.sign_out), methods=["POST"]),
                Route(verify.PATH, partial(verify.page, self.desk), methods=["GET"]),
                Route("/static/{name}", self.desk.assets.send),
                Route(policy.REPORT_PATH, self.reports.receive, methods=["POST"]),
                *[
                    Route(path, self._guarded(page), methods=[method])
                    for method, path, page in PAGES
                ],
            ],
            exception_handlers={
                errors.EbbtideError: self._on_error,
                HTTPException: self._on_http_error,
                Exception: self._on_fault,
            },
        )
        self._application.router.redirect_slashes = False

    @staticmethod
    def takes(scope: Scope) -> bool:
        """Whether a request is for the console and not for the API.

        The root is both, and so is the check of a certificate: a browser gets a page, a program
        the API's own answer.
        """
        path = scope["path"]
        if path == "/" or path.startswith(verify.PREFIX):
            accepted = [value for name, value in scope["headers"] if name == b"accept"]
            return any(b"text/html" in value for value in accepted)
        return path.split("/", 2)[1] in _WORDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name for name, _ in headers}
                headers.extend(pair for pair in policy.HEADERS if pair[0] not in present)
            await send(message)

        await self._application(scope, receive, send_with_headers)

    def _guarded(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """A page behind the question who asks, answered anew each time."""

        async def guarded(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                return _to_sign_in(request)
            client = request.client.host if request.client else "local"
            try:
                await self.desk.look_up(session.key, client)
            except errors.Unauthorized:  # revoked or expired since
                return _to_sign_in(request)
            try:
                moment = read_moment(request.query_params)
            except ValueError as error:
                visit = Visit(self.desk, request, session, Moment())
                return self._error(request, 400, f"The moment in the address: {error}.", visit)
            visit = Visit(self.desk, request, session, moment)
            try:
                return await page(visit)
            except errors.EbbtideError as error:
                return self._error(request, _status_of(error), str(error), visit)

        return guarded

    def _session(self, request: Request) -> Session | None:
        now = self.desk.clock()
        for name, is_tls in ((TLS_COOKIE, True), (PLAIN_COOKIE, False)):
            token = request.cookies.get(name)
            session = self.sessions.find(token, now, is_tls=is_tls) if token else None
            if session is not None:
                return session
        return None

    async def _on_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.EbbtideError)
        return self._error(request, _status_of(error), str(error))

    async def _on_http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = {404: "There is no such page.", 405: "A page is read, a form is sent."}
        return self._error(request, error.status_code, said.get(error.status_code, error.detail))

    async def _on_fault(self, request: Request, _: Exception) -> Response:
        # The server library logs the trace of the same fault.
        number = secrets.token_hex(8)
        log.error("console.fault", path=request.url.path, id=number)
        return self._error(
            request, 500, f"Something went wrong on our side; the log has it as {number}."
        )

    def _error(
        self, request: Request, status: int, message: str, visit: Visit | None = None
    ) -> Response:
        if status == 503:
            # What a store says may hold paths and hosts; the log has it.
            message = "A store cannot answer now. Nothing was changed; try again in a moment."
        return render(
            self.desk,
            request,
            "error.html",
            status,
            message=message,
            is_signed_in=visit is not None,
        )


async def _home(_: Request) -> Response:
    return RedirectResponse(HOME, 303)


def _to_sign_in(request: Request) -> Response:
    back = ""
    if request.method == "GET":
        wanted = request.url.path + ("?" + request.url.query if request.url.query else "")
        back = "?next=" + quote(wanted, safe="")
    return RedirectResponse("/sign-in" + back, 303)


def _status_of(error: errors.EbbtideError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
