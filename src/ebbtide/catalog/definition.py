"""Reads one table of a definition file strictly: each complaint names the file and the key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, TypeVar

from ebbtide.domain.errors import CatalogError

T = TypeVar("T")


class Definition:
    """A table on its way to a definition; ask for each key once, then call :meth:`close`."""

    def __init__(self, file_name: str, table: dict[str, Any], path: str = "") -> None:
        self.file_name = file_name
        self._table = table
        self._path = path
        self._unread = set(table)

    @classmethod
    def parse(cls, text: str, file_name: str) -> Definition:
        """Read TOML; numbers with a point stay exact decimals.

        Raises:
            CatalogError: it is not TOML.
        """
        try:
            return cls(file_name, tomllib.loads(text, parse_float=Decimal))
        except tomllib.TOMLDecodeError as error:
            raise CatalogError(f"{file_name}: not TOML: {error}") from error

    def error(self, key: str, problem: str) -> CatalogError:
        """A complaint about one key."""
        return CatalogError(f"{self.file_name}: {self._path}{key}: {problem}")

    def has(self, key: str) -> bool:
        """Whether the table has this key."""
        return key in self._table

    def keys(self) -> tuple[str, ...]:
        """Its keys, in the order of the file."""
        return tuple(self._table)

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._read(key)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, "must be a text that is not empty")
        return value

    def word(self, key: str, allowed: Collection[str]) -> str:
        """A text out of a few."""
        value = self.text(key)
        if value not in allowed:
            raise self.error(key, f"{value!r} is not one of {', '.join(allowed)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of one or more texts."""
        value = self._read(key)
        good = isinstance(value, list) and value and all(isinstance(x, str) and x for x in value)
        if not good:
            raise self.error(key, "must be a list of texts that is not empty")
        return tuple(value)

    def number(self, key: str) -> Fraction:
        """A number, exact."""
        value = self._read(key)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.error(key, "must be a number")
        if isinstance(value, Decimal) and not value.is_finite():
            raise self.error(key, "must be a finite number")
        return Fraction(value)

    def whole(self, key: str) -> int:
        """A whole number above 0."""
        value = self.number(key)
        if value.denominator != 1 or value <= 0:
            raise self.error(key, "must be a whole number above 0")
        return value.numerator

    def table(self, key: str) -> Definition:
        """A table inside of this one."""
        value = self._read(key)
        if not isinstance(value, dict):
            raise self.error(key, "must be a table")
        return Definition(self.file_name, value, f"{self._path}{key}.")

    def tables(self, key: str) -> list[Definition]:
        """One or more tables under the same key."""
        value = self._read(key)
        good = isinstance(value, list) and value and all(isinstance(x, dict) for x in value)
        if not good:
            raise self.error(key, f"must be one or more tables [[{self._path}{key}]]")
        return [
            Definition(self.file_name, one, f"{self._path}{key}[{number}].")
            for number, one in enumerate(value, 1)
        ]

    def values(self, key: str) -> Mapping[str, Any]:
        """A table of free form; whoever uses it checks it."""
        value = self._read(key)
        if not isinstance(value, dict):
            raise self.error(key, "must be a table")
        return MappingProxyType(value)

    def as_table(self) -> dict[str, Any]:
        """All of it as it was read."""
        return self._table

    def close(self) -> None:
        """Complain about a key that nobody asked for: it is a slip, or does nothing."""
        for key in sorted(self._unread):
            raise self.error(key, "unknown key")

    def _read(self, key: str) -> Any:
        self._unread.discard(key)
        if key not in self._table:
            raise self.error(key, "missing")
        return self._table[key]


def read_folder(folder: Traversable, read: Callable[[Definition], T]) -> Iterator[tuple[str, T]]:
    """Read every ``*.toml`` of a folder, in the order of names, as ``(stem, definition)``.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml"):
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CatalogError(f"{file.name}: not UTF-8: {error}") from error
        yield file.name.removesuffix(".toml"), read(Definition.parse(text, file.name))
