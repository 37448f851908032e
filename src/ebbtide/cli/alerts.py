"""``ebbtide alerts``: what is not well, who takes care, and whether messages arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import typer

from ebbtide.cli.door import CommandError, Connect
from ebbtide.cli.drawing import moment
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

STYLES = {"alert": "bold red", "warning": "yellow", "no_data": "magenta", "ok": "green"}


def alerts_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Alerts and channels.")

    @app.command("list")
    def list_alerts(as_json: bool = AS_JSON) -> None:
        """Every rule that is not simply well, the worst first.

        Example: ebbtide alerts list
        """
        with connect() as door:
            body = door.get("/ops/alerts")
        if as_json:
            print_json(body)
            return
        if not body["items"]:
            console.print("Nothing is wrong, as far as the rules can tell.", style="green")
            return
        for one in body["items"]:
            word = one["status"].replace("_", " ").upper()
            console.print(
                f"{word}  {inert(one['title'])}  since {moment(one['since'])}  {one['alert_id']}",
                style=STYLES[one["status"]],
            )
            console.print(inert(f"  {one['text']}"))
            if one["acked_by"]:
                note = f": {one['note']}" if one["note"] else ""
                console.print(inert(f"  taken on by key {one['acked_by']}{note}"), style="dim")
            if one["snoozed_until"]:
                console.print(f"  quiet until {moment(one['snoozed_until'])}", style="dim")

    @app.command()
    def ack(
        alert_id: str = typer.Argument(help="As ebbtide alerts list shows it."),
        note: str | None = typer.Option(None, help="What others should know."),
    ) -> None:
        """Take an alert on: nothing more is told of it unless it gets worse.

        Example: ebbtide alerts ack 0b5f0d3e9c1a7742 --note mine
        """
        with connect() as door:
            body = door.post(f"/ops/alerts/{alert_id}/acknowledge", {"note": note})
        console.print(inert(f"Taken on: {body['title']}"))

    @app.command()
    def snooze(
        alert_id: str = typer.Argument(help="As ebbtide alerts list shows it."),
        hours: float = typer.Option(8.0, min=0, max=8760, help="For how long; 0 ends a snooze."),
    ) -> None:
        """Hear nothing of an alert for a while.

        Example: ebbtide alerts snooze 0b5f0d3e9c1a7742 --hours 8
        """
        until = None
        if hours:
            until = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds")
        with connect() as door:
            body = door.post(f"/ops/alerts/{alert_id}/snooze", {"until": until})
        quiet = body["snoozed_until"]
        said = "Told again" if quiet is None else f"Quiet until {moment(quiet)}"
        console.print(inert(f"{said}: {body['title']}"))

    @app.command()
    def channels(as_json: bool = AS_JSON) -> None:
        """Where alerts are sent.

        Example: ebbtide alerts channels
        """
        with connect() as door:
            body = door.get("/ops/channels")
        if as_json:
            print_json(body)
            return
        print_table(
            ("name", "kind", "to", "least", "brief", "state"),
            [
                (
                    one["name"],
                    one["kind"],
                    one["url"] or ", ".join(one["recipients"]) or one["secret"],
                    one["least"],
                    "yes" if one["wants_brief"] else "no",
                    one["disabled_reason"] or ("on" if one["has_secret"] else "lacks a setting"),
                )
                for one in body["items"]
            ],
        )

    @app.command()
    def test(name: str = typer.Argument(help="Name of the channel.")) -> None:
        """Send a test over a channel and say how it ended; ends with 1 when it did not arrive.

        Example: ebbtide alerts test ops
        """
        with connect() as door:
            items = door.get("/ops/channels")["items"]
            found = next((one for one in items if one["name"] == name), None)
            if found is None:
                names = ", ".join(one["name"] for one in items) or "none"
                raise CommandError(f"there is no channel {name!r}; there are: {names}")
            body = door.post(f"/ops/channels/{found['channel_id']}/test")
        if body["status"] != "delivered":
            raise CommandError(f"the test did not arrive: {body['reason']}")
        console.print("Delivered.", style="green")

    @app.command()
    def deliveries(
        limit: int = typer.Option(20, min=1, max=1000, help="How many."), as_json: bool = AS_JSON
    ) -> None:
        """What was sent or waits to be, newest first, with why it failed.

        Example: ebbtide alerts deliveries
        """
        with connect() as door:
            body = door.get("/ops/deliveries", limit=limit)
        if as_json:
            print_json(body)
            return
        print_table(
            ("created", "matter", "channel", "status", "attempts", "reason", "next", "delivery"),
            [
                (
                    moment(one["created_at"]),
                    one["matter"],
                    one["channel_id"],
                    one["status"],
                    one["num_attempts"],
                    one["reason"],
                    None if one["due_at"] is None else moment(one["due_at"]),
                    one["delivery_id"],
                )
                for one in body["items"]
            ],
        )

    return app
