"""``ebbtide replay``: make the call of an incident again, and see what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from ebbtide.cli.door import Connect, Door
from ebbtide.cli.output import AS_JSON, console, errors, inert, print_json, print_table

EXIT_NOT_DONE = 2  # the replay failed or was given up
POLL_S = 0.3
_SHOWN_CHARS = 2_000

Sleep = Callable[[float], None]


def replay_command(connect: Connect, sleep: Sleep) -> Callable[..., None]:
    """The command."""

    def replay(
        incident_id: str = typer.Argument(help="Its id, as the incidents list shows it."),
        model: str | None = typer.Option(None, help="Another model that the upstreams name."),
        policy: list[str] = typer.Option([], help="A version instead of the one in force: ID=v13."),
        samples: int = typer.Option(1, min=1, max=20, help="How often the call is made."),
        tenant: str | None = typer.Option(None, help="Where customers use one id."),
        as_json: bool = AS_JSON,
    ) -> None:
        """Make the recorded call of an incident again and compare the answers.

        It calls a real model and costs money, within the caps that the settings name. Ends with
        0 when all samples were made, 2 when the replay failed or was given up.

        Example: ebbtide replay inc_a8f3c2 --policy CONTENT_ACCURACY=v13 --samples 3
        """
        body: dict[str, Any] = {
            "incident_id": incident_id,
            "policies": [_choice(one) for one in policy],
            "samples": samples,
        }
        given = {"model": model, "tenant_id": tenant}
        body |= {name: value for name, value in given.items() if value is not None}
        with connect() as door:
            begun = door.post("/ops/replays", body)
            found = wait(door, f"/ops/replays/{begun['replay_id']}", sleep)
        if as_json:
            print_json(found)
        else:
            _tell(found)
        if found["state"] != "done":
            raise typer.Exit(EXIT_NOT_DONE)

    return replay


def wait(
    door: Door, path: str, sleep: Sleep, tell: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """Ask until it is not under way any more; ``tell`` hears of each answer."""
    try:
        while (found := door.get(path))["state"] == "running":
            tell(found)
            sleep(POLL_S)
    except KeyboardInterrupt:
        errors.print(inert(f"It goes on; look at {path}."))
        raise
    return found


def _choice(text: str) -> dict[str, str]:
    policy_id, mark, version = text.partition("=")
    if not mark or not policy_id or not version:
        raise typer.BadParameter("--policy takes ID=VERSION, such as CONTENT_ACCURACY=v13")
    return {"policy_id": policy_id, "version": version}


def _tell(found: dict[str, Any]) -> None:
    console.print(inert(f"{found['replay_id']}: {found['incident_id']} with {found['model']}"))
    for side, output in (("recorded", _output(found["baseline"])), ("new", _newest(found))):
        console.print(inert(f"\n{side}:\n{output}"))
    rows = []
    for one in found["samples"]:
        told = one["comparison"]
        if told is None:
            rows.append((one["number"], one["error_type"] or one["state"], *[None] * 5))
            continue
        severity, cost = told["severity"], told["cost_usd"]
        rows.append(
            (
                one["number"],
                told["determinism"]["level"],
                _change(severity["before"], severity["after"]),
                _change(cost["before"], cost["after"]),
                _change(told["latency_ms"]["before"], told["latency_ms"]["after"]),
                ", ".join(
                    f"{v['policy_id']} {v['policy_version']} {v['result']}"
                    for v in told["candidate_verdicts"]
                    if v["result"] != "allowed"
                )
                or "all allowed",
                told["determinism"]["reason"],
            )
        )
    console.print()
    columns = ("sample", "match", "severity", "cost USD", "latency ms", "policies", "why")
    print_table(columns, rows)
    ended = "" if found["error_type"] is None else f" ({found['error_type']})"
    console.print(inert(f"\n{found['state']}{ended}; {found['spent_usd']:g} USD spent."))


def _newest(found: dict[str, Any]) -> str:
    calls = [one["call"] for one in found["samples"] if one["call"] is not None]
    return _output(calls[-1] if calls else None)


def _output(call: dict[str, Any] | None) -> str:
    text = None if call is None else call["output"]
    if text is None:
        return "—"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} ..."


def _change(before: float | None, after: float | None) -> str:
    return " -> ".join("—" if one is None else f"{one:g}" for one in (before, after))
