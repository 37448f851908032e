"""Every test here that asks for ``store`` runs once on every event store engine."""

from __future__ import annotations

import pytest

from event_engines import (
    ENGINES,
    empty_home,
    engine,
    home,
    store,
)

__all__ = [
    "empty_home",
    "engine",
    "home",
    "store",
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "engine_gap(engine, reason=...): the named engine cannot do this, and why; the test must"
        " fail there (strict), so that a gap which closed is noticed",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("engine_gap"):
            reason = mark.kwargs.get("reason")
            if not reason or len(mark.args) != 1 or mark.args[0] not in ENGINES:
                raise pytest.UsageError(
                    f"{item.nodeid}: engine_gap needs one engine of {ENGINES} and a reason="
                )
            callspec = getattr(item, "callspec", None)
            if callspec is not None and callspec.params.get("engine") == mark.args[0]:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
