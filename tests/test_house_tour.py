"""Walks the house tour: every path is there, every room is shown, every invariant has its test."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ebbtide"
TOUR = (ROOT / "ARCHITECTURE.md").read_text("utf-8")

_PATH = re.compile(r"`((?:src|tests|docs|tools|benchmarks)/[^`]*|[a-z]+\.toml)`")
_TEST_LINK = re.compile(r"\[[^\]]+\]\((?P<file>[^)\s]*tests/[^)\s]+\.py) \"(?P<test>\w+)\"\)")


def sections() -> dict[str, str]:
    """The text below each heading of the tour, by heading."""
    parts = re.split(r"(?m)^#{2,3} (.+)$", TOUR)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shown_rooms() -> dict[str, str]:
    """The section of each room, by the room's name."""
    found = {}
    for title, text in sections().items():
        match = re.match(r"`(\w+)`: ", title)
        if match:
            found[match[1]] = text
    return found


def invariants() -> list[tuple[str, str]]:
    """Each invariant with its room."""
    return [
        (room, line)
        for room, text in shown_rooms().items()
        for line in text.partition("Invariants:")[2].splitlines()
        if line.startswith("- ")
    ]


@cache
def functions_of(file: Path) -> frozenset[str]:
    """The names of the test functions of a module."""
    tree = ast.parse(file.read_text("utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_path_exists() -> None:
    paths = _PATH.findall(TOUR)
    assert len(paths) > 60
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_room_is_shown_and_no_other() -> None:
    rooms = {folder.parent.name for folder in PACKAGE.glob("*/__init__.py")}
    assert set(shown_rooms()) == rooms


def test_every_empty_room_of_the_plan_is_said_to_be_empty() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    planned = {room.strip(" ()") for layer in layers for room in layer.split("|")}
    empty = {room for room in planned if not (PACKAGE / room).is_dir()}
    line = re.search(r"Rooms of the plan that stand empty, and come later: (.+)\.", TOUR)
    assert line is not None
    assert set(line[1].split(", ")) == empty


@pytest.mark.parametrize("room", sorted(shown_rooms()))
def test_a_room_says_what_it_owns_and_what_not(room: str) -> None:
    text = shown_rooms()[room]
    assert "**Owns**" in text and "**Does not own**" in text
    assert f"`src/ebbtide/{room}/" in text or f"from {PACKAGE.name} import" in text
    assert [line for of, line in invariants() if of == room]


def test_every_invariant_names_a_test_that_exists() -> None:
    assert len(invariants()) > 25
    for room, line in invariants():
        assert _TEST_LINK.search(line), f"{room}: no test holds {line!r}"


@pytest.mark.parametrize(
    "page", ["ARCHITECTURE.md", "docs/reference/durability.md"], ids=lambda page: Path(page).stem
)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    file = ROOT / page
    named = list(_TEST_LINK.finditer(file.read_text("utf-8")))
    assert len(named) > 15
    gone = [
        f"{match['file']}::{match['test']}"
        for match in named
        if not (target := file.parent / match["file"]).is_file()
        or match["test"] not in functions_of(target.resolve())
    ]
    assert gone == []


def test_every_surprise_is_kept_by_a_case_or_a_decision() -> None:
    surprises = [line for line in sections()["What surprised us"].splitlines() if line[:2] == "- "]
    assert len(surprises) > 8
    for line in surprises:
        assert _TEST_LINK.search(line) or "](docs/decisions/" in line, line


def test_every_decision_is_listed() -> None:
    listed = set(re.findall(r"docs/decisions/(\S+\.md)", sections()["Decisions"]))
    assert listed == {file.name for file in (ROOT / "docs" / "decisions").glob("*.md")}
