"""Addresses within the console: the moment that a page is for, and where to go back to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from ebbtide.domain.time import format_instant, parse_instant

HOME = "/pulse"
DAYS_BACK_MAX = 90  # of the slider; the field beside it takes any moment
_DAY = timedelta(days=1)

# What a browser's field for date and time gives; it names no offset, and the console is in UTC.
_FIELD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment that the address asks for; None means now, and what is known now."""

    as_of: datetime | None = None
    known_at: datetime | None = None

    @property
    def params(self) -> dict[str, str]:
        """The parameters that say so, here and to the API."""
        given = {"as_of": self.as_of, "known_at": self.known_at}
        return {name: format_instant(at) for name, at in given.items() if at is not None}

    @property
    def is_past(self) -> bool:
        """Whether it is not the present."""
        return bool(self.params)


def read_moment(params: Mapping[str, str]) -> Moment:
    """The moment of an address.

    Raises:
        ValueError: it is none.
    """
    return Moment(_instant(params.get("as_of")), _instant(params.get("known_at")))


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    # In a query a plus sign reads as a space.
    text = text.strip().replace(" ", "+") if "T" in text else text
    return parse_instant(text + "Z" if _FIELD.fullmatch(text) else text)


def link(path: str, params: Mapping[str, str | None] | None = None, anchor: str = "") -> str:
    """A path with its parameters; those that are None or empty are left out."""
    said = {name: text for name, text in (params or {}).items() if text}
    query = "?" + urlencode(said) if said else ""
    return path + query + ("#" + anchor if anchor else "")


def own_path(text: str | None) -> str:
    """Where to go back to: the path when it is one of this console, else the first screen.

    A browser reads ``//evil`` and ``/\\evil`` as another host.
    """
    if not text or not text.isprintable() or "\\" in text or not text.startswith("/"):
        return HOME
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    is_own = not parts.scheme and not parts.netloc and not text.startswith("//")
    return text if is_own else HOME


def is_of_the_past(path: str | None) -> bool:
    """Whether an address asks for a moment."""
    query = parse_qs(urlsplit(own_path(path)).query)
    return bool({"as_of", "known_at"} & query.keys())


@dataclass(frozen=True, slots=True)
class Slider:
    """The time slider: where it stands, and where one day back and forward lead."""

    at: datetime
    now: datetime
    is_past: bool
    days_back: int
    back: str
    forward: str | None
    present: str

    @property
    def field(self) -> str:
        """The moment as the browser's field takes it."""
        return self.at.strftime("%Y-%m-%dT%H:%M")


def slider(path: str, others: Mapping[str, str], moment: Moment, now: datetime) -> Slider:
    """The slider of one address.

    Args:
        others: the parameters of the address that are not the moment.
    """
    at = moment.as_of or now
    rest = dict(others)
    if moment.known_at is not None:
        rest["known_at"] = format_instant(moment.known_at)

    def to(day: datetime) -> str:
        return link(path, {**rest, "as_of": format_instant(day.replace(second=0, microsecond=0))})

    return Slider(
        at=at,
        now=now,
        is_past=moment.is_past,
        days_back=max(0, min(DAYS_BACK_MAX, round((now - at) / _DAY))),
        back=to(max(at, datetime(1970, 1, 2, tzinfo=at.tzinfo)) - _DAY),
        forward=None if at >= now else (to(at + _DAY) if at + _DAY < now else link(path, others)),
        present=link(path, others),
    )
