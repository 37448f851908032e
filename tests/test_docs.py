"""The documents are true: their commands run, their links lead somewhere, their lists are whole.

A fenced block marked ``sh`` or ``python`` is run, in the order of the page, against a real
server. A ``text`` or ``json`` block that follows without an empty line is what it must print:
``...`` stands for anything, and white space does not count. ``<!-- not run: why -->`` on the line
before a block leaves it out.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest

from ebbtide.app.settings import Settings
from postgres_server import PostgresServer

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})

#: Their blocks are pieces to look at, or take long; tests of their own run what they say.
NOT_RUN = {
    "CONTRIBUTING.md",
    "docs/explanation/sample-company.md",
    "docs/howto/python-client.md",
}
#: Its commands count what is there, so it needs a server that nobody else uses.
ALONE = ("docs/howto/who-to-call-today.md", "docs/tutorial/first-five-minutes.md")

ADDRESS = "http://127.0.0.1:8321"
START_TIMEOUT_S = 60
PAGE_TIMEOUT_S = 120


def name_of(page: Path) -> str:
    """A page's path from the root."""
    return page.relative_to(ROOT).as_posix()


# -- blocks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and what it must print (None: it is not said)."""

    language: str
    text: str
    is_run: bool
    output: str | None = None


_FENCE = re.compile(
    r"(?P<left_out><!-- not run[^\n]*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```\n?",
    re.M | re.S,
)


def blocks(text: str) -> list[Block]:
    """The blocks of a page in order; those that are output belong to the block before."""
    found: list[Block] = []
    end = -1
    for match in _FENCE.finditer(text):
        language = match["language"]
        if language in ("text", "json") and match.start() == end and found[-1].is_run:
            found[-1] = replace(found[-1], output=match["text"])
            continue
        is_run = language in ("sh", "python") and match["left_out"] is None
        found.append(Block(language, match["text"], is_run))
        end = match.end()
    return found


def to_run(page: Path) -> list[Block]:
    """The blocks of a page that a reader can run as they stand."""
    if name_of(page) in NOT_RUN:
        return []
    return [block for block in blocks(page.read_text("utf-8")) if block.is_run]


def prints(expected: str, output: str) -> bool:
    """Whether an output is the expected one."""
    pieces = [re.escape(re.sub(r"\s", "", piece)) for piece in expected.split("...")]
    return re.fullmatch(".*".join(pieces), re.sub(r"\s", "", output)) is not None


# -- a server and a shell beside it ------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A server in a process of its own, and a folder with the command for its shell."""

    url: str
    key: str
    data_dir: Path
    bin: Path


