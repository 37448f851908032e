"""An expression over one call: refused when it is made rather than surprising when it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from time import perf_counter
from typing import Any

from ebbtide.catalog.policy import EXPRESSION_MAX_CHARS
from ebbtide.domain.call import Call
from ebbtide.domain.errors import PolicyRefused

#: Characters of a text that a rule reads; what is beyond is said to be unread.
TEXT_MAX_CHARS = 100_000
#: Values of the context, and messages, that an expression is given.
VALUES_MAX = 1_000
#: A rule that takes longer for a call of ordinary size (4 kB) would be felt by every call.
TRIAL_MAX_MS = 1.0

_TEXT = "word " * 800
_FUNCTIONS = frozenset(
    "_&&_ _||_ !_ _==_ _!=_ _<_ _<=_ _>_ _>=_ _+_ _-_ -_ _*_ _/_ _%_ _?_:_ _[_] @in _in_ in "
    "@not_strictly_false size contains startsWith endsWith matches string int double bool "
    "has min max".split()
)
_LOOP = re.compile(r"\.\s*(all|exists)\s*\(\s*([A-Za-z_]\w*)\s*,")
_ANY_LOOP = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w*)\s*\(")
_STRING = re.compile(
    r"""[bB]?[rR]"[^"\n]*"|[bB]?[rR]'[^'\n]*'|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
)
_THREE_QUOTES = re.compile("\"{3}|'{3}")
#: What costs too much when it is done for each element of a list.
_NOT_IN_A_LOOP = frozenset({"matches", "_+_", "string"})


class Unknown(Exception):
    """A rule could not be checked on this call; the message says what was missing."""


