"""Keeps figures as JSON with the machine and versions they were measured on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
_LIBRARIES = ("duckdb", "pyarrow", "msgspec", "uvicorn", "psycopg")


def save(name: str, figures: dict[str, Any]) -> Path:
    """Write one report; parts measured earlier on the same day stay beside the new ones."""
    FOLDER.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    report = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gib": round(memory / 2**30),
            "python": platform.python_version(),
            "kernel": platform.release().split("-")[0],
        },
        "versions": {library: version(library) for library in _LIBRARIES},
        "figures": figures,
    }
    path = FOLDER / f"{name}-{now:%Y-%m-%d}.json"
    if path.exists():
        report["figures"] = json.loads(path.read_text(encoding="utf-8"))["figures"] | figures
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return path.relative_to(FOLDER.parent.parent)
