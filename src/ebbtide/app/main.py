"""The command's wiring: settings, logs, serve and demo, and the door for all other commands."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError

from ebbtide.app.data_dir import check_free, find_server, is_owned
from ebbtide.app.hint import typed
from ebbtide.app.settings import Settings
from ebbtide.cli.door import Door
from ebbtide.cli.main import build_cli, run
from ebbtide.cli.output import console, errors, inert
from ebbtide.domain.errors import SettingsError

if TYPE_CHECKING:
    from ebbtide.alerts.learners import LearnersTold
    from ebbtide.app.house import House
    from ebbtide.learners.report import InactivityReport

# The stores and the server are imported where they are used: most commands only speak to a
# server that runs already, and should not wait for what they do not need.

DEMO_DIR = Path("demo-data")  # apart from real data: simulated events must never mix with it


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment; values given on the command line win.

    Raises:
        SettingsError: a value cannot be used; the message names the variable, not the value.
    """
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError.of_faults(error.errors(), "EBBTIDE_") from None


@contextmanager
def connect(*, may_begin: bool = False) -> Iterator[Door]:
    """The server that owns the data folder, or one opened for the time of a command.

    Args:
        may_begin: make the folder and its stores when there are none; False for a command
            that would find nothing in them anyway.

    Raises:
        SettingsError: there are no stores, most often because a setting was forgotten.
    """
    settings = read_settings()
    if settings.url is not None:
        yield from _open(Door(settings.url, settings.effective_api_key, is_running=True))
        return
    running = find_server(settings.data_dir) if is_owned(settings.data_dir) else None
    if running is not None:
        yield from _open(Door(running.url, running.key, is_running=True))
        return
    from ebbtide.app.house import House
    from ebbtide.app.logs import configure_logs
    from ebbtide.app.serving import serving_aside
    from ebbtide.app.stores import check_present

    if not may_begin:
        check_present(settings)
    elif not settings.data_dir.exists():
        errors.print(inert(f"A new data folder: {settings.data_dir.absolute()}"))
    configure_logs(least="error")
    with House(settings, make_first_key=False) as house, serving_aside(house) as aside:
        loader = house.services.bulk
        yield from _open(Door(aside.url, aside.key, is_running=False, loader=loader))


def _open(door: Door) -> Iterator[Door]:
    try:
        yield door
    finally:
        door.close()


def tell_of_learners(report: InactivityReport) -> LearnersTold | None:
    """Write what is new about learners into the outbox; a server that runs there sends it.

    Returns:
        None when there is no state store here: then nobody can be told.
    """
    from ebbtide.alerts.learners import tell_learners
    from ebbtide.app.stores import open_state, path_of
    from ebbtide.store.state.settings import SAMPLE_COMPANY

    settings = read_settings()
    path = path_of(settings.effective_state_url)
    if settings.url is not None or (path is not None and not path.exists()):
        return None
    state = open_state(settings)
    try:
        state.migrate()
        return tell_learners(
            state,
            report.scores(),
            report.as_of,
            datetime.now(UTC),
            is_whole=not report.failed,
            is_simulated=state.settings.get(SAMPLE_COMPANY) is not None,
        )
    finally:
        state.close()


SHOW_KEY = typer.Option(
    False,
    "--show-key",
    help="Print the first admin key even where the output is no terminal.",
)


def serve_command(
    host: str | None = typer.Option(None, help="Address to listen on; EBBTIDE_HOST."),
    port: int | None = typer.Option(None, help="Port to listen on; EBBTIDE_PORT."),
    data_dir: Path | None = typer.Option(None, help="Folder of the stores; EBBTIDE_DATA_DIR."),
    show_key: bool = SHOW_KEY,
) -> None:
    """Run the server.

    Example: ebbtide serve --data-dir ./data --port 8321
    """
    from ebbtide.app.house import House
    from ebbtide.app.logs import configure_logs
    from ebbtide.app.serving import bind, serve, url_of

    configure_logs()
    settings = read_settings(host=host, port=port, data_dir=data_dir)
    check_free(settings.data_dir)  # the same port would be taken too, and hide the reason
    listener = bind(settings.host, settings.port)
    with House(settings, make_first_key=_is_key_seen(show_key)) as house:
        greet(house, url_of(listener))
        serve(house, listener)


def demo_command(
    port: int | None = typer.Option(None, help="Port to listen on; EBBTIDE_PORT."),
    data_dir: Path = typer.Option(DEMO_DIR, help="Folder of the demo's own stores."),
    seed: int = typer.Option(7, help="Which sample company."),
    tenants: int = typer.Option(60, min=1, help="How many customers it has."),
    days: int = typer.Option(45, min=1, help="How many days of history."),
    show_key: bool = SHOW_KEY,
) -> None:
    """Run the server on a simulated sample company; a second start keeps the data."""
    from ebbtide.app.demo import fill
    from ebbtide.app.house import House
    from ebbtide.app.logs import configure_logs
    from ebbtide.app.serving import bind, serve, url_of

    configure_logs()
    settings = read_settings(port=port, data_dir=data_dir, events_url="", state_url="")
    settings = settings.model_copy(update={"events_url": None, "state_url": None})
    check_free(settings.data_dir)  # the same port would be taken too, and hide the reason
    listener = bind(settings.host, settings.port)
    with House(settings, make_first_key=_is_key_seen(show_key)) as house:
        fill(house, seed=seed, num_tenants=tenants, num_days=days)
        greet(house, url_of(listener))
        console.print("Everything shown here is simulated.")
        today = typed(house.settings.data_dir, "today")
        console.print(inert(f"Who to call today, and why: {today}"))
        serve(house, listener)


def _is_key_seen(is_asked_for: bool) -> bool:
    """Whether a key that is printed now is read by a person, and not kept in a log or journal."""
    return is_asked_for or sys.stdout.isatty()


def greet(house: House, url: str) -> None:
    """Say where the server is, what it keeps, and what is missing."""
    console.print(f"Ebbtide is on {url}", style="bold")
    events = house.services.events
    console.print(inert(f"Events are kept in {events.engine}: {events.durability.note}."))
    make_key = typed(house.settings.data_dir, "keys", "create", "NAME", "--scope", "admin")
    if house.first_key is not None:
        console.print(f"Admin key, shown this once: {house.first_key}")
    elif house.has_admin_key:
        console.print(inert(f"It has an admin key already; make more with: {make_key}"))
    else:
        # A new one would stay in the journal or file that this line goes to.
        console.print(inert(f"It has no admin key; make one with: {make_key}"))
    choices = house.services.state.recordings.choices().values()
    if not house.services.guard.recorder.is_possible and any(one.is_on for one in choices):
        console.print(
            "Customers are to be recorded, and nothing is: set EBBTIDE_RECORDING_KEY_FILE."
        )


def main() -> None:
    """Entry point of the command ``ebbtide``."""
    # What is imported stays; to look for rings in it again and again is a sixth of a start.
    gc.set_threshold(200_000, 20, 50)
    run(build_cli(connect, {"serve": serve_command, "demo": demo_command}, tell_of_learners))
