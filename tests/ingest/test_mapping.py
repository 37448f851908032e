"""Mapping files: what they say, how they combine, and that a bad one is refused by file and key."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from ebbtide.catalog.mapping import (
    Condition,
    MappingText,
    TokenPrice,
    load_mapping,
    load_mappings,
    mapping_from_text,
    parse_path,
    read_mapping_text,
    text_of,
)
from ebbtide.domain.errors import MappingError

MINIMAL = """
[source]
name = "shop"
[columns]
timestamp = "at"
[[events]]
type = "LOGIN"
"""
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str, name: str = "shop.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_a_minimal_file_is_strict_by_default(write: Callable[[str], Path]) -> None:
    mapping = load_mapping(write(MINIMAL))
    assert mapping.name == "shop"
    assert mapping.otherwise == "quarantine"
    assert mapping.zone is None
    assert mapping.rest is False
    assert mapping.prices is None
    assert [rule.type for rule in mapping.rules] == ["LOGIN"]
    assert mapping.rules[0].columns == {"timestamp": (("at",),)}


def test_a_rule_adds_to_the_common_columns_and_replaces_single_ones(
    write: Callable[[str], Path],
) -> None:
    text = MINIMAL.replace(
        "[[events]]", '[constants]\nentity_type = "a"\nsession_id = "s"\n[[events]]'
    )
    text += 'columns = { timestamp = "when", metadata.model = "m" }\n'
    text += 'constants = { entity_type = "b" }\n'
    (rule,) = load_mapping(write(text)).rules
    assert rule.columns == {"timestamp": (("when",),), "metadata.model": (("m",),)}
    assert rule.constants == {"entity_type": "b", "session_id": "s"}
    assert rule.taken == {("when",), ("m",)}


def test_conditions_in_short_and_in_full(write: Callable[[str], Path]) -> None:
    text = MINIMAL + (
        'when = { a = true, b = ["x", 7], "c.d" = { is = "y" }, e = { any_of = [1], prefix = "1" },'
        " f = { present = false } }\n"
    )
    assert load_mapping(write(text)).rules[0].conditions == (
        Condition(("a",), any_of=("true",)),
        Condition(("b",), any_of=("x", "7")),
        Condition(("c", "d"), any_of=("y",)),
        Condition(("e",), any_of=("1",), prefix="1"),
        Condition(("f",), present=False),
    )


def test_metadata_keys_may_stand_without_quotes(write: Callable[[str], Path]) -> None:
    quoted = (
        MINIMAL.replace('"at"', '"at"\n"metadata.model" = "m"') + '[values."metadata.model"]\na="b"'
    )
    bare = MINIMAL.replace('"at"', '"at"\nmetadata.model = "m"') + '[values.metadata.model]\na="b"'
    assert load_mapping(write(quoted)) == load_mapping(write(bare))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ('"a.b".c', ("a.b", "c")),
        ('a."b.c"', ("a", "b.c")),
        ("Träger 1.x", ("Träger 1", "x")),
    ],
)
def test_paths(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", '"a', '"a"b', 'a"b"', '""'])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="part"):
        parse_path(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"), (True, "true"), (False, "false"), (0, "0"), (-7, "-7"), (3.0, "3"),
        (3.5, None), (None, None), ([], None), ({}, None), (10**19, None), (1e300, None),
    ],
)  # fmt: skip
def test_the_text_of_a_value(value: object, text: str | None) -> None:
    assert text_of(value) == text


# -- refused: file, key, and a word of why -----------------------------------------------------

_COLUMNS = '[columns]\ntimestamp = "at"\n'
_RULE = '[[events]]\ntype = "LOGIN"\n'
_HEAD = '[source]\nname = "shop"\n'
_TOP = _HEAD + _COLUMNS
_ALL = _TOP + _RULE


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("a = = 1", "not TOML", ""),
        (_COLUMNS + _RULE, "source.name", "must be a text"),
        ("source = 1\n" + _COLUMNS + _RULE, "source.name", "must be a text"),
        ('[source]\nname = " "\n' + _COLUMNS + _RULE, "source.name", "must be a text"),
        (_HEAD + 'colour = "x"\n' + _COLUMNS + _RULE, "source.colour", "unknown key"),
        (_HEAD + "summary = 3\n" + _COLUMNS + _RULE, "source.summary", "must be a text"),
        (_HEAD + 'otherwise = "drop"\n' + _COLUMNS + _RULE, "source.otherwise", "not one of"),
        (_ALL + "[extra]\n", "extra", "unknown key"),
        (_HEAD + _RULE, "columns.timestamp", "missing"),
        ("columns = 3\n" + _HEAD + _RULE, "columns", "must be a table"),
        (_TOP + 'tenant = "t"\n' + _RULE, "columns.tenant", "no field of an event"),
        (_TOP + 'event_type = "t"\n' + _RULE, "columns.event_type", "[[events]]"),
        (_TOP + 'metadata = "t"\n' + _RULE, "columns.metadata", "spread"),
        (_TOP + '"metadata." = "t"\n' + _RULE, "columns.metadata.", "no field"),
        (_TOP + "user_id = 3\n" + _RULE, "columns.user_id", "path"),
        (_TOP + "user_id = []\n" + _RULE, "columns.user_id", "names no field"),
        (_TOP + 'user_id = "a..b"\n' + _RULE, "columns.user_id", "empty part"),
        (_TOP + 'user_id = ["a", 3]\n' + _RULE, "columns.user_id", "path"),
        (_TOP, "events", "missing"),
        (_TOP + "[events]\n", "events", "missing"),
        ("events = [1]\n" + _TOP, "events[1]", "must be a table"),
        (_TOP + '[[events]]\ntype = "NOPE"\n', "events[1].type", "no event type"),
        (_ALL + "[[events]]\n", "events[2].type", "either"),
        (_ALL + 'type_column = "x"\n', "events[1].type", "either"),
        (_TOP + "[[events]]\ntype_column = 3\n", "events[1].type_column", "path"),
        (_ALL + "if = 3\n", "events[1].if", "unknown key"),
        (_ALL + "when = 3\n", "events[1].when", "must be a table"),
        (_ALL + "when = { a = 1.5 }\n", "events[1].when.a", "compare with"),
        (_ALL + "when = { a = [] }\n", "events[1].when.a", "compare with"),
        (_ALL + 'when = { a = "" }\n', "events[1].when.a", "compare with"),
        (_ALL + "when = { a = {} }\n", "events[1].when.a", "says nothing"),
        (_ALL + "when = { a = { in = 1 } }\n", "events[1].when.a.in", "unknown"),
        (_ALL + "when = { a = { is = [1] } }\n", "events[1].when.a.is", "any_of"),
        (
            _ALL + "when = { a = { is = 1, any_of = [1] } }\n",
            "events[1].when.a",
            "either",
        ),
        (
            _ALL + "when = { a = { is = 1, present = false } }\n",
            "events[1].when.a",
            "never hold",
        ),
        (
            _ALL + 'when = { a = { present = "no" } }\n',
            "events[1].when.a.present",
            "true or false",
        ),
        (_ALL + "when = { a = { prefix = 3 } }\n", "events[1].when.a.prefix", "text"),
        (_ALL + "columns = { x = 'y' }\n", "events[1].columns.x", "no field"),
        (_ALL + "constants = { x = 'y' }\n", "events[1].constants.x", "no field"),
        (_TOP + "[constants]\nevent_id = 'x'\n" + _RULE, "constants.event_id", "same"),
        (_TOP + "[constants]\ntimestamp = 'x'\n" + _RULE, "constants.timestamp", "same"),
        (_TOP + "[constants]\nuser_id = ''\n" + _RULE, "constants.user_id", "text"),
        (_TOP + "[constants]\nuser_id = true\n" + _RULE, "constants.user_id", "text"),
        (_TOP + "[constants]\nuser_id = 1.5\n" + _RULE, "constants.user_id", "text"),
        (_TOP + "[constants]\ncost_usd = nan\n" + _RULE, "constants.cost_usd", "finite"),
        (
            _TOP + "[constants]\nseverity = 99999999999999999999\n" + _RULE,
            "constants.severity",
            "too large",
        ),
        (
            _TOP + "[constants]\nmetadata.day = 2025-01-01\n" + _RULE,
            "constants.metadata.day",
            "must be text",
        ),
        (_TOP + "[metadata]\nrest = 1\n" + _RULE, "metadata.rest", "true or false"),
        (_TOP + "[metadata]\nspread = [1]\n" + _RULE, "metadata.spread", "path"),
        (_TOP + "[metadata]\nall = true\n" + _RULE, "metadata.all", "unknown key"),
        (_TOP + "[values.plan]\na = 'b'\n" + _RULE, "values.plan", "no field"),
        (_TOP + "[values.user_id]\n" + _RULE, "values.user_id", "must be a table"),
        (_TOP + "[values.user_id]\na = 1\n" + _RULE, "values.user_id.a", "text"),
        (_TOP + "[values.timestamp]\na = 'b'\n" + _RULE, "values.timestamp", "identity"),
        (_TOP + "[timestamp]\nformat = 'unix'\n" + _RULE, "timestamp.format", "not one"),
        (_TOP + "[timestamp]\nzone = 'Mars/Base'\n" + _RULE, "timestamp.zone", "unknown"),
        (_TOP + "[timestamp]\nzone = '../../etc'\n" + _RULE, "timestamp.zone", "unknown"),
        (_TOP + "[cost]\n" + _RULE, "cost.prices", "missing"),
        (_TOP + "[cost]\nprices = 'p.json'\n" + _RULE, "cost", "metadata.model"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_by_file_and_key(
    write: Callable[[str], Path], text: str, key: str, why: str
) -> None:
    with pytest.raises(MappingError) as refused:
        load_mapping(write(text))
    assert str(refused.value).startswith(f"shop.toml: {key}: "), str(refused.value)
    assert why in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="^none.toml: cannot be read"):
        load_mapping(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'[source]\nname = "caf\xe9"\n')
    with pytest.raises(MappingError, match="^latin.toml: cannot be read"):
        load_mapping(tmp_path / "latin.toml")
    with pytest.raises(MappingError, match="^latin.toml: cannot be read"):
        load_mappings(tmp_path)
    with pytest.raises(MappingError, match="no such folder"):
        load_mappings(tmp_path / "none")


# -- prices ------------------------------------------------------------------------------------

_COST = (
    _HEAD
    + _COLUMNS
    + 'metadata.model = "m"\nmetadata.tokens_in = "i"\nmetadata.tokens_out = "o"\n'
    + _RULE
    + '[cost]\nprices = "prices.json"\n'
)


def test_prices_are_read_exactly(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(
        '{"a": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},'
        ' "free": {"input_cost_per_token": 0, "output_cost_per_token": 0},'
        ' "image": {"output_cost_per_image": 0.02}}'
    )
    assert load_mapping(write(_COST)).prices == {
        "a": TokenPrice(Decimal("0.00000015"), Decimal("0.0000006")),
        "free": TokenPrice(Decimal(0), Decimal(0)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"a": 3}',
        '{"a": {"input_cost_per_token": "1", "output_cost_per_token": 1}}',
        '{"a": {"input_cost_per_token": -1, "output_cost_per_token": 1}}',
        '{"a": {"input_cost_per_token": NaN, "output_cost_per_token": 1}}',
        '{"a": {"input_cost_per_token": true, "output_cost_per_token": 1}}',
        '{"a": {"input_cost_per_token": 1e400, "output_cost_per_token": 1}}',
        '{"a": {"input_cost_per_token": 1}}',
        "[" * 100_000,
    ],
)
def test_a_bad_price_list_is_refused(
    write: Callable[[str], Path], tmp_path: Path, text: str
) -> None:
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(MappingError, match=r"^shop.toml: cost.prices: prices.json"):
        load_mapping(write(_COST))


def test_a_price_list_that_is_not_there_is_named_with_its_form(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(MappingError) as caught:
        load_mapping(write(_COST))
    assert str(caught.value) == (
        "shop.toml: cost.prices: prices.json is missing; put it beside this file: a JSON object "
        "of models, each with input_cost_per_token and output_cost_per_token in USD"
    )
    (tmp_path / "prices.json").mkdir()
    with pytest.raises(MappingError, match=r"^shop.toml: cost.prices: prices.json cannot be read"):
        load_mapping(write(_COST))


# -- on its way to another machine -------------------------------------------------------------


def test_a_mapping_means_the_same_after_it_was_sent(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "prices.json").write_text(
        '{"a \\"b\\"": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 1000000e-7},'
        ' "image": {"output_cost_per_image": 0.02}}'
    )
    path = write(_COST)
    assert mapping_from_text(read_mapping_text(path)) == load_mapping(path)
    path = write(MINIMAL)
    text = read_mapping_text(path)
    assert (text.file_name, text.prices) == ("shop.toml", None)
    assert mapping_from_text(text) == load_mapping(path)


def test_a_mapping_that_was_sent_opens_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"a": {"input_cost_per_token": 1, "output_cost_per_token": 1}}')
    text = _COST.replace("prices.json", str(secret))
    with pytest.raises(MappingError, match="^mine.toml: cost.prices: .* is missing"):
        mapping_from_text(MappingText("mine.toml", text, None))


# -- packaged and own --------------------------------------------------------------------------


def test_the_packaged_mappings_are_sound() -> None:
    mappings = load_mappings()
    assert {"segment", "cloudevents"} <= set(mappings)
    assert all(mapping.summary for mapping in mappings.values())


def test_own_files_extend_a_packaged_source_and_add_others(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    write(
        '[source]\nname = "segment"\notherwise = "skip"\n'
        '[columns]\nsession_id = "properties.visit"\n[values.user_id]\na = "b"\n'
        '[[events]]\ntype = "SUBSCRIPTION_STARTED"\nwhen = { event = "Trial Started" }\n',
        "mine.toml",
    )
    write(MINIMAL)
    write("no toml", "notes.txt")
    packaged = load_mappings()["segment"]
    mappings = load_mappings(tmp_path)
    own = mappings["segment"]
    assert own.otherwise == "skip"
    assert own.summary == packaged.summary
    assert [rule.type for rule in own.rules] == [
        "SUBSCRIPTION_STARTED",
        *[rule.type for rule in packaged.rules],
    ]
    for rule in own.rules:
        assert rule.columns["session_id"] == (("properties", "visit"),)
        assert rule.columns["event_id"] == (("messageId",),)
    assert own.values == {"user_id": {"a": "b"}}
    assert mappings["shop"].name == "shop"
    assert load_mappings()["segment"] == packaged  # nothing of it stays behind


def test_one_name_stands_once(write: Callable[..., Path], tmp_path: Path) -> None:
    write(MINIMAL, "a.toml")
    write(MINIMAL, "b.toml")
    with pytest.raises(MappingError, match=r"^b.toml: source.name: 'shop' is already in a.toml"):
        load_mappings(tmp_path)


def test_a_fault_in_an_extension_is_said_of_the_own_file(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    write('[source]\nname = "segment"\n[columns]\ntenant = "x"\n', "mine.toml")
    with pytest.raises(MappingError, match=r"^mine.toml: columns.tenant: no field"):
        load_mappings(tmp_path)


def test_types_of_ones_own_can_be_named(write: Callable[[str], Path]) -> None:
    path = write(MINIMAL.replace("LOGIN", "MY_TYPE"))
    assert load_mapping(path, event_types={"MY_TYPE"}).rules[0].type == "MY_TYPE"


def test_the_examples_of_the_reference_page_load(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    whole, extension = re.findall(
        r"```toml\n(.*?)```", (DOCS / "reference" / "mappings.md").read_text(), re.S
    )
    (tmp_path / "model_prices.json").write_text(
        '{"a": {"input_cost_per_token": 1, "output_cost_per_token": 1}}'
    )
    write(whole, "teams.toml")
    write(extension, "segment.toml")
    mappings = load_mappings(tmp_path)
    assert len(mappings["teams"].rules) == 3
    assert mappings["segment"].rules[0].type == "SUBSCRIPTION_STARTED"


@pytest.mark.parametrize("source", ["segment", "cloudevents"])
def test_the_examples_of_the_howtos_load(
    write: Callable[..., Path], tmp_path: Path, source: str
) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / f"howto/{source}.md").read_text(), re.S)
    write(example)
    assert load_mappings(tmp_path)[source].rules[0].type == "SUBSCRIPTION_STARTED"
