"""Writes the reference pages of settings, errors and commands from the code that they describe.

``python tools/reference_pages.py`` renews the files below ``docs/reference``; a test compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from ebbtide.api import problems
from ebbtide.app.main import demo_command, serve_command
from ebbtide.app.settings import Settings
from ebbtide.cli.door import CommandError
from ebbtide.cli.main import build_cli
from ebbtide.client import errors as client_errors
from ebbtide.domain import errors
from ebbtide.guard.kill_switch import Frozen
from ebbtide.guard.proxy import CallBlocked, UpstreamFailed
from ebbtide.guard.recording import RecordingBroken

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs" / "reference"


_SETTINGS = """\
Every setting is an environment variable; no file is read. An empty default means that the setting
is not needed. A value that cannot be used ends the command with the name of its variable and the
reason.

{table}

A URL of files has three slashes before a relative path and four before an absolute one, as in
SQLAlchemy: `duckdb:///mine/events.duckdb` lies below the folder in which the server is started,
`duckdb:////var/lib/ebbtide/events.duckdb` does not. It is the same for `sqlite:` and for `chdb:`,
whose path is a folder.

A command that looks for data where no store is, most often because `EBBTIDE_DATA_DIR` was
forgotten, says so and makes nothing. Only `serve`, `demo`, `emit` and `import` begin a new folder.

Options on the command line win over variables. `--host`, `--port` and `--data-dir` of
`ebbtide serve` stand among the [commands](cli.md).

The Python client reads `EBBTIDE_API_KEY` too; everything else it takes as an argument, see
[Send events from Python](../howto/python-client.md).
"""

_ERRORS = """\
Every error raised on purpose has a code, and the code stays the same. Over HTTP it comes as
`application/problem+json`:

```json
{{"type": "urn:ebbtide:problem:body-too-large", "title": "The body is too large", "status": 413,
 "code": "body-too-large", "id": "6dfe8f968f2b4147",
 "detail": "the body is larger than 5242880 bytes"}}
```

A value that does not fit (422) is told in `errors`, one entry each: `in` says whether it came with
the `query`, the `path` or the `body`, `where` is its name there (`contacts[1].email`), and `why`
says what would fit. The value itself is not repeated.

`id` also stands in the server's log where the fault was ours. 401 and 503 carry no `detail`: it
could tell a stranger what is his to guess, or where a store lives. An answer of 429 or 503 says in
`Retry-After` when to come back, and nothing of that request was acknowledged.

A record that is not stored is no error of the request: it has a result and a reason, see
[Results](results.md).

{own}

An empty status means that the code appears in the log or on the terminal, and not over HTTP. The
HTTP door itself adds:

{door}

## On the command line

A command that fails says why in one sentence on standard error and ends with 1; what the server
refused is told in the server's words (`{command_error}`). Wrong arguments end with 2, and so do
`ebbtide emit` and `ebbtide import` when not everything was stored. `ebbtide jobs run` has
[codes of its own](../howto/schedule-jobs.md), and so has
[`ebbtide detect-inactivity`](../howto/learners.md).

## In the Python client

They are raised only on request, see [Send events from Python](../howto/python-client.md).

{client}
"""

_COMMANDS = """\
What `--help` says, for every command. A command that needs data speaks to the server that owns the
data folder; when none runs, it opens the folder itself for as long as it takes. With `EBBTIDE_URL`
and `EBBTIDE_API_KEY` it speaks to a server elsewhere. `--json` prints one JSON document.

{commands}
"""

#: What the HTTP door answers beside the errors raised on purpose.
_OF_THE_DOOR = (
    ("`method-not-allowed`", "405", "The path exists, the method does not."),
    ("`not-ready`", "503", "Only of `/health/ready`: a store cannot answer now."),
    (
        "`internal-error`",
        "500",
        "A fault of ours. The `id` of the answer stands in the log with the whole story.",
    ),
)


#: What guard and recordings answer; their statuses are held by the tests of their routes.
_OF_THE_GUARD: tuple[tuple[type[errors.EbbtideError], str], ...] = (
    (CallBlocked, "400"),
    (Frozen, "423"),
    (RecordingBroken, "409"),
    (UpstreamFailed, "502, 504"),
)


def settings_page() -> str:
    """Every setting with its default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append((f"`EBBTIDE_{name.upper()}`", default, field.description or ""))
    table = _table(("variable", "default", "meaning"), rows)
    return _page("Settings", "src/ebbtide/app/settings.py", _SETTINGS.format(table=table))


