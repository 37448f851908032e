"""How values look on a page: moments, ages, numbers, and words for what is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ebbtide.domain.time import parse_instant

DASH = "–"  # noqa: RUF001 - a dash is what unknown looks like

#: Why there is no number, for people.
REASONS = {
    "no_activity": "no activity to measure",
    "no-activity": "no activity to measure",
    "new": "nothing to compare with yet",
    "insufficient_data": "too little data yet",
    "unavailable": "the store cannot answer now",
    "window_open": "still being measured",
    "not_done": "not done yet",
    "no_playbook": "no playbook measures it",
}

# What turns the direction of text or does not show, with which a name could pretend to be another;
# control characters, such as those that move the cursor of a terminal; halves of letters.
_TRICK = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_MAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def plain(value: object) -> str:
    """Foreign text as a page may show it: what is invisible or turns the text is made visible."""
    return _TRICK.sub(lambda found: f"‹U+{ord(found[0]):04X}›", str(value))  # noqa: RUF001


def moment(text: str | datetime | None) -> str:
    """A moment in UTC, to the minute: ``21 Nov 2026, 20:42``."""
    at = _instant(text)
    return DASH if at is None else f"{at.day} {at:%b %Y, %H:%M}"


def day(text: str | datetime | None) -> str:
    """The date of a moment in UTC: ``21 Nov 2026``."""
    at = _instant(text)
    return DASH if at is None else f"{at.day} {at:%b %Y}"


def ago(text: str | datetime | None, now: str | datetime) -> str:
    """How long before ``now`` a moment was, in the largest unit that says enough."""
    at, until = _instant(text), _instant(now)
    if at is None or until is None:
        return "never"
    seconds = (until - at).total_seconds()
    if seconds < 0:
        return "in " + lasting(-seconds)
    return "just now" if seconds < 60 else lasting(seconds) + " ago"


def lasting(seconds: float) -> str:
    """A length of time: ``45 s``, ``12 min``, ``5 h``, ``3 days``."""
    for size, unit in ((86_400, "day"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            num = int(seconds // size)
            return f"{num} {unit}{'s' if unit == 'day' and num != 1 else ''}"
    return f"{seconds:.0f} s"


def number(value: float | None) -> str:
    """A number with its thousands apart; digits after the point only where it has some."""
    if value is None:
        return DASH
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def money(usd: float | None) -> str:
    """An amount of money to the cent, smaller ones as they are: ``$11.40``, ``$0.0042``."""
    if usd is None:
        return DASH
    sign = "-" if usd < 0 else ""
    return f"{sign}${abs(usd):,.2f}" if abs(usd) >= 0.01 or usd == 0 else f"{sign}${abs(usd):.6f}"


def amount(value: float | None, unit: str) -> str:
    """An amount with its unit; bytes in the largest unit that keeps a digit before the point."""
    if value is None:
        return DASH
    if unit != "bytes":
        return f"{number(round(value, 1))} {unit}".strip()
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:,.1f} {name}"
    return f"{value:,.0f} bytes"


def reason(code: str | None) -> str:
    """Why something is not known."""
    return "not known" if code is None else REASONS.get(code, words(code))


def words(name: str) -> str:
    """A name of the wire as words: ``REPLAY_ABORTED`` is ``replay aborted``."""
    text = name.replace("_", " ").replace("-", " ").lower()
    return re.sub(r"\b(api|llm)\b", lambda found: found[0].upper(), text)


def mail(address: str | None) -> str | None:
    """The address of a link that writes mail; None when it is not clearly one mailbox."""
    return f"mailto:{address}" if address and _MAIL.fullmatch(address) else None


def shown(value: Any) -> str:
    """Any value of an explanation."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(plain(one) for one in value) or "none"
    return moment(value) if _is_moment(value) else plain(value)


def row_name(of: str | Sequence[str | None] | None) -> str | None:
    """What names the row of a number, as an address holds it; what is not said is empty."""
    if of is None:
        return None
    fields = [of] if isinstance(of, str) else [field or "" for field in of]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def compact(metadata: dict[str, Any]) -> str:
    """Metadata of an event as one line of JSON."""
    return json.dumps(metadata, ensure_ascii=False, separators=(", ", ": "))


def _is_moment(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", text) is not None


def _instant(given: str | datetime | None) -> datetime | None:
    if given is None or isinstance(given, datetime):
        return given
    return parse_instant(given)


def make_environment() -> Environment:
    """The templates: everything put into them is text unless a template itself is markup."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for one in (
        plain,
        moment,
        day,
        ago,
        lasting,
        number,
        money,
        amount,
        reason,
        words,
        mail,
        shown,
        compact,
        row_name,
    ):
        environment.filters[one.__name__] = one
    return environment
