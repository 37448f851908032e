"""Memory that a piece of work has used and freed, given back to the machine."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def give_back_memory() -> None:
    """Give back what allocators keep for later use: after a peak that is a tenth of a server.

    Nobody waits for it: garbage is not looked for, and the interpreter's lock is free meanwhile.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others have no need
        if trim is not None:
            trim(0)
