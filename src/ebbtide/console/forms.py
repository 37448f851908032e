"""Forms that a browser sends: their fields, and whether this console made them."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request

from ebbtide.domain.errors import BadRequest, Forbidden
from ebbtide.ingest.body import take_body

FORM_MAX_BYTES = 32 * 1024
FIELDS_MAX = 50
_OWN_SITES = frozenset({"same-origin", "none"})


async def receive(request: Request, deadline_s: float) -> bytes:
    """The body of a small request.

    Raises:
        BodyTooLarge, ReceiveTimeout, BadRequest: it is large, slow, or breaks off.
    """
    try:
        return await take_body(request.stream(), limit=FORM_MAX_BYTES, deadline_s=deadline_s)
    except ClientDisconnect as error:
        raise BadRequest("the caller hung up") from error


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
