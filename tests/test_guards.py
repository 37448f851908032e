"""Small searches through the tracked files that keep habits which no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ebbtide"


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file of the repository that is tracked or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs git and a clone: it looks at the tracked files")
    files = (ROOT / name for name in answer.stdout.split("\0") if name)
    return tuple(file for file in files if file.is_file())


def texts() -> Iterator[tuple[str, str]]:
    """Path from the root, and text, of each tracked file that holds text."""
    for file in tracked_files():
        content = file.read_bytes()
        if b"\0" not in content:
            yield file.relative_to(ROOT).as_posix(), content.decode("utf-8", "replace")


def found(pattern: re.Pattern[str], files: Iterator[tuple[str, str]]) -> list[str]:
    """``path:line: text`` of each line that matches."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in files
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def modules(*rooms: str) -> Iterator[tuple[str, str]]:
    """Path and source of every module of some rooms; a room not built yet has none."""
    for room in rooms:
        for file in sorted((PACKAGE / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text("utf-8")


def code_only(files: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same modules without docstrings and comments: prose may name what code may not do."""
    for name, source in files:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
        yield name, ast.unparse(tree)


# -- what must not be in any file ----------------------------------------------------------

# Written in parts, so that this file does not find itself.
SECRETS = {
    "private key": re.compile("-----BEGIN " + "[A-Z ]*PRIVATE KEY"),
    "cloud access key": re.compile(r"\b(AKIA|ASIA)" + r"[0-9A-Z]{16}\b"),
    "provider key": re.compile(r"\bsk-" + r"(proj-|ant-|live-)?[A-Za-z0-9]{32,}"),
    "code host token": re.compile(r"\b(gh[pousr]_|github_pat_|glpat-)" + r"[A-Za-z0-9_]{20,}"),
    "chat token": re.compile(r"\bxox[abprs]-" + r"[0-9A-Za-z-]{20,}"),
    "password in an address": re.compile(
        r"[a-z]+://[^\s/:@{}<>\"'$]+:" + r"(?!\*+@|<|\{|\$)[^\s/@]+@"
    ),
}
# A password in an address is an example where the host is this machine, or one that cannot exist.
EXAMPLE_HOST = re.compile(
    r"@(/|\[?(127\.0\.0\.1|localhost|host|db|::1|[\w.-]+\.(example|test|invalid))\b)"
)

MACHINE_PATH = re.compile(
    r"(?<![\w.}/-])/(work|root|tmp/\w|(home|Users)/(?!user\b|you\b|ebbtide\b)\w+)\b"
)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_in_a_file(kind: str) -> None:
    hits = [hit for hit in found(SECRETS[kind], texts()) if not EXAMPLE_HOST.search(hit)]
    assert hits == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("cloud access key", "AKIA" + "ABCDEFGHIJKLMNOP"),
        ("provider key", "sk-" + "proj-" + "a1" * 20),
        ("code host token", "ghp" + "_" + "a1" * 18),
        ("chat token", "xoxb" + "-123456789012-abcdefghij"),
        ("password in an address", "postgresql://app:" + "Zk29ql@db.acme.io/app"),
    ],
)
def test_the_search_knows_a_secret_when_it_sees_one(kind: str, text: str) -> None:
    assert found(SECRETS[kind], iter([("x", text)]))


def test_no_path_of_one_machine_is_in_a_file() -> None:
    me = Path(__file__).relative_to(ROOT).as_posix()
    assert found(MACHINE_PATH, ((name, text) for name, text in texts() if name != me)) == []


def test_no_settings_or_data_file_is_tracked() -> None:
    bad = re.compile(
        r"(^|/)(\.env|uv\.lock|pylock\.toml)$|\.(duckdb|sqlite3?|pem|key)(-wal|\.wal)?$"
    )
    names = [file.relative_to(ROOT).as_posix() for file in tracked_files()]
    assert [name for name in names if bad.search(name)] == []


# -- the lock ------------------------------------------------------------------------------


def lock_entries() -> list[str]:
    """One entry per package: its name, version and hashes."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    return re.split(r"(?m)^(?=[a-z0-9])", text)[1:]


def test_the_lock_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert not re.search(r"://|file:|--(extra-)?index-url|--find-links|--trusted-host|@", text)


def test_every_locked_package_has_its_hashes() -> None:
    entries = lock_entries()
    assert len(entries) > 50
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_files_that_record_addresses_are_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"uv.lock", "pylock.toml", ".env"} <= set(ignored)


# -- habits of the code --------------------------------------------------------------------

CLOCK = re.compile(
    r"\b(datetime|date)\.(now|utcnow|today)\b|\btime\.time(_ns)?\b|\bfrom time import .*\btime\b"
)
SQL = re.compile(
    r"\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bUPDATE\b.+\bSET\b|\bDELETE FROM\b|\bCREATE TABLE\b",
    re.IGNORECASE | re.DOTALL,
)


def test_time_comes_in_as_an_argument() -> None:
    assert found(CLOCK, code_only(modules("domain", "catalog", "store", "metrics"))) == []


def test_the_doors_hold_no_sql() -> None:
    assert found(SQL, code_only(modules("api", "cli", "console", "mcp"))) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (CLOCK, "started = datetime.now(UTC)"),
        (CLOCK, "seconds = time.time()"),
        (CLOCK, "from time import monotonic, time"),
        (SQL, "sql = 'select tenant_id from events'"),
        (SQL, "sql = 'INSERT INTO events VALUES (1)'"),
    ],
)
def test_the_searches_find_what_they_look_for(pattern: re.Pattern[str], line: str) -> None:
    assert found(pattern, code_only(iter([("x.py", line)])))


def test_the_searches_leave_prose_alone() -> None:
    assert found(CLOCK, code_only(iter([("x.py", '"""Never datetime.now()."""')]))) == []


def test_every_init_but_the_top_one_is_empty() -> None:
    inits = [file for file in PACKAGE.rglob("__init__.py") if file.parent != PACKAGE]
    assert len(inits) > 8
    assert [str(file.relative_to(ROOT)) for file in inits if file.read_text("utf-8").strip()] == []


def test_every_module_says_what_it_is_for() -> None:
    for file in tracked_files():
        if file.suffix == ".py" and (source := file.read_text("utf-8").strip()):
            docstring = ast.get_docstring(ast.parse(source))
            first = (docstring or "").split("\n\n")[0]
            assert first.endswith((".", ":", "?")), (
                f"{file.relative_to(ROOT)} opens with: {first!r}"
            )


# -- the changelog -------------------------------------------------------------------------

KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}
FRAGMENT = re.compile(r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)\.(?P<kind>[a-z]+)\.md")


def test_each_changelog_fragment_has_a_known_kind_and_says_something() -> None:
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    for path in fragments:
        match = FRAGMENT.fullmatch(path.name)
        assert match and match["kind"] in KINDS, (
            f"{path.name}: name it <what>.<{'|'.join(sorted(KINDS))}>.md"
        )
        text = path.read_text("utf-8")
        assert text.strip().endswith("."), f"{path.name}: write one or more whole sentences"
        assert "@" not in text, f"{path.name}: a change has no author here; git knows them"
