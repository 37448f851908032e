"""The page of a certificate, for anybody who has its id: is it genuine?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ebbtide.console.ask import part
from ebbtide.console.visit import Desk, render

PREFIX = "/verify/"
PATH = PREFIX + "{certificate_id}"
#: What the answer depends on: who comes from where, once for a visit.
_PASSED_ON = ("user-agent", "referer", "sec-purpose")


async def page(desk: Desk, request: Request) -> Response:
    """What the API says, in words; it takes no key, and shows nothing of the contents."""
    certificate_id = request.path_params["certificate_id"]
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    if request.method == "HEAD":
        headers["sec-purpose"] = "prefetch"  # it reads no page, so it is no visit
    client = None if request.client is None else (request.client.host, request.client.port)
    answer = await desk.api.ask("GET", PREFIX + part(certificate_id), "", client, headers=headers)
    if not answer.is_ok and answer.status != 404:
        return render(
            desk, request, "error.html", 503, message="It cannot be said now.", is_signed_in=False
        )
    return render(
        desk,
        request,
        "verify.html",
        answer.status,
        certificate_id=certificate_id,
        found=answer.data if answer.is_ok else None,
    )
