"""``ebbtide emit``: send events from the shell, or a ready example of a type."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer

from ebbtide.catalog.loader import load_catalog
from ebbtide.cli.door import Connect
from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, errors, inert, print_json
from ebbtide.client.emit_now import emit_now
from ebbtide.client.errors import DeliveryFailed, EmitterError, InvalidEvent
from ebbtide.domain.nearest import did_you_mean

EXIT_NOT_STORED = 2  # some events wait in quarantine, are in conflict or were refused


def emit_command(connect: Connect) -> Callable[..., None]:
    """The command."""

    def emit(
        event_type: str | None = typer.Argument(None, help="Such as EXPORT_GENERATED."),
        tenant: str | None = typer.Option(None, "--tenant", "-t", help="Whose event it is."),
        at: str | None = typer.Option(
            None, callback=as_moment, help="When it happened; now if left out."
        ),
        event_id: str | None = typer.Option(None, "--id", help="Its id; made if left out."),
        user: str | None = typer.Option(None, help="The user's id."),
        session: str | None = typer.Option(None, help="The session's id."),
        metadata: list[str] = typer.Option(
            [],
            "--set",
            help="key=value of the metadata; the value is JSON where it can be.",
        ),
        example: str | None = typer.Option(None, help="Send the example of this type."),
        file: Path | None = typer.Option(
            None, "--file", "-f", help="JSON or JSON Lines; - for standard input."
        ),
        dry_run: bool = typer.Option(False, "--dry-run", help="Print the events, send nothing."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Send events and say what became of each.

        Examples:

        ebbtide emit EXPORT_GENERATED --tenant acme-ai --set format=pdf

        ebbtide emit --example REPLAY_ABORTED

        ebbtide emit --file events.jsonl
        """
        events = _events(event_type, tenant, at, event_id, user, session, metadata, example, file)
        if dry_run:
            print_json(events)
            return
        try:
            with connect() as door:
                results = emit_now(door.url, door.key, events)
        except DeliveryFailed as error:
            for result in error.results:
                errors.print(inert(f"{result.result:<12} {result.event_id}"))
            errors.print(inert(f"Not all was sent: {error}"), style="red")
            raise typer.Exit(1) from error
        except (InvalidEvent, EmitterError) as error:
            raise typer.BadParameter(str(error)) from error
        good = sum(result.result in ("stored", "duplicate") for result in results)
        if as_json:
            print_json([result._asdict() for result in results])
        else:
            for result in results:
                why = f" ({result.reason})" if result.reason else ""
                console.print(inert(f"{result.result:<12} {result.event_id}{why}"))
        if good < len(results):
            raise typer.Exit(EXIT_NOT_STORED)

    return emit


def _events(
    event_type: str | None,
    tenant: str | None,
    at: str | None,
    event_id: str | None,
    user: str | None,
    session: str | None,
    metadata: list[str],
    example: str | None,
    file: Path | None,
) -> list[dict[str, Any]]:
    given = [name for name in (event_type, example, file) if name is not None]
    if len(given) != 1:
        raise typer.BadParameter("name an event type, --example TYPE, or --file FILE")
    if example is not None:
        known = load_catalog().event_types
        kind = known.get(example)
        if kind is None:
            hint = did_you_mean(example, known)
            raise typer.BadParameter(f"there is no event type {example!r}{hint}")
        return [dict(kind.example)]
    if file is not None:
        return _read(file)
    event = {
        "event_type": event_type,
        "tenant_id": tenant,
        "timestamp": at,
        "event_id": event_id,
        "user_id": user,
        "session_id": session,
    }
    fields: dict[str, Any] = {name: value for name, value in event.items() if value is not None}
    if "tenant_id" not in fields:
        raise typer.BadParameter("say whose event it is with --tenant")
    if metadata:
        fields["metadata"] = dict(_pair(text) for text in metadata)
    return [fields]


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"--set takes key=value, not {text!r}")
    try:
        return key, json.loads(value, parse_float=Decimal)
    except ValueError:
        return key, value


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {file}: {error}") from error
    try:
        document = json.loads(text, parse_float=Decimal)
        events = document if isinstance(document, list) else [document]
    except ValueError:
        try:
            lines = [line for line in text.splitlines() if line.strip()]
            events = [json.loads(line, parse_float=Decimal) for line in lines]
        except ValueError as error:
            raise typer.BadParameter(f"{file} is neither JSON nor JSON Lines: {error}") from error
    if not events or not all(isinstance(event, dict) for event in events):
        raise typer.BadParameter(f"{file} holds no events")
    return events
