"""Numbered migrations of an event engine: files with checksums, applied once and in order."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from ebbtide.domain.errors import MigrationError, SchemaTooNew

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step; the checksum is of the file's text."""

    number: int
    name: str
    sql: str
    checksum: str


def load(engine: str) -> list[Migration]:
    """All migrations of an engine, ascending and without gaps from 1.

    Args:
        engine: name of the folder under ``store/events/schema``.
    """
    folder = resources.files("ebbtide.store.events") / "schema" / engine
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        match = _FILE.fullmatch(file.name)
        if match is None:
            continue
        text = file.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(match[1]), file.name, text, digest))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{engine}: migrations are not numbered 1 to {len(found)}")
    return found


def pending(engine: str, applied: dict[int, str]) -> list[Migration]:
    """The steps that are still to do.

    Args:
        engine: name of the schema folder.
        applied: checksum by number, as stored in the database.

    Raises:
        SchemaTooNew: the database knows a number that this program does not.
        MigrationError: a stored checksum differs from the file.
    """
    known = load(engine)
    newest = known[-1].number if known else 0
    too_new = [n for n in applied if n > newest]
    if too_new:
        raise SchemaTooNew(
            f"{engine}: the store has schema {max(too_new)}, this program knows {newest}; "
            "use a newer Ebbtide"
        )
    for step in known:
        stored = applied.get(step.number)
        if stored is not None and stored != step.checksum:
            raise MigrationError(
                f"{engine}: {step.name} was changed after it was applied (checksum differs)"
            )
    return [step for step in known if step.number not in applied]
