"""The two doors that people and programs come in by, side by side on one port."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ebbtide.api.application import build_application
from ebbtide.app.house import House

if TYPE_CHECKING:
    from ebbtide.console.application import Console

#: How the paths begin that programs send to: the console need not be built to tell whose they are.
_API = ("/v1/", "/ops/", "/api/", "/health/", "/metrics", "/openapi.json")


class Doors:
    """The API, and the console beside it, which asks the API for everything that it shows."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.api = build_application(house.services, is_simulated=house.is_simulated)

    @cached_property
    def console(self) -> Console:
        """The console; built when somebody comes, since most commands never show a page."""
        from ebbtide.console.application import Console

        services = self._house.services
        return Console(
            self.api,
            services.authenticator.look_up,
            services.clock,
            is_simulated=self._house.is_simulated,
            receive_deadline_s=services.receive_deadline_s,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request by the door that it belongs to."""
        is_page = (
            scope["type"] == "http"
            and not scope["path"].startswith(_API)
            and self.console.takes(scope)
        )
        await (self.console if is_page else self.api)(scope, receive, send)
