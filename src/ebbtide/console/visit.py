"""One visit of one page: who looks, for which moment, and how to ask and to answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ebbtide.console.address import Moment, is_of_the_past, link, own_path, slider
from ebbtide.console.ask import Answer, Api
from ebbtide.console.assets import Assets
from ebbtide.console.forms import read_form
from ebbtide.console.screens import BY_NAME, SCREENS, Screen
from ebbtide.console.sessions import Session
from ebbtide.domain.errors import Forbidden
from ebbtide.domain.keys import ApiKey

THEMES = ("light", "dark")
THEME_COOKIE = "ebbtide_theme"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page works with; put together once."""

    api: Api
    look_up: Callable[[str, str], Awaitable[ApiKey]]
    templates: Environment
    assets: Assets
    clock: Callable[[], datetime]
    is_simulated: bool
    receive_deadline_s: float


def render(
    desk: Desk, request: Request, template: str, status: int = 200, **given: Any
) -> HTMLResponse:
    """A page from a template."""
    theme = request.cookies.get(THEME_COOKIE)
    text = desk.templates.get_template(template).render(
        screens=SCREENS,
        asset=desk.assets.url,
        theme=theme if theme in THEMES else None,
        is_simulated=desk.is_simulated,
        now=desk.clock(),
        link=link,
        **given,
    )
    return HTMLResponse(text, status)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    desk: Desk
    request: Request
    session: Session
    moment: Moment

    async def get(self, path: str, **params: str | Sequence[str] | None) -> Answer:
        """Ask the API, for the moment of this page; what is empty is not said."""
        said = {name: text for name, text in params.items() if text}
        return await self._ask("GET", path, said | self.moment.params)

    async def get_present(self, path: str, **params: str | Sequence[str]) -> Answer:
        """Ask the API what has no past, such as its jobs."""
        return await self._ask("GET", path, params)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, **params: str | None
    ) -> Answer:
        """Have the API change something."""
        said = {name: text for name, text in params.items() if text}
        return await self._ask("POST", path, said, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Have the API put something in the place of what is there."""
        return await self._ask("PUT", path, None, body)

    async def delete(self, path: str) -> Answer:
        """Have the API take something away."""
        return await self._ask("DELETE", path, None)

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | Sequence[str]] | None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        client = self.request.client
        address = None if client is None else (client.host, client.port)
        return await self.desk.api.ask(method, path, self.session.key, address, params, body)

    async def form(self) -> dict[str, str]:
        """The fields of a form that was made for this session.

        Raises:
            Forbidden: it was made for another one, by another site, or on a page of the past.
        """
        fields = await read_form(self.request, self.desk.receive_deadline_s)
        if not self.session.holds(fields.get("form_token", "")):
            raise Forbidden("this form is of an earlier session; open the page again")
        if self.moment.is_past or is_of_the_past(fields.get("back")):
            raise Forbidden("nothing can be changed from a moment of the past; go back to now")
        return fields

    def link(self, path: str, anchor: str = "", **params: str | None) -> str:
        """A link that keeps the moment."""
        return link(path, {**params, **self.moment.params}, anchor)

    def page(
        self,
        screen: Screen | str,
        template: str,
        status: int = 200,
        *,
        refresh_s: int | None = None,
        **given: Any,
    ) -> Response:
        """This screen from its template.

        Args:
            refresh_s: how often the page looks for something new; None where it does not.
        """
        here = BY_NAME[screen] if isinstance(screen, str) else screen
        url = self.request.url
        others = {
            name: text
            for name, text in self.request.query_params.items()
            if name not in ("as_of", "known_at", "cursor")
        }
        return render(
            self.desk,
            self.request,
            template,
            status,
            screen=here,
            session=self.session,
            moment=self.moment,
            here=url.path + ("?" + url.query if url.query else ""),
            to=self.link,
            others=others,
            slider=slider(url.path, others, self.moment, self.desk.clock()),
            refresh_s=None if self.moment.is_past else refresh_s,
            **given,
        )

    def trouble(self, screen: str, answer: Answer) -> Response:
        """This screen with what the API could not do in the place of its content."""
        return self.page(screen, "trouble.html", answer.status, problem=answer.data)

    def back(self, fields: Mapping[str, str], anchor: str = "") -> Response:
        """To the page that a form was on."""
        path = own_path(fields.get("back"))
        return RedirectResponse(path + ("#" + anchor if anchor else ""), 303)
