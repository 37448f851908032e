"""Forms that a browser sends: their fields, and whether this console made them."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request

from ebbtide.domain.errors import BadRequest, BodyTooLarge, Forbidden, ReceiveTimeout

FORM_MAX_BYTES = 32 * 1024
FIELDS_MAX = 50
_OWN_SITES = frozenset({"same-origin", "none"})


async def receive(request: Request, deadline_s: float) -> bytes:
    """The body of a small request.

    Raises:
        BodyTooLarge, ReceiveTimeout, BadRequest: it is large, slow, or breaks off.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            async for piece in request.stream():
                size += len(piece)
                if size > FORM_MAX_BYTES:
                    raise BodyTooLarge(f"the body is larger than {FORM_MAX_BYTES} bytes")
                parts.append(piece)
    except TimeoutError as error:
        raise ReceiveTimeout("the body did not arrive in time") from error
    except ClientDisconnect as error:
        raise BadRequest("the caller hung up") from error
    return b"".join(parts)


async def read_form(request: Request, deadline_s: float) -> dict[str, str]:
    """The fields of a form that comes from a page of this console.

    Raises:
        Forbidden: it was sent from somewhere else.
        BadRequest: it is no form.
    """
    check_origin(request)
    body = await receive(request, deadline_s)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != (
        "application/x-www-form-urlencoded"
    ):
        raise BadRequest("send a form")
    try:
        return dict(
            parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=FIELDS_MAX,
            )
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BadRequest("the form cannot be read") from error


def check_origin(request: Request) -> None:
    """Refuse what another site sends with the browser of somebody who is signed in here.

    Raises:
        Forbidden: the browser says that another site asks.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # no page can set this one; proxies may have changed the host
        if site not in _OWN_SITES:
            raise Forbidden("this was sent by another site")
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden("this was sent by another site")


def is_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, be it to a proxy before us.

    The browser itself says so with each form; headers of proxies are not believed.
    """
    origin = request.headers.get("origin") or ""
    return request.url.scheme == "https" or origin.startswith("https://")
