"""Reads series of numbers from a folder: ``series/m4`` (parquet) and ``series/nab`` (CSV)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from ebbtide.domain.errors import NotFound
from ebbtide.limits.series import DAY_S, Floats

HOUR_DAYS = 1 / 24
M4_FILES = ("hourly_train.parquet", "hourly_test.parquet")


@dataclass(frozen=True, slots=True)
class PublicSeries:
    """One series, oldest value first; ``days`` counts from its first value."""

    collection: str
    name: str
    days: Floats
    values: Floats

    @property
    def is_for_choosing(self) -> bool:
        """Whether its half was looked at when numbers were chosen; the other half judges them."""
        digest = hashlib.sha256(f"{self.collection}/{self.name}".encode()).digest()
        return digest[0] % 2 == 0


def read_series(folder: Path) -> list[PublicSeries]:
    """All series of a data folder.

    Args:
        folder: the folder that holds ``series``, or ``series`` itself.

    Raises:
        NotFound: there are no such series in it.
    """
    roots = [folder / "series", folder]
    found = [one for root in roots for one in (*_m4(root / "m4"), *_nab(root / "nab"))]
    if not found:
        raise NotFound(
            f"{folder} holds no series: series/m4/{M4_FILES[0]} or series/nab/data/*/*.csv "
            "are looked for; without them there is nothing to test against"
        )
    return found


def _m4(folder: Path) -> Iterator[PublicSeries]:
    tables = [parquet.read_table(folder / name) for name in M4_FILES if (folder / name).exists()]
    if not tables:
        return
    # The test part of a series goes on where its train part ends.
    parts = [part.append_column("part", pa.array([i] * len(part))) for i, part in enumerate(tables)]
    table = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    table = table.sort_by([("series", "ascending"), ("part", "ascending"), ("t", "ascending")])
    names = np.array(table["series"].to_pylist())
    values = table["value"].to_numpy().astype(np.float64)
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    for start, end in zip(starts, [*starts[1:], len(names)], strict=True):
        days = np.arange(end - start) * HOUR_DAYS
        yield PublicSeries("m4", str(names[start]), days, values[start:end])


def _nab(folder: Path) -> Iterator[PublicSeries]:
    for path in sorted((folder / "data").glob("*/*.csv")):
        table = csv.read_csv(path).sort_by("timestamp")
        seconds = table["timestamp"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
        values = table["value"].to_numpy().astype(np.float64)
        is_later = np.r_[True, np.diff(seconds) > 0]  # an hour of winter time comes twice
        days = (seconds - seconds[0])[is_later] / DAY_S
        yield PublicSeries("nab", f"{path.parent.name}/{path.stem}", days, values[is_later])
