"""Events: the ones behind a number, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import Response

from ebbtide.console.visit import Visit

LIMIT = "100"
#: By what the API chooses events; one that is given and empty means events that do not say.
CHOICES = (
    "tenant_id",
    "event_type",
    "user_id",
    "session_id",
    "source",
    "model",
    "policy_id",
    "policy_version",
    "resource",
)


async def page(visit: Visit) -> Response:
    """A page of events, chosen as the address says.

    The window ends at ``until``, so that the moment of the other screens stays what it is.
    """
    params = visit.request.query_params
    chosen = {name: params[name] for name in CHOICES if name in params}
    asked = chosen | visit.moment.params
    if params.get("since"):
        asked["since"] = params["since"]
    if params.get("until"):
        asked["as_of"] = params["until"]
    if params.get("cursor"):
        asked["cursor"] = params["cursor"]
    found = await visit.get_present("/ops/events", limit=LIMIT, **asked)
    if not found.is_ok:
        return visit.trouble("data", found)
    window = {"since": found.data["since"], "until": found.data["as_of"]}
    here = chosen | window | visit.moment.params
    cursor = found.data["next_cursor"]
    return visit.page(
        "data",
        "events.html",
        found=found.data,
        chosen=chosen,
        first_page="/events?" + urlencode(here) if params.get("cursor") else None,
        next_page="/events?" + urlencode(here | {"cursor": cursor}) if cursor else None,
    )


def events_link(url: str, moment: Mapping[str, str]) -> str:
    """The page that shows the events which the API lists at an address."""
    given = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    until = given.pop("as_of", None)
    given.pop("known_at", None)
    window = {} if until is None else {"until": until}
    return "/events?" + urlencode(given | window | dict(moment))
