"""The floor plan is kept, and each contract that holds it notices when it is broken."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).parent / "lint-imports"


def lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Run the import linter on the package below ``root``, and on no other one."""
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    return subprocess.run(
        [LINTER, "--config", str(root / "pyproject.toml"), "--no-cache", "--no-logo", *chosen],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_floor_plan_is_kept() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "6 kept, 0 broken" in answer.stdout


@pytest.mark.parametrize(
    ("contract", "module", "line", "complaint"),
    [
        ("floors", "domain/time.py", "import ebbtide.store.events.base", "ebbtide.domain"),
        ("floors", "client/result.py", "import ebbtide.ingest.validate", "ebbtide.client"),
        ("floors", "helpers/__init__.py", "", "helpers"),
        (
            "engines-apart",
            "store/events/duckdb.py",
            "import ebbtide.store.events.postgres",
            "duckdb",
        ),
        (
            "engines-behind-the-port",
            "api/auth.py",
            "import ebbtide.store.events.duckdb",
            "api.auth",
        ),
        ("drivers-stay-in-the-store", "ingest/decode.py", "import duckdb", "ingest.decode"),
        ("pure-ground", "catalog/loader.py", "import starlette", "starlette"),
        ("no-rings", "domain/ids.py", "import ebbtide.domain.keys", "ebbtide.domain"),
    ],
)
def test_a_planted_fault_is_found(
    contract: str, module: str, line: str, complaint: str, tmp_path: Path
) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".mypy_cache")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    faulty = tmp_path / "src" / "ebbtide" / module
    faulty.parent.mkdir(exist_ok=True)
    before = faulty.read_text("utf-8") if faulty.exists() else ""
    faulty.write_text(before + f"\n{line}\n", "utf-8")

    answer = lint(tmp_path, contract)

    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "0 kept, 1 broken" in answer.stdout
    assert complaint in answer.stdout.partition("Broken contracts")[2]


def test_the_domain_needs_nothing_but_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"ebbtide"}
    for module in sorted((ROOT / "src" / "ebbtide" / "domain").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            for name in names:
                assert name.partition(".")[0] in allowed, f"{module.name} imports {name}"