def errors_page() -> str:
    """Every error that is raised on purpose, by its code."""
    status = dict(_http_statuses())
    own = [
        (
            f'<a id="{kind.code}"></a>`{kind.code}`',
            str(status.get(kind.code, "")),
            _first_sentences(kind),
        )
        for kind in own_errors()
    ]
    own += [
        (f'<a id="{kind.code}"></a>`{kind.code}`', status_of, _first_sentences(kind))
        for kind, status_of in _OF_THE_GUARD
    ]
    client = [
        (f"`{name}`", _first_sentences(kind))
        for name, kind in inspect.getmembers(client_errors, inspect.isclass)
        if kind.__module__ == client_errors.__name__
    ]
    head = ("code", "status", "meaning")
    text = _ERRORS.format(
        own=_table(head, own),
        door=_table(head, _OF_THE_DOOR),
        client=_table(("class", "meaning"), client),
        command_error=CommandError.code,
    )
    return _page("Errors", "src/ebbtide/domain/errors.py", text)


def commands_page() -> str:
    """What ``--help`` says of every command."""
    sections = []
    for words in command_words():
        title = " ".join(("ebbtide", *words)) if words else "The command itself"
        sections.append(f"## {title}\n\n```text\n{_help(words)}\n```")
    text = _COMMANDS.format(commands="\n\n".join(sections))
    return _page("Commands", "src/ebbtide/cli", text)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "cli.md": commands_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


# -- what the pages are made of ------------------------------------------------------------------


def command_line() -> typer.Typer:
    """The whole command, bound to no server."""
    return build_cli(nullcontext, {"serve": serve_command, "demo": demo_command})  # type: ignore[arg-type]


def command_words() -> Iterator[tuple[str, ...]]:
    """The words of every command, none for the bare one, which comes first."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, (*words, name))

    yield from below(typer.main.get_command(command_line()), ())


def own_errors() -> list[type[errors.EbbtideError]]:
    """The errors that the domain names, but for their root."""

    def below(kind: type[errors.EbbtideError]) -> Iterator[type[errors.EbbtideError]]:
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield child
                yield from below(child)

    return list(below(errors.EbbtideError))


def _http_statuses() -> Iterator[tuple[str, int]]:
    """The code of every error that HTTP can answer with, and its status."""
    for kind in own_errors():
        with capture_logs():  # the door logs an error that has no status of its own
            answer = problems.of_error(_example_of(kind))
        if answer.status_code != 500:
            yield kind.code, answer.status_code


def _example_of(kind: type[errors.EbbtideError]) -> errors.EbbtideError:
    """An error with something in every field that it must have."""
    needed = {
        name: 1 if parameter.annotation == "int" else "example"
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    return kind("example", **needed)


def _help(words: Sequence[str]) -> str:
    answer = CliRunner(env={"COLUMNS": "90", "TERMINAL_WIDTH": "90"}).invoke(
        command_line(), [*words, "--help"], prog_name="ebbtide"
    )
    if answer.exit_code != 0:
        raise RuntimeError(f"ebbtide {' '.join(words)} --help failed: {answer.output}")
    return "\n".join(line.rstrip() for line in answer.output.strip().splitlines())


def _first_sentences(kind: type) -> str:
    paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _page(title: str, source: str, text: str) -> str:
    note = f"<!-- Generated from {source}.\n     Renew it with: make docs -->"
    return f"# {title}\n\n{note}\n\n{text}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    # A bar inside a cell would open a new column.
    escaped = ([cell.replace("|", "\\|") for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


if __name__ == "__main__":
    main()
