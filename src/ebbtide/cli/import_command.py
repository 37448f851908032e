"""``ebbtide import``: files of events into the store, with a progress bar and a clear end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import sleep

import typer

from ebbtide.cli.door import Connect
from ebbtide.cli.output import AS_JSON, print_json

# What reads files is imported where it is used: every other command would wait for it.

EXIT_NOTHING = 1  # a file could not be imported (to its end)
EXIT_NOT_ALL = 2  # some rows wait in quarantine, are in conflict or were refused


def import_command(connect: Connect, pause: Callable[[float], None] = sleep) -> Callable[..., None]:
    """The command."""

    def import_files(
        files: list[Path] = typer.Argument(..., help="JSON Lines, CSV or Parquet; .gz too."),
        mapping: Path | None = typer.Option(
            None, "--mapping", "-m", help="TOML file that says how rows become events."
        ),
        again: bool = typer.Option(
            False, "--again", help="Read from the beginning, also what was imported before."
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Import files of events.

        It may be interrupted at any time and goes on where it stopped. The same file again stores
        nothing twice. Rows that are no events wait in quarantine with file and line.

        Exit code: 0 every row is in, 2 some are not, 1 a file could not be read or sent.

        Examples:

        ebbtide import events.jsonl

        ebbtide import commits.parquet --mapping teams.toml
        """
        from ebbtide.catalog.mapping import load_mapping
        from ebbtide.cli.embedded_sink import EmbeddedSink
        from ebbtide.cli.import_one import import_one
        from ebbtide.cli.server_sink import ServerSink

        layout = None if mapping is None else load_mapping(mapping)
        summaries = []
        code = 0
        with connect() as door:
            own = door.loader
            made = ServerSink(door, pause) if own is None else EmbeddedSink(door, own, pause)
            with closing(made) as sink:
                for file in files:
                    summary = import_one(file, layout, sink, again, as_json)
                    summaries.append(summary)
                    if "error" in summary:
                        code = EXIT_NOTHING
                    elif not summary["is_clean"] and code == 0:
                        code = EXIT_NOT_ALL
        if as_json:
            print_json({"files": summaries})
        if code:
            raise typer.Exit(code)

    return import_files
