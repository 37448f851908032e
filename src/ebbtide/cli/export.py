"""``ebbtide export``: signed files of evidence, and the keys that sign them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from ebbtide.cli.door import CommandError, Connect, Door
from ebbtide.cli.drawing import moment
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table
from ebbtide.domain.evidence import FileFormat

_TENANT = typer.Option(None, help="Where customers use one id.")
_FORMAT = typer.Option(FileFormat.PDF, "--format", help="A PDF carries the JSON.")
_TEXTS = typer.Option(True, "--texts/--no-texts", help="Recorded inputs and outputs in it.")
_OUT = typer.Option(None, help="Where to write it. Default: its certificate's id, here.")


def export_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Signed files of evidence.")

    @group.command("incident")
    def incident(
        incident_id: str = typer.Argument(help="Its id, as the incidents list shows it."),
        tenant: str | None = _TENANT,
        format_: FileFormat = _FORMAT,
        texts: bool = _TEXTS,
        out: Path | None = _OUT,
    ) -> None:
        """Write what is known of an incident into a signed file.

        Example: ebbtide export incident inc_a8f3c2
        """
        with connect() as door:
            _export(door, {"incident_id": incident_id}, tenant, format_, texts, out)

    @group.command("replay")
    def replay(
        replay_id: str = typer.Argument(help="Its id, such as rep_02d9."),
        format_: FileFormat = _FORMAT,
        texts: bool = _TEXTS,
        out: Path | None = _OUT,
    ) -> None:
        """Write a replay beside its original into a signed file.

        Example: ebbtide export replay rep_02d9 --format json
        """
        with connect() as door:
            _export(door, {"replay_id": replay_id}, None, format_, texts, out)

    @group.command("list")
    def list_(
        incident: str | None = typer.Option(None, help="Only of this incident."),
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """List files of evidence, newest first; files themselves are kept for 7 days."""
        with connect() as door:
            body = door.get("/ops/exports", incident_id=incident, limit=limit)
        if as_json:
            print_json(body)
            return
        if not body["items"]:
            console.print("Nothing was exported yet.")
            return
        print_table(
            ("export", "of", "customer", "format", "state", "started", "certificate"),
            [
                (
                    one["export_id"],
                    one["subject_id"],
                    one["tenant_id"],
                    one["format"],
                    one["state"],
                    moment(one["started_at"]),
                    one["certificate_id"],
                )
                for one in body["items"]
            ],
        )

    @group.command("keys")
    def keys(out: Path | None = typer.Option(None, help="File to write them to.")) -> None:
        """Print the public keys, for those who check files offline."""
        with connect() as door:
            body = door.get("/.well-known/ebbtide-keys.json")
        if out is None:
            print_json(body)
            return
        import json

        _write(out, json.dumps(body, indent=2).encode() + b"\n")

    @group.command("rotate-key")
    def rotate_key() -> None:
        """Sign with a new key from now on; what older ones signed stays valid."""
        with connect() as door:
            body = door.post("/ops/evidence-keys")
        console.print(f"Files are signed with {body['key_id']} from now on.")

    @group.command("revoke-key")
    def revoke_key(
        key_id: str = typer.Argument(help="The kid of a key, as 'ebbtide export keys' shows it."),
        yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    ) -> None:
        """Trust nothing any more that a key signed; this cannot be undone."""
        if not yes:
            typer.confirm("Every file that this key signed stops being genuine. Go on?", abort=True)
        with connect() as door:
            body = door.post(f"/ops/evidence-keys/{quote(key_id, safe='')}/revoke")
        console.print(f"{body['key_id']} is revoked since {moment(body['revoked_at'])}.")

    return group


def _export(
    door: Door,
    subject: dict[str, Any],
    tenant: str | None,
    format_: FileFormat,
    texts: bool,
    out: Path | None,
) -> None:
    body = {
        **subject,
        "tenant_id": tenant,
        "format": format_.value,
        "include": {"raw_output": texts},
    }
    made = door.post("/ops/exports", body)
    if made["state"] != "generated":
        why = made["reason"] or "look again with 'ebbtide export list'"
        raise CommandError(f"the file is not there, its state is {made['state']}: {why}")
    path = out or Path(f"{made['certificate_id']}.{made['format']}")
    _write(path, door.fetch(made["file"]))
    console.print(inert(f"{path}: {made['num_bytes']:,} bytes, genuine at {made['verify']}"))


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as out:
            out.write(content)
    except FileExistsError as error:
        raise CommandError(f"{path} is there already, and is not made over") from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