def command_folder(folder: Path) -> Path:
    """A folder with ``ebbtide`` and ``python``, as an activated environment has them."""
    folder.mkdir(parents=True)
    for name, words in (("ebbtide", "-m ebbtide"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    return folder


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: this source, no settings but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    # A terminal's width must not decide what a test sees.
    return kept | {"PYTHONPATH": path, "COLUMNS": "120", "PYTHONWARNINGS": "error"} | more


def serve(folder: Path) -> Iterator[Running]:
    """Run ``ebbtide serve`` on a fresh data folder while the block runs."""
    data_dir, out = folder / "data", folder / "out"
    with out.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "ebbtide", "serve", "--port", "0", "--show-key"]
            + ["--data-dir", str(data_dir)],
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (data_dir / "server.json").exists():
            assert process.poll() is None and time.monotonic() < deadline, out.read_text()
            time.sleep(0.05)
        said = out.read_text()
        url, key = re.search(r"http://\S+", said), re.search(r"ebb_\w+", said)
        assert url is not None and key is not None, said
        yield Running(url[0], key[0], data_dir, command_folder(folder / "bin"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_TIMEOUT_S)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all pages that do not mind."""
    yield from serve(tmp_path_factory.mktemp("server"))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Running]:
    """A server for one page."""
    yield from serve(tmp_path)


_DONE = "@@ end of block @@"


def run_blocks(steps: list[Block], server: Running, folder: Path) -> list[str]:
    """Run the blocks of a page in one shell; returns what each printed."""
    activate = folder / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("")
    script = ["set -eu"]
    for number, step in enumerate(steps):
        text = step.text.replace(ADDRESS, server.url).replace("ebb_...", server.key)
        if step.language == "python":
            (folder / f"{number}.py").write_text(text, "utf-8")
            text = f"python {number}.py"
        script += [text, f"echo '{_DONE}'"]
    env = environment(
        PATH=f"{server.bin}{os.pathsep}{os.environ['PATH']}",
        EBBTIDE_API_KEY=server.key,
        EBBTIDE_DATA_DIR=str(server.data_dir),
    )
    answer = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=PAGE_TIMEOUT_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.split(_DONE)[: len(steps)]


def check_page(page: Path, server: Running, folder: Path) -> None:
    """Run a page's blocks and compare what they print."""
    steps = to_run(page)
    for step, output in zip(steps, run_blocks(steps, server, folder), strict=True):
        if step.output is not None:
            assert prints(step.output, output), f"{step.text}\nprinted:\n{output}"
        else:
            # curl is content with any answer; we are not.
            assert "urn:ebbtide:problem" not in output, f"{step.text}\nprinted:\n{output}"
            assert not re.search(r'"(conflict|quarantined|refused)":[1-9]', output), output


RUNNABLE = [page for page in PAGES if to_run(page)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages use curl")
class TestCommands:
    @pytest.mark.parametrize(
        "page", [page for page in RUNNABLE if name_of(page) not in ALONE], ids=name_of
    )
    def test_what_a_page_says_to_run_runs(
        self, page: Path, shared: Running, tmp_path: Path
    ) -> None:
        check_page(page, shared, tmp_path)

    @pytest.mark.parametrize("page", [ROOT / name for name in ALONE], ids=name_of)
    def test_what_the_tutorial_says_to_run_runs(
        self, page: Path, alone: Running, tmp_path: Path
    ) -> None:
        check_page(page, alone, tmp_path)


def test_the_pages_that_matter_are_run() -> None:
    assert {name_of(page) for page in RUNNABLE} >= {
        "README.md",
        "docs/tutorial/first-five-minutes.md",
        "docs/howto/first-events.md",
        "docs/howto/keys.md",
        "docs/howto/quarantine.md",
        "docs/howto/back-up.md",
        "docs/howto/segment.md",
        "docs/howto/cloudevents.md",
    }


def test_expected_output_is_really_compared() -> None:
    assert prints('{"a": ...,\n "b": 2}', '{"a":[1],"b":2}\n')
    assert not prints('{"a": ..., "b": 2}', '{"a":1,"b":3}')
    page = "```sh\necho 1\n```\n```text\n1\n```\n\n```text\n2\n```\n"
    page += "<!-- not run: no -->\n```sh\n3\n```\n"
    assert blocks(page) == [
        Block("sh", "echo 1\n", True, "1\n"),
        Block("text", "2\n", False),
        Block("sh", "3\n", False),
    ]


# -- the other engines -------------------------------------------------------------------------


def emit_one(tmp_path: Path, **settings: str) -> None:
    """One event into a store of these settings, through the command."""
    answer = subprocess.run(
        [sys.executable, "-m", "ebbtide", "emit", "--example", "LOGIN"],
        env=environment(EBBTIDE_DATA_DIR=str(tmp_path / "data"), **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=PAGE_TIMEOUT_S,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.startswith("stored")


@pytest.fixture
def postgres_url(postgresql: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with postgresql.database() as url:
        yield url


def test_one_postgresql_database_holds_both_stores(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    emit_one(tmp_path, EBBTIDE_EVENTS_URL=postgres_url, EBBTIDE_STATE_URL=postgres_url)
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {row[0] for row in rows}
    page = (ROOT / "docs" / "howto" / "postgres.md").read_text("utf-8")
    assert {table for table in tables if f"`{table}`" not in page} == set()
    assert sorted(file.name for file in (tmp_path / "data").iterdir()) == ["ebbtide.lock"]


def test_chdb_runs_on_a_folder(tmp_path: Path) -> None:
    emit_one(tmp_path, EBBTIDE_EVENTS_URL=f"chdb:///{tmp_path / 'chdb'}")
    assert (tmp_path / "chdb").is_dir()


# -- generated pages ---------------------------------------------------------------------------


def tool(name: str) -> ModuleType:
    """One of the programs that write them."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "errors.md", "cli.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    committed = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert committed == tool("reference_pages").PAGES[name](), "renew it: make docs"


def test_the_page_of_figures_is_up_to_date() -> None:
    figures = tool("figures_page")
    assert figures.PAGE.read_text("utf-8") == figures.figures_page(), "renew it: make docs"


def test_every_setting_every_code_and_every_command_is_listed() -> None:
    pages = tool("reference_pages")
    settings, errors, commands = (page() for page in pages.PAGES.values())
    for name, field in Settings.model_fields.items():
        assert f"| `EBBTIDE_{name.upper()}` |" in settings
        assert field.description, f"{name} has no description"
    assert len(pages.own_errors()) > 15
    for kind in pages.own_errors():
        assert f"`{kind.code}`" in errors
        assert "__doc__" in vars(kind), f"{kind.__name__} says nothing"
    all_words = [" ".join(words) for words in pages.command_words() if words]
    assert {"serve", "demo", "emit", "import", "keys create"} <= set(all_words)
    for words in all_words:
        assert f"\n## ebbtide {words}\n" in commands


# -- lists written by hand ---------------------------------------------------------------------


def reason_codes() -> set[str]:
    """Every reason that ingest gives as a literal text; those with a field end in a colon."""
    found = set()
    for file in (ROOT / "src" / "ebbtide" / "ingest").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in {"Rejection", "Refused"} and node.args:
                    found |= set(_literal(node.args[0]))
    return found


def _literal(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr) and isinstance(first := node.values[0], ast.Constant):
        yield str(first.value)


def test_every_reason_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "results.md").read_text("utf-8")
    codes = reason_codes()
    assert len(codes) > 15
    for code in codes:
        is_family = code.startswith("invalid_") and ":" not in code and "`invalid_<field>`" in page
        assert is_family or f"`{code}" in page, f"{code} is not in docs/reference/results.md"


def test_every_route_is_in_the_overview() -> None:
    from ebbtide.api.application import PLAIN_ROUTES, build_application, openapi_of

    class _Nobody:
        """Services that no request ever asks for."""

    document: dict[str, Any] = openapi_of(build_application(_Nobody()))  # type: ignore[arg-type]
    paths = {path for path in document["paths"]} | {path for _, path, _ in PLAIN_ROUTES} - {"/"}
    paths = {path.removeprefix("/api/v1") for path in paths}  # the founder routes have two paths
    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    assert len(paths) > 15
    assert {path for path in paths if path not in page} == set()


def test_durability_is_told_in_the_words_of_the_engines() -> None:
    from ebbtide.store.events.clickhouse import ClickHouseEventStore
    from ebbtide.store.events.duckdb import DuckDBEventStore
    from ebbtide.store.events.postgres import PostgresEventStore

    page = (ROOT / "docs" / "reference" / "durability.md").read_text("utf-8")
    postgres = PostgresEventStore("postgresql://nobody@127.0.0.1:1/none").durability
    for durability in (
        DuckDBEventStore.durability,
        postgres,
        ClickHouseEventStore.durability,
    ):
        assert durability.survives_process_kill and durability.survives_power_cut
        assert f": {durability.note}." in page


# -- links and leftovers -----------------------------------------------------------------------

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for match in _LINK.finditer(text):
        target, _, anchor = unquote(match["target"]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue  # another site: it is not ours to test
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name_of(page)}: {match['target']} leads nowhere"
        assert not anchor or anchor in anchors(file), f"{name_of(page)}: no {match['target']}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for match in _LINK.finditer(page.read_text("utf-8")):
            file = (page.parent / match["target"].partition("#")[0]).resolve()
            pages = file.glob("*.md") if file.is_dir() else [file]
            left += [one for one in pages if one.suffix == ".md" and one not in reached]
    unlinked = {page for page in PAGES if page not in reached}
    assert {name_of(page) for page in unlinked} <= {"CHANGELOG.md"}
