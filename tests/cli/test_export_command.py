"""``export`` and ``verify``: a file is made, and anybody can check it without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command
from typer.testing import CliRunner

from ebbtide.app.main import connect
from ebbtide.cli.main import build_cli

BESIDE = pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)


def verify(*words: object, code: int) -> str:
    """What the command says, with no server and no folder at all."""

    def nobody(**_: object) -> Any:
        raise AssertionError("nobody is to be asked")

    result = CliRunner().invoke(build_cli(nobody, {}), ["verify", *map(str, words)])
    assert result.exit_code == code, (result.output, result.exception)
    return str(result.stdout)


@BESIDE
def test_a_file_is_made_and_checked_offline(ebbtide: Command, tmp_path: Path) -> None:
    incident = {
        "tenant_id": "acme",
        "event_type": "INCIDENT_CREATED",
        "timestamp": "2026-03-12T08:00:00Z",
        "entity_id": "inc 1",
    }
    with connect() as door:
        assert door.post("/v1/events", [incident])["stored"] == 1
    pdf, keys = tmp_path / "e.pdf", tmp_path / "keys.json"
    assert f"{pdf}: " in ebbtide("export", "incident", "inc 1", "--out", str(pdf))
    again = ebbtide.run("export", "incident", "inc 1", "--no-texts", "--out", str(pdf))
    assert "is there already" in str(again.exception)
    ebbtide("export", "keys", "--out", str(keys))

    said = verify(pdf, "--keys", keys, code=0)
    assert said.startswith("Genuine: ") and "inc 1" in said
    assert "give --keys" in verify(pdf, code=2)
    pdf.write_bytes(pdf.read_bytes().replace(b"inc 1", b"inc 2"))
    assert verify(pdf, "--keys", keys, code=1).startswith("Not genuine: ")

    ebbtide("export", "rotate-key")
    new = Path(ebbtide("export", "incident", "inc 1", "--format", "json").partition(":")[0])
    assert "is none of those given" in verify(new, "--keys", keys, code=2)
    (one,) = json.loads(keys.read_text())["keys"]
    ebbtide("export", "revoke-key", one["kid"], typed="n\n", code=1)
    listed = ebbtide.json("export", "list", "--incident", "inc 1")["items"]
    assert [one["state"] for one in listed] == ["generated"] * 3


def test_what_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    file, keys = tmp_path / "file", tmp_path / "keys"
    assert "cannot be read" in verify(file, code=2)
    file.write_bytes(b"\x00")
    assert verify(file, code=1).startswith("Not genuine")
    keys.write_text("[]")
    assert "no public keys" in verify(file, "--keys", keys, code=2)
    answer = json.loads(verify(file, "--json", code=1))
    assert answer["result"] == "invalid"
