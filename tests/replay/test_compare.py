"""Determinism is said of like with like, and differences are data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.domain.call import Call, Message
from ebbtide.domain.policy import Result, Stage, Verdict
from ebbtide.domain.replay import Delta, Match, SpanKind, WordDiff
from ebbtide.replay.compare import (
    TEXT_SIMILARITY,
    Measured,
    compare,
    difference,
    judge,
    severity,
)
from ebbtide.replay.words import CHARS_MAX, diff_words, similarity

CALL = Call(
    call_id="call_1",
    tenant_id="acme",
    at=datetime(2026, 3, 12, tzinfo=UTC),
    model="gpt-4o-mini",
    provider="openai",
    messages=(Message("user", "Is my contract auto-renewed?"),),
    context={"auto_renew": None},
    output="Yes, your contract is set to auto-renew on the first of May.",
    parameters={"temperature": 0, "stream": True},
    cost_usd=Decimal("0.0023"),
    latency_ms=800,
)


def verdict(result: Result, severity: int | None = None, stage: Stage = Stage.OUTPUT) -> Verdict:
    return Verdict("CONTENT_ACCURACY", "v12", stage, result, severity)


ALLOWED, BLOCKED = verdict(Result.ALLOWED), verdict(Result.BLOCKED, 4)
UNKNOWN = verdict(Result.UNKNOWN)
OTHER = "No, nothing is known of it."


def level(candidate: Call, before: Verdict | None, after: Verdict | None) -> Match:
    verdicts = tuple([] if one is None else [one] for one in (before, after))
    return judge(CALL, candidate, (verdicts[0], verdicts[1])).level


def test_levels_from_the_strongest_to_the_weakest() -> None:
    assert level(CALL, BLOCKED, BLOCKED) is Match.EXACT
    other = replace(CALL, output=OTHER)
    assert level(other, BLOCKED, BLOCKED) is Match.LOGICAL
    assert level(other, BLOCKED, ALLOWED) is Match.MISMATCH
    near = replace(CALL, output=f"{CALL.output} ")
    assert level(near, BLOCKED, ALLOWED) is Match.SEMANTIC
    found = judge(CALL, near, ([BLOCKED], [ALLOWED]))
    assert (found.method, found.similarity) == (TEXT_SIMILARITY, 1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (UNKNOWN, UNKNOWN),  # not checked twice is not the same twice
        (None, None),
        (verdict(Result.ALLOWED, stage=Stage.INPUT),) * 2,  # the same input is no finding
    ],
)
def test_verdicts_that_say_nothing_of_an_output_make_nothing_logical(
    before: Verdict | None, after: Verdict | None
) -> None:
    assert level(replace(CALL, output=OTHER), before, after) is Match.MISMATCH


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "gpt-4o"}, "another model"),
        ({"model": None}, "the model is not known"),
        ({"provider": "azure"}, "another provider"),
        ({"messages": (Message("user", "?"),)}, "another input"),
        ({"context": {}}, "another input"),
        ({"parameters": {"temperature": 0.1, "top_p": 1}}, "other parameters: temperature, top_p"),
        ({"parameters": {"temperature": False}}, "other parameters: temperature"),
        ({"output": None}, "the new call has no output"),
    ],
)
def test_what_is_not_alike_is_not_compared_even_where_the_outputs_are_equal(
    change: dict[str, object], reason: str
) -> None:
    found = judge(CALL, replace(CALL, **change), ([BLOCKED], [BLOCKED]))  # type: ignore[arg-type]
    assert (found.level, found.reason) == (Match.NOT_COMPARABLE, reason)


def test_how_an_answer_is_sent_makes_no_difference() -> None:
    sent = {"temperature": 0.0, "user": "u", "stream_options": {}, "seed": None}
    assert difference(CALL, replace(CALL, parameters=sent)) is None


def test_another_method_is_named_and_what_it_cannot_measure_is_not_compared() -> None:
    other = replace(CALL, output=OTHER)
    for value, expected in ((0.86, Match.SEMANTIC), (0.84, Match.MISMATCH)):
        found = judge(
            CALL, other, ([], []), lambda _a, _b, value=value: Measured("embeddings x", 0.85, value)
        )
        assert (found.level, found.method, found.threshold) == (expected, "embeddings x", 0.85)
    found = judge(CALL, other, ([], []), lambda _a, _b: Measured("embeddings x", 0.85, None, "out"))
    assert (found.level, found.reason) == (Match.NOT_COMPARABLE, "out")


def test_another_policy_changes_the_severity_and_not_the_determinism() -> None:
    other = replace(CALL, output=OTHER, cost_usd=Decimal("0.0019"), latency_ms=None)
    found = compare(CALL, other, in_force=([BLOCKED], [BLOCKED]), asked_for=[ALLOWED])
    assert found.determinism.level is Match.LOGICAL
    assert (found.severity, found.severity.change) == (Delta(Decimal(4), Decimal(1)), Decimal(-3))
    assert found.cost_usd.change == Decimal("-0.0004")
    assert found.latency_ms.change is None


def test_a_severity_is_known_only_when_everything_was_checked() -> None:
    assert severity([ALLOWED]) == 1
    assert severity([]) is None
    assert severity([ALLOWED, UNKNOWN]) is None
    assert severity([UNKNOWN, verdict(Result.WARNED, 2), BLOCKED]) == 4


def joined(diff: WordDiff) -> tuple[str, str]:
    return (
        "".join(span.before for span in diff.spans),
        "".join(span.after for span in diff.spans),
    )


def check(before: str, after: str) -> WordDiff:
    diff = diff_words(before, after)
    assert joined(diff) == (before, after)
    for span in diff.spans:
        assert (span.kind is SpanKind.EQUAL) == (span.before == span.after)
        assert (span.kind is SpanKind.INSERT) == (not span.before)
        assert (span.kind is SpanKind.DELETE) == (not span.after)
    kinds = [span.kind is SpanKind.EQUAL for span in diff.spans]
    assert all(a != b for a, b in pairwise(kinds))  # none beside its like
    return diff


def test_a_change_is_said_in_whole_words() -> None:
    diff = check("It renews on 1 May.", "It does not renew on 1 May.")
    assert [(s.kind.value, s.before, s.after) for s in diff.spans] == [
        ("equal", "It ", "It "),
        ("replace", "renews", "does not renew"),
        ("equal", " on 1 May.", " on 1 May."),
    ]


WORDS = st.lists(st.sampled_from(["a", "bb", " ", "  ", "\n", ".", "é", "\u202e", "<b>", "\x1b["]))


@settings(max_examples=150)
@given(before=WORDS, after=WORDS)
def test_both_texts_can_be_read_from_their_difference(before: list[str], after: list[str]) -> None:
    first, second = "".join(before), "".join(after)
    check(first, second)
    check(first + " common " + second, second + " common " + first)
    assert 0 <= (similarity(first, second) or 0) <= 1


@pytest.mark.parametrize(
    ("before", "after", "is_exact"),
    [
        ("x" * 5_000_000, "y" * 5_000_000, False),  # one word
        ("a b " * 1_250_000, "b c " * 1_250_000, False),
        ("same words " * 400_000 + "end", "same words " * 400_000 + "another end", True),
        ("".join(f"{n}\n" for n in range(9_000)), "".join(f"{n}\n" for n in range(5, 9_000)), True),
    ],
)
def test_five_megabytes_take_a_moment(before: str, after: str, is_exact: bool) -> None:
    started = process_time()
    assert check(before, after).is_exact is is_exact
    if len(before) > CHARS_MAX:
        assert similarity(before, after) is None
    assert process_time() - started < 5
