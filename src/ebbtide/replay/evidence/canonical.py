"""The one text of a file of evidence: equal contents are equal bytes.

Keys are sorted, there is no white space, the text is UTF-8, and no number has a fraction: amounts
are decimal texts. That is the form of RFC 8785, for contents whose only numbers are integers below
2^53, so a reader of that standard finds the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ebbtide.domain.time import format_instant

_INTEGER_MAX = 2**53 - 1  # what every JSON reader holds exactly
_SURROGATE = re.compile("[\ud800-\udfff]")


def settle(value: object) -> Any:
    """A value as evidence holds it: moments and amounts as texts, everything else as JSON has it.

    Halves of letters, which no UTF-8 can hold, become their code points (``\\ud83d``).

    Raises:
        TypeError: it is nothing that JSON knows.
    """
    match value:
        case None | bool():
            return value
        case str():
            return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", str(value))
        case int():
            return int(value) if abs(value) <= _INTEGER_MAX else str(value)
        case Decimal():
            return format(value.normalize(), "f")
        case float():
            return repr(value)
        case datetime():
            return format_instant(value)
        case date():
            return value.isoformat()
        case Mapping():
            return {settle(str(name)): settle(one) for name, one in value.items()}
        case list() | tuple():
            return [settle(one) for one in value]
        case _:
            raise TypeError(f"evidence holds no {type(value).__name__}")


def canonical(value: object) -> bytes:
    """The text of a settled value.

    Raises:
        TypeError: it holds a number with a fraction, or what JSON does not know.
        ValueError: it holds half a letter, or an integer beyond 2^53.
        RecursionError: it nests too deep.
    """
    text = json.dumps(_in_order(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def _in_order(value: object) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) > _INTEGER_MAX:
                raise ValueError("an integer that readers of JSON do not hold exactly")
            return value
        case dict():
            return {name: _in_order(value[name]) for name in sorted(value, key=_utf16)}
        case list():
            return [_in_order(one) for one in value]
        case _:
            raise TypeError(f"evidence holds no {type(value).__name__}")


def _utf16(name: str) -> bytes:
    # By UTF-16 units, as RFC 8785 has it; by code point, letters beyond U+FFFF would come later.
    return name.encode("utf-16-be", "surrogatepass")
