"""Reads ``schedules.toml``: which jobs run by themselves, how often, and how long they may take."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from ebbtide.domain.errors import CatalogError

FILE_NAME = "schedules.toml"
DAY = timedelta(days=1)

_TEXTS = ("title", "message", "owner")
_DURATIONS = ("every", "deadline", "max_delay")
_KEYS = {*_TEXTS, *_DURATIONS, "attempts"}
_NAME_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DURATION_FORM = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When one job runs; ``message`` is what a run says that came through."""

    name: str
    title: str
    message: str
    owner: str
    every: timedelta
    deadline: timedelta
    max_delay: timedelta
    attempts: int


def load_schedules(every: timedelta | None = None) -> Mapping[str, Schedule]:
    """The schedules that come with Ebbtide, in the order of the file.

    Args:
        every: a period for all of them; None leaves each its own.

    Raises:
        CatalogError: the file is wrong; names the job and the key.
    """
    text = files("ebbtide.catalog").joinpath(FILE_NAME).read_text(encoding="utf-8")
    schedules = read_schedules(text)
    if every is None:
        return schedules
    return MappingProxyType({name: replace(one, every=every) for name, one in schedules.items()})


def read_schedules(text: str) -> Mapping[str, Schedule]:
    """Read the text of such a file.

    Raises:
        CatalogError: it is wrong; names the job and the key.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{FILE_NAME}: not TOML: {error}") from error
    return MappingProxyType({name: _schedule(name, table) for name, table in tables.items()})


def parse_duration(text: str) -> timedelta:
    """A duration such as ``90s``, ``15m``, ``1h`` or ``7d``.

    Raises:
        ValueError: it is written otherwise.
    """
    found = _DURATION_FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration such as 90s, 15m, 1h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def check_every(every: timedelta) -> timedelta:
    """A period whose slots fall on the same times of every day, or on midnights.

    Raises:
        ValueError: it is none.
    """
    if DAY % every and every % DAY:
        raise ValueError("the period must divide a day, or be a number of days")
    return every


def _schedule(name: str, table: Any) -> Schedule:
    if not _NAME_FORM.fullmatch(name):
        raise _error(name, "name", "is not in kebab-case form")
    if not isinstance(table, dict):
        raise _error(name, "name", "must be a table")
    for key in table:
        if key not in _KEYS:
            raise _error(name, key, "unknown key")
    for key in (*_TEXTS, *_DURATIONS):
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise _error(name, key, "must be a text that is not empty")
    attempts = table.get("attempts")
    if type(attempts) is not int or attempts < 1:
        raise _error(name, "attempts", "must be a whole number from 1 on")
    durations = {key: _duration(name, key, table[key]) for key in _DURATIONS}
    try:
        check_every(durations["every"])
    except ValueError as error:
        raise _error(name, "every", str(error)) from error
    said: dict[str, Any] = {key: table[key] for key in _TEXTS} | durations
    return Schedule(name, **said, attempts=attempts)


def _duration(name: str, key: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise _error(name, key, str(error)) from error


def _error(name: str, key: str, problem: str) -> CatalogError:
    return CatalogError(f"{FILE_NAME}: {name}: {key}: {problem}")
