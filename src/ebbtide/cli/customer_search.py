"""Finds the customer that somebody means: by id, by name, or the nearest to name in a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ebbtide.cli.door import CommandError, Door
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.nearest import nearest

_NOT_FOUND = 404
_PAGE = 200
_PAGES_MAX = 25  # 5,000 customers; a slip of the hand is not worth reading more


def find_customer(door: Door, meant: str, **moments: str | None) -> dict[str, Any]:
    """The profile of a customer at the moments asked for.

    Args:
        meant: its id, its UUID, or its name in any case of letters.

    Raises:
        CommandError: there is none, with the id that comes nearest; or several have that name.
    """
    try:
        return _profile(door, meant, **moments)
    except CommandError as error:
        if error.status != _NOT_FOUND:
            raise
        everybody = list(_everybody(door, **moments))
        named = [tenant for tenant, name in everybody if _is_same(meant, name or tenant)]
        if len(named) == 1:
            return _profile(door, named[0], **moments)
        if named:
            raise CommandError(f"several are called {meant}: {', '.join(named)}") from error
        by_word = {word: tenant for tenant, name in everybody for word in (name, tenant) if word}
        word = nearest(meant, by_word)
        if word is None:
            raise
        text = f"{error}; did you mean {by_word[word]}?"
        raise CommandError(text, error.status, error.answer) from error


def _profile(door: Door, tenant: str, **moments: str | None) -> dict[str, Any]:
    # By its UUID: ids may hold slashes, or read like another path.
    return door.get(f"/ops/customers/{to_uuid_text(tenant)}", **moments)


def _everybody(door: Door, **moments: str | None) -> Iterator[tuple[str, str | None]]:
    """Ids and names, page by page."""
    cursor = None
    for _ in range(_PAGES_MAX):
        body = door.get("/ops/customers", sort="tenant_id", limit=_PAGE, cursor=cursor, **moments)
        yield from ((one["tenant_id"], one["tenant_name"]) for one in body["items"])
        cursor = body["next_cursor"]
        if cursor is None:
            return


def _is_same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
