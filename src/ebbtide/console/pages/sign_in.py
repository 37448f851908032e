"""The sign-in page: an admin key is exchanged for a session."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ebbtide.console.address import own_path
from ebbtide.console.forms import is_tls, read_form
from ebbtide.console.sessions import LIFE, PLAIN_COOKIE, TLS_COOKIE, Sessions
from ebbtide.console.visit import Desk, Visit, render
from ebbtide.domain.errors import TooManyAttempts, Unauthorized
from ebbtide.domain.keys import Scope


class Doorman:
    """Lets people in and out."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self._desk = desk
        self._sessions = sessions

    async def show(self, request: Request) -> Response:
        """The form."""
        return self._form(request, request.query_params.get("next"))

    async def sign_in(self, request: Request) -> Response:
        """Exchange a key for a session; wrong keys are slowed down as at the API."""
        fields = await read_form(request, self._desk.receive_deadline_s)
        wanted, text = fields.get("next"), fields.get("key", "").strip()
        client = request.client.host if request.client else "local"
        try:
            key = await self._desk.look_up(text, client)
        except Unauthorized:
            said = "This key opens nothing here. It may be mistyped, expired or revoked."
            return self._form(request, wanted, 401, said)
        except TooManyAttempts as error:
            said = f"Too many wrong keys from this address. Try again in {error.retry_after_s} s."
            return self._form(request, wanted, 429, said)
        if not key.allows(Scope.ADMIN):
            said = "This key is a real one, but the console needs one with the scope admin."
            return self._form(request, wanted, 403, said)
        now, is_secure = self._desk.clock(), is_tls(request)
        token = self._sessions.open(text, key.key_id, key.name, now, is_tls=is_secure)
        answer = RedirectResponse(own_path(wanted), 303)
        answer.set_cookie(
            TLS_COOKIE if is_secure else PLAIN_COOKIE,
            token,
            max_age=int(LIFE.total_seconds()),
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="lax",  # strict would ask again after each link from a mail
        )
        return answer

    async def sign_out(self, visit: Visit) -> Response:
        """End the session, here and in the browser."""
        await visit.form()
        answer = RedirectResponse("/sign-in", 303)
        for name, is_secure in ((TLS_COOKIE, True), (PLAIN_COOKIE, False)):
            token = visit.request.cookies.get(name)
            if token is not None:
                self._sessions.end(token)
                answer.delete_cookie(
                    name, path="/", secure=is_secure, httponly=True, samesite="lax"
                )
        return answer

    def _form(
        self, request: Request, wanted: str | None, status: int = 200, said: str | None = None
    ) -> Response:
        return render(
            self._desk, request, "sign_in.html", status, wanted=own_path(wanted), said=said
        )