class Rule:
    """One compiled expression. Use :func:`compile_rule`, which keeps it for the next time."""

    def __init__(self, expression: str) -> None:
        """Compile it, and try it.

        Raises:
            PolicyRefused: it is broken, names what does not exist, or could take too long.
        """
        self.expression = expression
        import cel  # brings its own command line along: a fifth of a second, for who has a rule

        self._loop_name = _check_text(expression)
        try:
            self._program = cel.compile(expression)
        except ValueError as error:
            raise PolicyRefused(f"no expression: {_first_line(error)}") from error
        self.variables = tuple(self._program.variables())
        self._check_names()
        self._try()

    def fires(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of a call.

        Args:
            values: each of :attr:`variables`.

        Raises:
            Unknown: a value that it needs is not known, or is of another type.
        """
        try:
            answer = self._program.execute(dict(values))
        except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
            missing = [name for name in self.variables if values.get(name, "") is None]
            if missing:
                raise Unknown(f"{' and '.join(missing)} not known") from error
            if isinstance(error, KeyError):
                raise Unknown(f"the context has no field {_first_line(error)}") from error
            raise Unknown("the expression does not fit the values of this call") from error
        if not isinstance(answer, bool):
            raise Unknown("the expression gave neither true nor false")
        return answer

    def _check_names(self) -> None:
        known = {*VARIABLES, self._loop_name}
        for name in self.variables:
            if name not in known:
                raise PolicyRefused(
                    f"no variable is named {name!r}; there are {', '.join(VARIABLES)}"
                )
        used = set(self._program.functions())
        unknown = sorted(used - _FUNCTIONS)
        if unknown:
            raise PolicyRefused(f"no function is named {unknown[0]!r}")
        if self._loop_name is not None and used & _NOT_IN_A_LOOP:
            raise PolicyRefused(
                "beside a loop, no matches, no string() and no +: they could take too long"
            )
        self.variables = tuple(name for name in self.variables if name in VARIABLES)

    def _try(self) -> None:
        values = {name: _TRIAL[name] for name in self.variables}
        best_ms = TRIAL_MAX_MS
        for _ in range(3):  # the first one may wait for something else
            started = perf_counter()
            try:
                answer = self._program.execute(values)
            except (TypeError, KeyError, ValueError, RuntimeError, OverflowError) as error:
                if "regex" in str(error):
                    raise PolicyRefused(f"no pattern: {_first_line(error)}") from error
                answer = None
            if answer is not None and not isinstance(answer, bool):
                raise PolicyRefused("it gives neither true nor false")
            best_ms = min(best_ms, (perf_counter() - started) * 1e3)
        if best_ms >= TRIAL_MAX_MS:
            raise PolicyRefused(f"it takes more than {TRIAL_MAX_MS:g} ms for one call")


@lru_cache(maxsize=1_000)
def compile_rule(expression: str) -> Rule:
    """A rule, compiled once.

    Raises:
        PolicyRefused: it is no expression that can be used.
    """
    return Rule(expression)


def value_of(call: Call, name: str) -> Any:
    """What a variable of an expression is for one call; None where it is not known."""
    return VARIABLES[name](call)


def _check_text(expression: str) -> str | None:
    """Refuse what the compiler should not even see; the name of the loop's variable if there is."""
    if len(expression) > EXPRESSION_MAX_CHARS:
        raise PolicyRefused(f"longer than {EXPRESSION_MAX_CHARS:,} characters")
    bare = _STRING.sub("S", expression)
    if "//" in bare or '"' in bare or "'" in bare or _THREE_QUOTES.search(expression):
        raise PolicyRefused("comments, open strings and strings in three quotes are not read")
    depth = deepest = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > 20:
        raise PolicyRefused("nested more than 20 deep")
    loops = _ANY_LOOP.findall(bare)
    if not loops:
        return None
    loop = _LOOP.search(bare)
    if len(loops) > 1 or loop is None:
        raise PolicyRefused("one loop at most, with all or exists")
    if loop[2] in VARIABLES:
        raise PolicyRefused(f"{loop[2]!r} is taken; name the loop's variable otherwise")
    return loop[2]


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _text(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_MAX_CHARS]


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _messages(call: Call) -> list[dict[str, str]]:
    if len(call.messages) > VALUES_MAX:
        raise Unknown(f"more than {VALUES_MAX:,} messages")
    return [{"role": one.role, "text": one.text[:TEXT_MAX_CHARS]} for one in call.messages]


def _bounded(what: str, value: Mapping[str, Any] | None) -> Any:
    """A value that is small enough to be handed over."""
    if value is None:
        return None
    room = [VALUES_MAX, TEXT_MAX_CHARS]
    try:
        return _copy(value, room, 0)
    except ValueError as error:
        raise Unknown(f"{what} too large or of a kind that no rule reads") from error


def _copy(value: Any, room: list[int], depth: int) -> Any:
    room[0] -= 1
    if room[0] < 0 or depth > 20:
        raise ValueError
    if isinstance(value, Mapping):
        return {str(key): _copy(inner, room, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner, room, depth + 1) for inner in value]
    if isinstance(value, str):
        room[1] -= len(value)
        if room[1] < 0:
            raise ValueError
        return value
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    raise ValueError


def _tokens(call: Call) -> int | None:
    if call.tokens_in is None or call.tokens_out is None:
        return None
    return call.tokens_in + call.tokens_out


#: What an expression may name, and where it is taken from.
VARIABLES: Mapping[str, Callable[[Call], Any]] = {
    "input": lambda call: _text(call.input_text),
    "messages": _messages,
    "context": lambda call: _bounded("context", call.context),
    "output": lambda call: _text(call.output),
    "parameters": lambda call: _bounded("parameters", call.parameters),
    "cost": lambda call: _number(call.cost_usd),
    "tokens": _tokens,
    "tokens_in": lambda call: call.tokens_in,
    "tokens_out": lambda call: call.tokens_out,
    "latency_ms": lambda call: call.latency_ms,
    "model": lambda call: call.model,
    "provider": lambda call: call.provider,
    "tenant_id": lambda call: call.tenant_id,
    "http_status": lambda call: call.http_status,
    "error_type": lambda call: call.error_type,
    "finish_reason": lambda call: call.finish_reason,
}

_TRIAL: Mapping[str, Any] = {
    "input": _TEXT,
    "messages": [{"role": "user", "text": "word " * 20}] * 40,
    "context": {f"field_{number}": "a value" for number in range(40)},
    "output": _TEXT,
    "parameters": {"temperature": 0.5, "tools": []},
    "cost": 0.01,
    "tokens": 1500,
    "tokens_in": 1000,
    "tokens_out": 500,
    "latency_ms": 900,
    "model": "a-model",
    "provider": "a-provider",
    "tenant_id": "acme",
    "http_status": 200,
    "error_type": "",
    "finish_reason": "stop",
}
