"""Expressions of policies: what they can say, what they cannot know, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.domain.call import Call
from ebbtide.domain.errors import PolicyRefused
from ebbtide.guard.rule import VARIABLES, Rule, Unknown, compile_rule, value_of


def fires(expression: str, call: Call) -> bool:
    rule = compile_rule(expression)
    return rule.fires({name: value_of(call, name) for name in rule.variables})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cost > 0.10", True),
        ("cost > 1", False),
        ("tokens == 30 && tokens_in < tokens_out", True),
        ("output.contains('sure') || input.startsWith('no')", True),
        ("output.matches('(?i)YES')", True),
        ("has(context.plan) && context.plan == 'pro'", True),
        ("has(context.none)", False),
        ("context.renew == null", True),
        ("messages.exists(m, m.role == 'user' && m.text.contains('Is'))", True),
        ("messages.all(m, m.role == 'tool')", False),
        ("model == 'gpt-x' && latency_ms >= 900", True),
        ("size(output) > 5 ? true : false", True),
        ("parameters.temperature < 1.0", True),
        ("provider == null", True),
        ("!(finish_reason in ['stop', 'length'])", True),
    ],
)
def test_what_a_rule_can_say(
    expression: str, expected: bool, make_call: Callable[..., Call]
) -> None:
    call = make_call(
        output="Yes, surely.",
        context={"plan": "pro", "renew": None},
        cost_usd=Decimal("0.2"),
        tokens_in=10,
        tokens_out=20,
        latency_ms=900,
        model="gpt-x",
        parameters={"temperature": Decimal("0.5")},
        finish_reason="content_filter",
    )
    assert fires(expression, call) is expected


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("cost > 0.10", "cost not known"),
        ("context.plan == 'pro'", "context not known"),
        ("tokens > 5", "tokens not known"),
        ("cost > 0.1 && tokens > 3", "cost and tokens not known"),
        ("tenant_id > 5", "does not fit"),
    ],
)
def test_what_is_missing_is_unknown_and_not_false(
    expression: str, why: str, make_call: Callable[..., Call]
) -> None:
    with pytest.raises(Unknown, match=why):
        fires(expression, make_call())


def test_a_missing_field_is_named(make_call: Callable[..., Call]) -> None:
    with pytest.raises(Unknown, match="no field 'plan'"):
        fires("context.plan == 'pro'", make_call(context={}))


def test_a_context_out_of_bounds_is_unknown(make_call: Callable[..., Call]) -> None:
    for context in (
        {"a": list(range(2_000))},
        {"a": "x" * 200_000},
        {"a": 2**70},
        {"a": object()},
    ):
        with pytest.raises(Unknown, match="context too large"):
            fires("has(context.a)", make_call(context=context))


REFUSED = {
    "": "no expression",
    "cost >": "no expression",
    "price > 1": "no variable is named 'price'",
    "lower(output) == 'a'": "no function is named 'lower'",
    "output.upper() == 'A'": "no function is named 'upper'",
    "size(output)": "neither true nor false",
    "'yes'": "neither true nor false",
    "output.matches('(a')": "no pattern",
    "output.matches('(?i)[a-z\\\\p{L}]{1,300}z')": "pattern|more than",
    "messages.exists(m, messages.exists(n, n.text == m.text))": "one loop",
    "messages.map(m, m.text) == []": "one loop",
    "messages.filter(m, true) == []": "one loop",
    "messages.exists(m, (input + input).contains(m.text))": "beside a loop",
    "messages.exists(m, m.text.matches('a'))": "beside a loop",
    "messages.exists(input, input.text == 'a')": "is taken",
    "true // comment": "comments",
    '"""a""" == output': "three quotes",
    "output == 'open": "open strings",
    "(" * 60 + "true" + ")" * 60: "deep",
    "[" * 30 + "]" * 30 + " == []": "deep",
    "cost > 1 || " * 200 + "true": "longer",
    "r'\\' == output || messages.map(m, m) == []": "one loop",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_what_cannot_be_used_is_refused(expression: str) -> None:
    with pytest.raises(PolicyRefused, match=REFUSED[expression]):
        Rule(expression)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*VARIABLES, "(", ")", "[", "]", ".", "all", "exists(m, ", "matches('a*')", "+", "&&"]
            + ["'", '"', "r'", "\\", "1", "==", "!", "?", ":", ",", "true", "{", "}", "\0", "é"]
        ),
        max_size=25,
    )
)
def test_no_expression_is_too_odd(parts: list[str]) -> None:
    started = process_time()
    try:
        Rule(" ".join(parts))
    except PolicyRefused as refused:
        assert str(refused)
    assert process_time() - started < 1.0


def test_the_costliest_allowed_loop_is_bounded(make_call: Callable[..., Call]) -> None:
    call = make_call("x" * 90_000, context={"a": [str(n) for n in range(900)]})
    rule = compile_rule("context.a.exists(one, input.contains(one))")
    values = {name: value_of(call, name) for name in rule.variables}
    started = process_time()
    assert rule.fires(values) is False
    assert process_time() - started < 1.0
