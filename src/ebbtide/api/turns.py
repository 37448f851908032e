"""Order among requests under way: one that names a predecessor waits until that one is done.

A sender that has the next request on its way while the last one is still being stored wins time,
but its rows must come in the order of its file: of two rows with one id the first is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

REMEMBERED_MAX = 1_000
UNSEEN_WAIT_S = 10.0  # a predecessor that did not arrive by then got lost on its way


class _Turn:
    def __init__(self) -> None:
        self.has_come = asyncio.Event()
        self.is_over = asyncio.Event()


class Turns:
    """The requests that came lately, by the ids that their senders gave them."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, _Turn] = OrderedDict()

    @contextmanager
    def taken(self, request_id: str | None) -> Iterator[None]:
        """Say that a request is here, and when the block is left that it is over."""
        if request_id is None:
            yield
            return
        turn = self._turn(request_id)
        turn.has_come.set()
        try:
            yield
        finally:
            turn.is_over.set()

    async def after(self, request_id: str | None) -> None:
        """Wait until a request is over; not for ever when it was never seen."""
        if request_id is None:
            return
        turn = self._turn(request_id)
        try:
            async with asyncio.timeout(UNSEEN_WAIT_S):
                await turn.has_come.wait()
        except TimeoutError:
            return
        await turn.is_over.wait()

    def _turn(self, request_id: str) -> _Turn:
        turn = self._turns.setdefault(request_id, _Turn())
        self._turns.move_to_end(request_id)
        if len(self._turns) > REMEMBERED_MAX:
            self._turns.popitem(last=False)
        return turn
