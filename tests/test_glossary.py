"""The glossary is in order, and holds only words that the project uses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"^- \*\*(?P<word>[^*]+)\*\*: (?P<meaning>.+)$", re.M)


def words() -> list[str]:
    """The words that are explained, in the order of the page."""
    return [entry["word"] for entry in ENTRY.finditer((ROOT / "GLOSSARY.md").read_text("utf-8"))]


def in_any_form(word: str) -> re.Pattern[str]:
    """The word as prose and code spell it: ``event type``, ``event_types``, ``EventType``."""
    parts = map(re.escape, re.split(r"[ _-]", word))
    return re.compile(r"(?<![a-z])" + r"[\s_-]*".join(parts), re.IGNORECASE)


def test_words_are_explained_once_and_in_alphabetical_order() -> None:
    assert len(words()) > 50
    keys = [word.replace("_", " ").casefold() for word in words()]
    assert keys == sorted(set(keys))


def test_every_word_occurs_in_the_source() -> None:
    texts = [
        file.read_text("utf-8")
        for folder in ("src", "tests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".sql", ".toml"} and file != Path(__file__)
    ]
    missing = [word for word in words() if not any(map(in_any_form(word).search, texts))]
    assert missing == []
