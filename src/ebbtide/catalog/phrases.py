"""Reads the phrases and words that recognisers look for, one TOML file for each recogniser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ebbtide.catalog.definition import Definition
from ebbtide.domain.errors import CatalogError


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing that can be said in several ways.

    Attributes:
        kind: what is found, one word.
        text: the same for a person.
        triggers: small letters; one of them is in every text that matches.
        pattern: looked for in small letters.
    """

    kind: str
    text: str
    triggers: tuple[str, ...]
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Words:
    """Lists of words by name as one pattern each, plain lists, and other words for a word."""

    patterns: Mapping[str, re.Pattern[str]]
    lists: Mapping[str, frozenset[str]]
    other_words: Mapping[str, tuple[str, ...]]


@cache
def load_phrases(name: str) -> tuple[Phrase, ...]:
    """The phrases of a recogniser, in the order of its file.

    Raises:
        CatalogError: the file is wrong; the message names it and the key.
    """
    one = _open(name)
    parts = _parts(one)
    found = []
    for each in one.tables("phrases"):
        ways = _alternatives(each, "patterns", parts)
        found.append(
            Phrase(
                each.text("kind"), each.text("text"), each.texts("triggers"), _compile(each, ways)
            )
        )
        each.close()
    one.close()
    return tuple(found)


@cache
def load_words(name: str) -> Words:
    """The lists of words of a recogniser; each word of a pattern stands alone.

    Raises:
        CatalogError: the file is wrong; the message names it and the key.
    """
    one = _open(name)
    parts = _parts(one)
    words, others = one.table("words"), one.table("other_words")
    patterns, lists = {}, {}
    for key in words.keys():
        lists[key] = frozenset(words.texts(key))
        ways = _alternatives(words, key, parts)
        patterns[key] = _compile(words, rf"(?<!\w)(?:{ways})(?!\w)")
    read = Words(
        MappingProxyType(patterns),
        MappingProxyType(lists),
        MappingProxyType({key: others.texts(key) for key in others.keys()}),
    )
    one.close()
    return read


def _open(name: str) -> Definition:
    file = files("ebbtide.catalog").joinpath("phrases", f"{name}.toml")
    return Definition.parse(file.read_text(encoding="utf-8"), file.name)


def _parts(one: Definition) -> dict[str, str]:
    table = one.table("parts")
    return {key: f"(?:{'|'.join(table.texts(key))})" for key in table.keys()}


def _alternatives(one: Definition, key: str, parts: Mapping[str, str]) -> str:
    text = "|".join(one.texts(key))
    for _ in range(3):  # parts may hold parts
        for name, part in parts.items():
            text = text.replace(f"@{name}@", part)
    if re.search(r"@\w+@", text):
        raise one.error(key, "names a part that there is not")
    return text


def _compile(one: Definition, text: str) -> re.Pattern[str]:
    try:
        return re.compile(_with_blanks(text))
    except re.error as error:
        raise CatalogError(f"{one.file_name}: no pattern: {error}") from error


def _with_blanks(text: str) -> str:
    """A pattern whose blanks match any white space, line breaks too; not those within brackets."""
    made, is_in_class, at = [], False, 0
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            made.append(text[at : at + 2])
            at += 2
            continue
        if is_in_class:
            is_in_class = sign != "]"
        elif sign == "[":
            is_in_class = True
        elif sign == " ":
            is_repeated = text[at + 1 : at + 2] in ("?", "{")
            sign = r"\s" if is_repeated else r"\s{1,3}"
        made.append(sign)
        at += 1
    return "".join(made)
