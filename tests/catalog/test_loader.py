"""The loader refuses each kind of bad definition, and says in which file and at which key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.catalog.loader import has_type, load_catalog, read_event_type
from ebbtide.domain.errors import CatalogError

FILE = "report_shared.toml"
GOOD = """\
name       = "REPORT_SHARED"
summary    = "A person shared a report."
meaning    = "The result is used by others."
emitted_by = "console"
status     = "experimental"
source     = "our own"
signal     = "value"

[metadata.report_id]
type     = "string"
required = true
meaning  = "The report."

[metadata.num_readers]
type     = "integer"
unit     = "count"
required = false
meaning  = "How many people received it."

[example]
event_id   = "e-1"
timestamp  = "2025-12-12T08:00:00Z"
tenant_id  = "acme-ai"
event_type = "REPORT_SHARED"

[example.metadata]
report_id   = "r-9"
num_readers = 3
"""


def swap(old: str, new: str) -> Callable[[str], str]:
    """A fault: one piece of the good text exchanged for another."""

    def fault(text: str) -> str:
        assert text.count(old) == 1, f"the fault needs exactly one {old!r}"
        return text.replace(old, new)

    return fault


AS_FRICTION = 'signal     = "friction"\nfriction_signal = "user_abort"'

FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "no TOML": (swap("name  ", "name name "), "not TOML"),
    "unknown key": (swap("summary ", "headline "), "headline: unknown key"),
    "missing summary": (swap('summary    = "A person shared a report."\n', ""), "summary: missing"),
    "empty summary": (swap('"A person shared a report."', '" "'), "summary: must be a text"),
    "summary is a number": (swap('"A person shared a report."', "7"), "summary: must be a text"),
    "missing meaning": (
        swap('meaning    = "The result is used by others."\n', ""),
        "meaning: missing",
    ),
    "name not UPPER_SNAKE": (swap('= "REPORT_SHARED"\nsumm', '= "ReportShared"\nsumm'), "name: "),
    "name of another file": (
        swap('= "REPORT_SHARED"\nsumm', '= "REPORT_SENT"\nsumm'),
        "name: REPORT_SENT belongs into a file named report_sent.toml",
    ),
    "unknown signal": (swap('"value"', '"joy"'), "signal: 'joy' is not one of intent, trust"),
    "unknown status": (swap('"experimental"', '"beta"'), "status: 'beta' is not one of"),
    "friction without kind": (swap('"value"', '"friction"'), "friction_signal: missing"),
    "kind without friction": (
        swap('signal     = "value"', 'signal     = "value"\nfriction_signal = "user_abort"'),
        "friction_signal: stands only beside",
    ),
    "friction that does not list its kind": (
        swap('signal     = "value"', AS_FRICTION),
        "metadata.friction_signal: a friction type lists it",
    ),
    "kind listed on a type that is none": (
        swap("[metadata.report_id]", "[metadata.friction_signal]"),
        "metadata.friction_signal: this type has no friction_signal",
    ),
    "field is no table": (
        swap('[metadata.report_id]\ntype     = "string"\n', '[metadata]\nreport_id = "string"\n'),
        "metadata.report_id: must be a table",
    ),
    "unknown key of a field": (
        swap('unit     = "count"', 'units = "count"'),
        "metadata.num_readers.units: unknown key",
    ),
    "unknown type": (swap('"integer"', '"int"'), "metadata.num_readers.type: 'int' is not one of"),
    "missing type": (swap('type     = "integer"\n', ""), "metadata.num_readers.type: missing"),
    "number without unit": (swap('unit     = "count"\n', ""), "metadata.num_readers.unit: missing"),
    "required is a word": (swap("= true", '= "yes"'), "metadata.report_id.required: must be true"),
    "required left out": (swap("required = true\n", ""), "metadata.report_id.required: must be"),
    "field without meaning": (
        swap('meaning  = "The report."\n', ""),
        "metadata.report_id.meaning: missing",
    ),
    "column of another type": (
        swap('[metadata.num_readers]\ntype     = "integer"', '[metadata.model]\ntype = "object"'),
        "metadata.model.type: model has a column of its own and is string",
    ),
    "no example": (lambda text: text[: text.index("[example]")], "example: missing"),
    "example without id": (swap('event_id   = "e-1"\n', ""), "example.event_id: missing"),
    "example without tenant": (swap('tenant_id  = "acme-ai"\n', ""), "example.tenant_id: missing"),
    "example of another type": (
        swap('event_type = "REPORT_SHARED"', 'event_type = "LOGIN"'),
        "example.event_type: must be REPORT_SHARED",
    ),
    "example with a naive time": (swap("08:00:00Z", "08:00:00"), "example.timestamp: "),
    "example with a TOML date": (
        swap('"2025-12-12T08:00:00Z"', "2025-12-12T08:00:00Z"),
        "example.timestamp: must be of type string",
    ),
    "example with a strange field": (
        swap('tenant_id  = "acme-ai"', 'tenant_id = "acme-ai"\ntenant = "acme-ai"'),
        "example.tenant: no field of an event",
    ),
    "example with severity 6": (
        swap('tenant_id  = "acme-ai"', 'tenant_id = "acme-ai"\nseverity = 6'),
        "example.severity: must be 1 to 5",
    ),
    "example with a negative cost": (
        swap('tenant_id  = "acme-ai"', 'tenant_id = "acme-ai"\ncost_usd = -0.1'),
        "example.cost_usd: must not be negative",
    ),
    "example with a cost that is no number": (
        swap('tenant_id  = "acme-ai"', 'tenant_id = "acme-ai"\ncost_usd = nan'),
        "example.cost_usd: must be of type number",
    ),
    "example without a required key": (
        swap('report_id   = "r-9"\n', ""),
        "example.metadata.report_id: missing, but required",
    ),
    "example with an unlisted key": (
        swap("num_readers = 3", "readers = 3"),
        "example.metadata.readers: not listed",
    ),
    "example with a wrong type": (
        swap("num_readers = 3", 'num_readers = "3"'),
        "example.metadata.num_readers: '3' does not fit",
    ),
    "example with true for a number": (
        swap("num_readers = 3", "num_readers = true"),
        "example.metadata.num_readers: True does not fit",
    ),
    "example with a date deep inside": (
        lambda text: swap('type     = "string"', 'type     = "list"')(text).replace(
            '"r-9"', "[2025-12-12T08:00:00Z]"
        ),
        "example: cannot be written as JSON",
    ),
}


def test_the_good_definition_is_read_whole() -> None:
    kind = read_event_type(GOOD, FILE)
    assert (kind.name, kind.signal, kind.status) == ("REPORT_SHARED", "value", "experimental")
    assert kind.friction_signal is None
    assert kind.required_metadata == ("report_id",)
    assert kind.metadata["num_readers"].unit == "count"
    assert kind.metadata["report_id"].unit is None
    assert kind.example["metadata"] == {"report_id": "r-9", "num_readers": 3}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_file_and_key(fault: str) -> None:
    plant, message = FAULTS[fault]
    with pytest.raises(CatalogError) as refusal:
        read_event_type(plant(GOOD), FILE)
    assert str(refusal.value).startswith(f"{FILE}: {message}")


def test_a_friction_example_must_carry_the_right_kind() -> None:
    field = '[metadata.friction_signal]\ntype = "string"\nrequired = false\nmeaning = "Kind."\n\n'
    text = swap('signal     = "value"', AS_FRICTION)(GOOD)
    text = swap("[example]\n", f"{field}[example]\n")(text)
    for said in ("", 'friction_signal = "idle_abandon"\n'):
        with pytest.raises(CatalogError, match="example.metadata.friction_signal: must be user_ab"):
            read_event_type(text + said, FILE)
    kind = read_event_type(text + 'friction_signal = "user_abort"\n', FILE)
    assert kind.friction_signal == "user_abort"


def test_types_of_ones_own_folder_join_the_packaged_ones(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(GOOD)
    (tmp_path / "README.md").write_text("Our own event types.")
    own = load_catalog(tmp_path).event_types
    assert set(own) - set(load_catalog().event_types) == {"REPORT_SHARED"}
    assert len(own) == len(load_catalog().event_types) + 1
    assert list(own) == sorted(own)


def test_ones_own_folder_is_read_anew_each_time(tmp_path: Path) -> None:
    assert "REPORT_SHARED" not in load_catalog(tmp_path).event_types
    (tmp_path / FILE).write_text(GOOD)
    assert "REPORT_SHARED" in load_catalog(tmp_path).event_types


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "login.toml").write_text(GOOD.replace("REPORT_SHARED", "LOGIN"))
    with pytest.raises(CatalogError, match=r"login\.toml: name: LOGIN is already defined"):
        load_catalog(tmp_path)


def test_one_bad_file_stops_the_folder(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(GOOD)
    (tmp_path / "zeta.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(CatalogError, match=r"zeta\.toml: not UTF-8"):
        load_catalog(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such folder"):
        load_catalog(tmp_path / "nowhere")


def test_the_packaged_files_are_read_once() -> None:
    first, second = load_catalog().event_types, load_catalog().event_types
    assert all(first[name] is second[name] for name in first)


def test_definitions_cannot_be_changed_by_a_reader() -> None:
    catalog = load_catalog()
    with pytest.raises(TypeError):
        catalog.event_types["LOGIN"] = catalog.event_types["SESSION_ENDED"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        catalog.event_types["LOGIN"].signal = "value"  # type: ignore[misc]


FITS: list[tuple[object, set[str]]] = [
    ("", {"string"}),
    ("7", {"string"}),
    (7, {"integer", "number"}),
    (10**40, {"integer", "number"}),
    (7.0, {"integer", "number"}),
    (7.5, {"number"}),
    (float("nan"), set()),
    (float("inf"), set()),
    (True, {"boolean"}),
    (False, {"boolean"}),
    ([], {"list"}),
    ({}, {"object"}),
    (None, set()),
]


@pytest.mark.parametrize(
    ("value", "words"), FITS, ids=[f"{value!r:.20}-{sorted(words)}" for value, words in FITS]
)
def test_a_value_has_the_types_of_json(value: object, words: set[str]) -> None:
    all_words = ("string", "integer", "number", "boolean", "list", "object")
    assert {word for word in all_words if has_type(value, word)} == words


def test_a_type_word_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown type word 'text'"):
        has_type("a", "text")


def test_not_known_is_fine_unless_required() -> None:
    fields = read_event_type(GOOD, FILE).metadata
    assert fields["num_readers"].accepts(None)
    assert not fields["report_id"].accepts(None)
