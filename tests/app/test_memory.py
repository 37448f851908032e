"""Memory that was freed goes back to the machine, and what is still in use stays as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ebbtide.app.memory import give_back_memory

MB = 1 << 20


def resident_bytes() -> int:
    """What this process holds of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be asked to")
def test_what_was_freed_goes_back_although_something_lies_between() -> None:
    # Each too small for pages of its own; every fiftieth stays, so no end of the heap gets free.
    blocks = [bytearray(os.urandom(16) * 4_000) for _ in range(2_000)]
    kept = [(block, bytes(block)) for block in blocks[::50]]
    full = resident_bytes()
    del blocks
    give_back_memory()
    assert full - resident_bytes() > 80 * MB
    assert all(block == copy for block, copy in kept)


def test_what_is_in_use_stays_and_a_second_time_does_no_harm() -> None:
    table = pa.table({"n": pa.array(range(100_000), pa.int64())})
    held = pa.total_allocated_bytes()
    for _ in range(2):
        give_back_memory()
    assert pa.total_allocated_bytes() == held
    assert table["n"][99_999].as_py() == 99_999
