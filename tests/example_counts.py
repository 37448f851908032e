"""How many examples of a property are tried: fewer where they are the same in every run."""

from __future__ import annotations

from optional_package import IN_CI


def examples(num: int) -> int:
    """A property's number of examples here.

    In CI examples are derived from the test alone, so more of them find nothing that was not
    found before; at a desk they are new each time, and all of them are tried.
    """
    return num * 2 // 5 if IN_CI else num
