"""What does not fit in a request, said in our own words: where, and what would fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api import problems

FAULTS_MAX = 20  # a body full of mistakes is understood from the first ones

Context = Mapping[str, Any]

_NUMBER = "must be a number"
_INTEGER = "must be a whole number"
_TEXT = "must be text"
_OBJECT = "must be an object"

#: By the framework's name of the fault; what it knows about it comes as the argument.
_WORDS: dict[str, Callable[[Context], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is no field of this request",
    "json_invalid": lambda _: "is not valid JSON",
    "value_error": lambda known: str(known["error"]),
    "enum": lambda known: f"must be one of {_unquoted(known['expected'])}",
    "literal_error": lambda known: f"must be one of {_unquoted(known['expected'])}",
    "greater_than": lambda known: f"must be more than {known['gt']}",
    "greater_than_equal": lambda known: f"must be at least {known['ge']}",
    "less_than": lambda known: f"must be less than {known['lt']}",
    "less_than_equal": lambda known: f"must be at most {known['le']}",
    "string_too_short": lambda known: f"needs at least {_count(known['min_length'], 'character')}",
    "string_too_long": lambda known: f"has more than {_count(known['max_length'], 'character')}",
    "too_short": lambda known: f"needs at least {_count(known['min_length'], 'entry')}",
    "too_long": lambda known: f"has more than {_count(known['max_length'], 'entry')}",
    "string_type": lambda _: _TEXT,
    "string_unicode": lambda _: "holds half of a surrogate pair, which is no text",
    "list_type": lambda _: "must be a list",
    "dict_type": lambda _: _OBJECT,
    "model_type": lambda _: _OBJECT,
    "model_attributes_type": lambda _: _OBJECT,
    "int_type": lambda _: _INTEGER,
    "int_parsing": lambda _: _INTEGER,
    "int_parsing_size": lambda _: _INTEGER,
    "int_from_float": lambda _: _INTEGER,
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "float_type": lambda _: _NUMBER,
    "float_parsing": lambda _: _NUMBER,
    "finite_number": lambda _: _NUMBER,
    "decimal_type": lambda _: _NUMBER,
    "decimal_parsing": lambda _: _NUMBER,
}


async def on_invalid(_: Request, error: Exception) -> Response:
    """Exception handler for requests that do not fit their route's description."""
    assert isinstance(error, RequestValidationError)
    faults = [
        {
            "in": str(fault["loc"][0]),
            "where": _where(fault["loc"]),
            # Why, and never the value itself: it may be a secret that landed in the wrong field.
            "why": why(fault["type"], fault.get("ctx", {})),
        }
        for fault in error.errors()[:FAULTS_MAX]
    ]
    return problems.problem(
        422, "unprocessable", "The request cannot be used as it is", errors=faults
    )


def why(kind: str, known: Context) -> str:
    """One fault in our words.

    Args:
        kind: the framework's name of it.
        known: what the framework says beside: limits, and choices.
    """
    words = _WORDS.get(kind)
    return "cannot be used" if words is None else words(known)


def _where(steps: Sequence[str | int]) -> str:
    """``contacts[0].email``; the body itself, or what is wrong with it as a whole, is ``body``."""
    inner = [step for step in steps[1:]]
    if not inner or all(isinstance(step, int) for step in inner):
        return str(steps[0])
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inner)
    return text.lstrip(".")


def _unquoted(choices: str) -> str:
    return choices.replace("'", "")


def _count(number: int, noun: str) -> str:
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun}"
