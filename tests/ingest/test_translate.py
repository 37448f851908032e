"""One record through a mapping: which rule decides and where each field goes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import SourceMapping, load_mapping
from ebbtide.domain.event import Event
from ebbtide.ingest.translate import translate
from ebbtide.ingest.validate import Rejection, Validator
from example_counts import examples

VALIDATOR = Validator(load_catalog())
AT = "2025-12-12T08:00:00Z"


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("mappings")
    (folder / "prices.json").write_text(
        '{"mini": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},'
        ' "odd": {"input_cost_per_token": 0.00000000005, "output_cost_per_token": 0}}'
    )

    @cache
    def read_text(body: str) -> SourceMapping:
        path = folder / "m.toml"
        path.write_text('[source]\nname = "shop"\n' + body, encoding="utf-8")
        return load_mapping(path)

    return read_text


SIMPLE = '[columns]\ntimestamp = "at"\ntenant_id = "team"\n'
LOGIN = '[[events]]\ntype = "LOGIN"\n'


def test_a_record_becomes_an_event(read: Any) -> None:
    mapping = read(SIMPLE + 'user_id = "who.id"\nmetadata.source = "door"\n' + LOGIN)
    record = {"at": AT, "team": "acme", "who": {"id": 1467}, "door": "guard", "else": 1}
    assert translate(mapping, record) == {
        "event_type": "LOGIN",
        "timestamp": "2025-12-12T08:00:00+00:00",
        "tenant_id": "acme",
        "user_id": "1467",
        "source": "shop",
        "metadata": {"source": "guard"},
    }


def test_the_first_rule_that_holds_decides(read: Any) -> None:
    mapping = read(
        SIMPLE
        + '[[events]]\ntype = "API_CALL_RECEIVED"\nwhen = { is_bot = true }\n'
        + '[[events]]\ntype = "REPLAY_EXECUTED"\nwhen = { kind = ["feat", "merge"] }\n'
        + '[[events]]\ntype = "EXPORT_GENERATED"\n'
        + 'when = { kind = { prefix = "rel" }, note = { present = true } }\n'
        + 'constants = { metadata.format = "json" }\n'
    )

    def type_of(**record: Any) -> str | None:
        fields = translate(mapping, {"at": AT, "team": "acme"} | record)
        return None if fields is None else fields["event_type"]

    assert type_of(is_bot=True, kind="feat") == "API_CALL_RECEIVED"
    assert type_of(is_bot="true") == "API_CALL_RECEIVED"  # as CSV says it
    assert type_of(is_bot=1) is None
    assert type_of(is_bot=False, kind="merge") == "REPLAY_EXECUTED"
    assert type_of(kind="release", note="x") == "EXPORT_GENERATED"
    assert type_of(kind="release", note="") is None
    assert type_of(kind="release") is None
    assert type_of(kind="Feat") is None
    assert type_of(kind=["feat"]) is None
    assert type_of() is None


def test_absence_can_be_asked_for(read: Any) -> None:
    mapping = read(SIMPLE + LOGIN + "when = { error = { present = false } }\n")
    assert translate(mapping, {"at": AT}) is not None
    assert translate(mapping, {"at": AT, "error": None}) is not None
    assert translate(mapping, {"at": AT, "error": ""}) is not None
    assert translate(mapping, {"at": AT, "error": 0}) is None


def test_a_type_named_by_the_record_must_be_one_of_ours(read: Any) -> None:
    mapping = read(
        SIMPLE + "[metadata]\nrest = true\n" + '[[events]]\ntype_column = ["kind", "old"]\n'
    )
    fields = translate(mapping, {"at": AT, "kind": "LOGIN", "old": "x"})
    assert fields is not None
    assert (fields["event_type"], fields["metadata"]) == ("LOGIN", {"old": "x"})
    assert translate(mapping, {"at": AT, "kind": "", "old": "LOGIN"}) is not None
    assert translate(mapping, {"at": AT, "kind": "login", "old": "LOGIN"}) is None
    assert translate(mapping, {"at": AT, "kind": ["LOGIN"]}) is None


def test_the_first_present_field_counts_and_a_constant_stands_in(read: Any) -> None:
    mapping = read(
        SIMPLE
        + 'user_id = ["user", "anon.id"]\nsession_id = "sid"\n'
        + '[constants]\nsession_id = "none"\ncost_usd = 0.10\n'
        + LOGIN
    )
    both = translate(mapping, {"at": AT, "user": "u", "anon": {"id": "a"}, "sid": "s"})
    assert both is not None
    assert (both["user_id"], both["session_id"]) == ("u", "s")
    other = translate(mapping, {"at": AT, "user": "", "anon": {"id": 0}})
    assert other is not None
    assert (other["user_id"], other["session_id"]) == ("0", "none")
    assert other["cost_usd"] == Decimal("0.10")
    neither = translate(mapping, {"at": AT, "user": None, "anon": "text"})
    assert neither is not None
    assert "user_id" not in neither


def test_metadata_come_from_four_places_in_order(read: Any) -> None:
    mapping = read(
        SIMPLE
        + 'metadata.a = "top"\nseverity = "props.level"\n'
        + '[constants]\nmetadata.a = "never"\nmetadata.e = "constant"\nmetadata.b = "never"\n'
        + '[metadata]\nrest = true\nspread = ["props", "more.inner"]\n'
        + LOGIN
    )
    record = {
        "at": AT,
        "team": "acme",
        "top": 1,
        "props": {"a": "never", "b": 2, "level": 3, "none": None},
        "more": {"inner": {"b": "never", "c": 3}, "other": 1},
        "b": "never",
        "d": {"deep": [1]},
        "gone": None,
    }
    fields = translate(mapping, record)
    assert fields is not None
    assert fields["severity"] == 3
    assert fields["metadata"] == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": {"deep": [1]},
        "more": {"inner": {"b": "never", "c": 3}, "other": 1},
        "e": "constant",
    }


def test_an_object_to_spread_that_is_none_is_kept_whole(read: Any) -> None:
    mapping = read(SIMPLE + '[metadata]\nspread = ["props"]\n' + LOGIN)
    fields = translate(mapping, {"at": AT, "props": [1, 2]})
    assert fields is not None
    assert fields["metadata"] == {"props": [1, 2]}


def test_texts_are_translated_and_others_left(read: Any) -> None:
    mapping = read(
        SIMPLE
        + 'severity = "level"\nmetadata.plan = "plan"\n'
        + '[values.severity]\nwarn = "medium"\n7 = "high"\n'
        + '[values.metadata.plan]\n"Pro Plan" = "pro"\ntrue = "paid"\n'
        + LOGIN
    )

    def said(level: object, plan: object) -> tuple[object, object]:
        fields = translate(mapping, {"at": AT, "level": level, "plan": plan})
        assert fields is not None
        return fields["severity"], fields["metadata"]["plan"]

    assert said("warn", "Pro Plan") == ("medium", "pro")
    assert said(7, True) == ("high", "paid")
    assert said("4", "pro plan") == (4, "pro plan")
    assert said(4.5, 12) == (4.5, 12)


# -- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "given_value", "expected"),
    [
        ("", "2025-12-12T09:00:00+01:00", "2025-12-12T09:00:00+01:00"),
        ("", "2025-12-12T08:00:00.1234567Z", "2025-12-12T08:00:00.123456+00:00"),
        ("", "2025-12-12T08:00:00", "2025-12-12T08:00:00"),  # naive: the validator says so
        ("", "yesterday", "yesterday"),
        ("", 1765526400, 1765526400),
        ("", True, True),
        ("", ["x"], ["x"]),
        ("", datetime(2025, 12, 12, 8, tzinfo=UTC), "2025-12-12T08:00:00+00:00"),
        (
            "",
            datetime(2025, 12, 12, 8, tzinfo=timezone(timedelta(hours=1))),
            "2025-12-12T08:00:00+01:00",
        ),
        ("", datetime(2025, 12, 12, 8), "2025-12-12T08:00:00"),
        ('zone = "UTC"', "2025-12-12T08:00:00", "2025-12-12T08:00:00+00:00"),
        ('zone = "UTC"', "2025-12-12", "2025-12-12T00:00:00+00:00"),
        ('zone = "UTC"', date(2025, 12, 12), "2025-12-12T00:00:00+00:00"),
        ('zone = "UTC"', "2025-12-12T08:00:00+02:00", "2025-12-12T08:00:00+02:00"),
        ('zone = "Europe/Berlin"', "2025-07-01 12:00:00", "2025-07-01T10:00:00+00:00"),
        # The hour that comes twice, and the one that never comes: standard time.
        ('zone = "Europe/Berlin"', "2024-10-27 02:30:00", "2024-10-27T01:30:00+00:00"),
        ('zone = "Europe/Berlin"', "2024-03-31 02:30:00", "2024-03-31T01:30:00+00:00"),
        ('zone = "Europe/Berlin"', "0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ('format = "epoch_s"', 1765526400, "2025-12-12T08:00:00+00:00"),
        ('format = "epoch_s"', "1765526400.1234567", "2025-12-12T08:00:00.123456+00:00"),
        ('format = "epoch_s"', 1765526400.1, "2025-12-12T08:00:00.100000+00:00"),
        ('format = "epoch_s"', -0.0000001, -0.0000001),
        ('format = "epoch_ms"', 1765526400123, "2025-12-12T08:00:00.123000+00:00"),
        ('format = "epoch_us"', 1765526400123456, "2025-12-12T08:00:00.123456+00:00"),
        ('format = "epoch_us"', -1, "1969-12-31T23:59:59.999999+00:00"),
        ('format = "epoch_s"', AT, AT),
        ('format = "epoch_s"', True, True),
        ('format = "epoch_s"', 10**19, 10**19),
        ('format = "epoch_s"', datetime(2025, 12, 12, 8, tzinfo=UTC), "2025-12-12T08:00:00+00:00"),
    ],
)
def test_moments(read: Any, setting: str, given_value: object, expected: object) -> None:
    mapping = read(f"[timestamp]\n{setting}\n" + SIMPLE + LOGIN)
    fields = translate(mapping, {"at": given_value})
    assert fields is not None
    assert fields["timestamp"] == expected


# -- cost --------------------------------------------------------------------------------------

COST = (
    SIMPLE
    + 'metadata.model = "m"\nmetadata.tokens_in = "i"\nmetadata.tokens_out = "o"\ncost_usd = "c"\n'
    + '[cost]\nprices = "prices.json"\n[[events]]\ntype = "LLM_CALL_MADE"\n'
)


@pytest.mark.parametrize(
    ("record", "cost_usd"),
    [
        ({"m": "mini", "i": 4808, "o": 10}, Decimal("0.0007272000")),
        ({"m": "mini", "i": 4808.0, "o": 10}, Decimal("0.0007272000")),
        ({"m": "mini", "i": 0, "o": 0}, Decimal(0)),
        ({"m": "odd", "i": 1, "o": 0}, Decimal(0)),  # 0.5e-10 rounds half to even
        ({"m": "odd", "i": 3, "o": 0}, Decimal("0.0000000002")),  # 1.5e-10 as well
        ({"m": "mini", "i": 4808, "o": 10, "c": 0.5}, 0.5),
        ({"m": "other", "i": 4808, "o": 10}, None),
        ({"m": "mini", "i": 4808}, None),
        ({"m": "mini", "i": -1, "o": 10}, None),
        ({"m": "mini", "i": "4808", "o": 10}, None),
        ({"m": "mini", "i": True, "o": 10}, None),
        ({"m": "mini", "i": 1.5, "o": 10}, None),
        ({"m": "mini", "i": float("nan"), "o": 10}, None),
        ({"m": ["mini"], "i": 1, "o": 10}, None),
        ({"i": 1, "o": 10}, None),
    ],
)
def test_cost_from_tokens_is_exact_or_unknown(
    read: Any, record: dict[str, Any], cost_usd: object
) -> None:
    fields = translate(read(COST), {"at": AT} | record)
    assert fields is not None
    assert fields.get("cost_usd") == cost_usd


# -- any record --------------------------------------------------------------------------------

NAMES = ["at", "team", "props", "who", "kind", "i", "o", "m", "id", "level", "ms"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([AT, "LOGIN", "2025-12-12", "mini", "1", ""])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)
records = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), values, max_size=8)

RICH = (
    '[columns]\ntimestamp = ["at", "props.at"]\ntenant_id = "team"\nuser_id = "who.id"\n'
    'event_id = "id"\nseverity = "level"\nlatency_ms = "ms"\n'
    'metadata.model = "m"\nmetadata.tokens_in = "i"\nmetadata.tokens_out = "o"\n'
    '[values.tenant_id]\n1 = "one"\n[metadata]\nrest = true\nspread = ["props"]\n'
    '[cost]\nprices = "prices.json"\n'
    '[timestamp]\nzone = "Europe/Berlin"\n'
    '[[events]]\ntype_column = "kind"\n'
    '[[events]]\ntype = "LLM_CALL_MADE"\n'
)


@settings(max_examples=examples(400))
@given(record=records, time_format=st.sampled_from(["iso", "epoch_s", "epoch_ms", "epoch_us"]))
def test_no_record_is_too_odd(read: Any, record: dict[str, Any], time_format: str) -> None:
    mapping = read(RICH.replace("[timestamp]", f'[timestamp]\nformat = "{time_format}"'))
    before = repr(record)
    fields = translate(mapping, record)
    assert fields is not None
    checked = VALIDATOR.check(
        fields, received_at=datetime(2026, 1, 1, tzinfo=UTC), default_source="x"
    )
    assert isinstance(checked, Event | Rejection)
    assert repr(record) == before  # what goes to quarantine is what came


@settings(max_examples=examples(300))
@given(record=st.dictionaries(st.text(min_size=1, max_size=4), values, max_size=6))
def test_with_rest_nothing_is_lost(read: Any, record: dict[str, Any]) -> None:
    mapping = read(
        '[columns]\ntimestamp = "at"\nuser_id = ["a", "b"]\n[metadata]\nrest = true\n' + LOGIN
    )
    fields = translate(mapping, {**record, "at": AT})
    assert fields is not None
    metadata = fields.get("metadata", {})
    for name, value in record.items():
        if value is None or name == "at" or (name == "a" and value == ""):
            continue
        if name == "a":
            assert fields["user_id"] == value or fields["user_id"] == str(int(value))
        else:
            assert metadata[name] is value


def test_the_result_can_be_written_as_json_again(read: Any) -> None:
    mapping = read(SIMPLE + "[metadata]\nrest = true\n" + LOGIN)
    fields = translate(mapping, {"at": AT, "team": "acme", "x": {"y": [1, None]}})
    assert json.loads(json.dumps(fields)) == fields
