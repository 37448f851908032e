"""The command ``ebbtide``: every subcommand, and how errors end one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import sleep

import typer

from ebbtide import __version__
from ebbtide.cli.alerts import alerts_commands
from ebbtide.cli.backfill import backfill_command
from ebbtide.cli.backtest import backtest_commands
from ebbtide.cli.brief import brief_command
from ebbtide.cli.cohorts import cohorts_command
from ebbtide.cli.customers import customers_command
from ebbtide.cli.detect_inactivity import Tell, detect_inactivity_command
from ebbtide.cli.door import Connect
from ebbtide.cli.emit import emit_command
from ebbtide.cli.events import events_command
from ebbtide.cli.export import export_commands
from ebbtide.cli.features import features_command
from ebbtide.cli.freeze import freeze_commands
from ebbtide.cli.funnel import funnel_command
from ebbtide.cli.import_command import import_command
from ebbtide.cli.interventions import interventions_commands
from ebbtide.cli.jobs import jobs_commands
from ebbtide.cli.keys import keys_commands
from ebbtide.cli.learners import learners_commands
from ebbtide.cli.limits import limits_command
from ebbtide.cli.output import errors, inert
from ebbtide.cli.policies import policies_commands
from ebbtide.cli.pulse import pulse_command
from ebbtide.cli.quarantine import quarantine_commands
from ebbtide.cli.replay import replay_command
from ebbtide.cli.replay_policy import replay_policy_command
from ebbtide.cli.revenue import revenue_command
from ebbtide.cli.simulate import simulate
from ebbtide.cli.tenants import tenants_commands
from ebbtide.cli.today import today_command
from ebbtide.cli.verify import verify
from ebbtide.cli.why import why_command
from ebbtide.domain.errors import EbbtideError

EXIT_ERROR = 1


def build_cli(
    connect: Connect, commands: dict[str, Callable[..., None]], tell: Tell = lambda _report: None
) -> typer.Typer:
    """Put the command together.

    Args:
        connect: opens the door to the server of the data folder.
        commands: commands of the wiring itself (serve, demo), by name.
        tell: brings what the inactivity job found into the outbox of alerts.
    """
    app = typer.Typer(
        name="ebbtide",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Ebbtide: one stream of events in, seven founder questions answered.",
        epilog="Settings are environment variables EBBTIDE_*; see docs/reference/settings.md.",
    )

    @app.callback(invoke_without_command=True)
    def version(
        show: bool = typer.Option(False, "--version", is_eager=True, help="Print the version."),
    ) -> None:
        if show:
            typer.echo(f"ebbtide {__version__}")
            raise typer.Exit

    for name, command in commands.items():
        app.command(name)(command)
    # Only what brings events along may begin a folder; every other command, pointed at the
    # wrong one, would answer "nothing" from a store that it has just made.
    begin = partial(connect, may_begin=True)
    app.command("emit")(emit_command(begin))
    app.command("import")(import_command(begin, sleep))
    app.command("today")(today_command(connect))
    app.command("why")(why_command(connect))
    app.command("customers")(customers_command(connect))
    app.command("brief")(brief_command(connect))
    app.command("pulse")(pulse_command(connect))
    app.command("features")(features_command(connect))
    app.command("funnel")(funnel_command(connect))
    app.command("cohorts")(cohorts_command(connect))
    app.command("events")(events_command(connect))
    app.command("limits")(limits_command(connect))
    app.command("revenue")(revenue_command(connect))
    app.command("replay")(replay_command(connect, sleep))
    app.command("replay-policy")(replay_policy_command(connect, sleep))
    app.command("backfill")(backfill_command(connect))
    app.command("simulate")(simulate)
    app.command("verify")(verify)
    app.command("detect-inactivity")(detect_inactivity_command(tell))
    app.add_typer(alerts_commands(connect), name="alerts")
    app.add_typer(backtest_commands(), name="backtest")
    app.add_typer(export_commands(connect), name="export")
    app.add_typer(freeze_commands(connect), name="freeze")
    app.add_typer(interventions_commands(connect), name="interventions")
    app.add_typer(jobs_commands(connect), name="jobs")
    app.add_typer(keys_commands(connect), name="keys")
    app.add_typer(learners_commands(), name="learners")
    app.add_typer(policies_commands(connect), name="policies")
    app.add_typer(quarantine_commands(connect), name="quarantine")
    app.add_typer(tenants_commands(connect), name="tenants")
    return app


def run(app: typer.Typer) -> None:
    """Run the command; an error of ours ends it with one sentence and a code."""
    try:
        app()
    except EbbtideError as error:
        errors.print(inert(f"ebbtide: {error}"), style="red")
        raise SystemExit(EXIT_ERROR) from error
