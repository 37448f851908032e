"""Prints the median length of files and functions for each room of the package.

A picture to look at, not a bound to keep: a room whose median grows is losing its shape.
"""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "src" / "ebbtide"


def function_lengths(tree: ast.Module) -> list[int]:
    """Lines of every function and method, docstring included."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def row(name: str, files: list[Path]) -> str:
    """One line of the table: how many files and functions, and how long they are."""
    texts = [text for file in files if (text := file.read_text("utf-8"))]
    lines = [len(text.splitlines()) for text in texts]
    functions = [length for text in texts for length in function_lengths(ast.parse(text))]
    cells = [len(lines), sum(lines), median(lines or [0]), max(lines, default=0)]
    cells += [len(functions), median(functions or [0]), max(functions, default=0)]
    return f"{name:<12}" + "".join(f"{cell:>10g}" for cell in cells)


def main() -> None:
    """Print the table; empty files (``__init__.py``) do not count."""
    heads = ["files", "lines", "median", "longest", "functions", "median", "longest"]
    print(f"{'room':<12}" + "".join(f"{head:>10}" for head in heads))
    for room in sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()):
        print(row(room.name, sorted(room.rglob("*.py"))))
    print(row("all", sorted(PACKAGE.rglob("*.py"))))


if __name__ == "__main__":
    main()
