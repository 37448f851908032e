"""How ``:name`` parameters become an engine's placeholders, without any engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.errors import QueryError
from ebbtide.store.events.base import bind, split_statements


def dollar(name: str, _: Any) -> str:
    return f"${name}"


def test_a_parameter_becomes_a_placeholder_and_a_value() -> None:
    assert bind("SELECT :a", {"a": 1}, dollar) == ("SELECT $a", {"a": 1})


def test_the_placeholder_sees_the_value() -> None:
    text, _ = bind("SELECT :a", {"a": 1}, lambda name, value: f"{name}={value!r}")
    assert text == "SELECT a=1"


def test_a_name_is_taken_whole() -> None:
    text, values = bind(":a :ab :a_b :a1", {"a": 1, "ab": 2, "a_b": 3, "a1": 4}, dollar)
    assert text == "$a $ab $a_b $a1"
    assert values == {"a": 1, "ab": 2, "a_b": 3, "a1": 4}


@pytest.mark.parametrize("many", [[1, 2], (1, 2)])
def test_a_list_expands_to_one_placeholder_per_value(many: Any) -> None:
    text, values = bind("x IN (:many)", {"many": many}, dollar)
    assert text == "x IN ($many__0, $many__1)"
    assert values == {"many__0": 1, "many__1": 2}


def test_the_values_of_a_list_do_not_meet_another_parameter() -> None:
    text, values = bind(":a :a_0 :a_1", {"a": ["x", "y"], "a_0": "p", "a_1": "q"}, dollar)
    assert [values[name[1:]] for name in text.replace(",", "").split()] == ["x", "y", "p", "q"]


@pytest.mark.parametrize("empty", [[], (), set(), frozenset()])
def test_an_empty_list_is_refused_by_name(empty: Any) -> None:
    with pytest.raises(QueryError, match=":kinds"):
        bind("x IN (:kinds)", {"kinds": empty}, dollar)


def test_a_missing_value_is_refused_by_name() -> None:
    with pytest.raises(QueryError, match=":as_of"):
        bind("t <= :as_of", {}, dollar)


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), [datetime(2026, 1, 1)]])
def test_a_moment_without_a_zone_is_refused_by_name(value: Any) -> None:
    with pytest.raises(QueryError, match=":as_of"):
        bind("t <= :as_of", {"as_of": value}, dollar)
    aware = datetime(2026, 1, 1, tzinfo=UTC)
    assert bind("t <= :as_of", {"as_of": aware}, dollar)[1] == {"as_of": aware}


@pytest.mark.parametrize("value", [None, 0, "", False])
def test_an_empty_looking_value_is_a_value(value: Any) -> None:
    assert bind(":a", {"a": value}, dollar) == ("$a", {"a": value})


@pytest.mark.parametrize(
    "text",
    [
        "':a'",
        "'it''s :a'",
        "''':a'",
        "'' ':a' ''",
        '":a"',
        "-- :a",
        "-- it's :a\n",
        "/* :a */",
        "/* it's\n :a */",
        "x::text",
        "x::a",
        "12:30",
        "[1:2]",
        ": a",
    ],
)
def test_what_only_looks_like_a_parameter_is_left_alone(text: str) -> None:
    assert bind(f"{text}\n:b", {"b": 1}, dollar) == (f"{text}\n$b", {"b": 1})


@given(st.text(), st.text())
def test_no_text_inside_quotes_is_ever_touched(one: str, other: str) -> None:
    quoted = "'" + one.replace("'", "''") + "'"
    named = '"' + other.replace('"', '""') + '"'
    text, values = bind(f"SELECT {quoted}, :a, {named}, :a", {"a": 1}, dollar)
    assert text == f"SELECT {quoted}, $a, {named}, $a"
    assert values == {"a": 1}


@given(st.text())
def test_a_value_never_enters_the_text(value: str) -> None:
    assert bind("SELECT :a", {"a": value}, dollar) == ("SELECT $a", {"a": value})


def test_a_script_is_split_where_a_line_ends_in_a_semicolon() -> None:
    script = """-- a comment; with a semicolon
CREATE TABLE a (
    b text DEFAULT ';'   -- and ; here
);
-- only a comment
;
CREATE TABLE c (d text); \nINSERT INTO c VALUES ('x')"""
    assert [part.split("\n")[-1].strip() for part in split_statements(script)] == [
        ")",
        "CREATE TABLE c (d text)",
        "INSERT INTO c VALUES ('x')",
    ]


def test_an_empty_script_has_no_statement() -> None:
    assert list(split_statements("")) == list(split_statements("-- nothing\n;\n")) == []
