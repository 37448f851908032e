"""``/ops/exports``, ``/verify`` and the public keys over real HTTP."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from api_server import NOON, Server, event
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ebbtide.domain.errors import SettingsError, WrongState
from ebbtide.domain.evidence import ExportState, FileFormat, Subject
from ebbtide.guard.recording import Vault
from ebbtide.replay.evidence.contents import Issue
from ebbtide.replay.evidence.exports import UNDER_WAY_MAX, Exports, Wish
from ebbtide.replay.evidence.keys import KEY_FILE, SigningKeys, read_key_set
from ebbtide.replay.evidence.sign import Says, check

KEYS = "/.well-known/ebbtide-keys.json"


@pytest.fixture(autouse=True, scope="module")
def incidents(server: Server) -> None:
    """An incident of each of two customers."""
    for tenant in ("acme", "beta"):
        call = {"call_id": "call-1", "policy_id": "P", "policy_version": "v2", "model": "m1"}
        server.admin.send(
            event(
                event_id="i",
                tenant_id=tenant,
                event_type="INCIDENT_CREATED",
                entity_id=f"inc {tenant}",
                severity=4,
                metadata={**call, "limit": "cost"},
            ),
            event(event_id="p", tenant_id=tenant, event_type="POLICY_EVALUATED", metadata=call),
        )


def make(server: Server, **body: Any) -> dict[str, Any]:
    answer = server.admin.post("/ops/exports", {"incident_id": "inc acme", **body})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    assert made["state"] == "generated", made
    return made


def told(server: Server, entity_id: str) -> list[dict[str, Any]]:
    """The events about something; an export's begin with its start."""
    found = server.admin.get("/v1/events", limit=1000).json["events"]
    about = [one for one in found if one["entity_id"] == entity_id]
    return sorted(about, key=lambda one: (one["timestamp"], one["event_type"] != "EXPORT_STARTED"))


@pytest.mark.parametrize("form", ["json", "pdf"])
def test_an_export_is_made_fetched_and_genuine(server: Server, form: str) -> None:
    made = make(server, format=form)
    answer = server.admin.get(made["file"])
    name = f"{made['certificate_id']}.{form}"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["content-type"] == f"application/{form}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert len(answer.body) == made["num_bytes"]
    keys = server.client().get(KEYS).json
    found = check(answer.body, read_key_set(keys))
    assert found.says is Says.VALID
    assert found.evidence is not None
    assert found.evidence["policy_versions"][0]["policy_version"] == "v2"
    assert found.evidence["incident"]["cause"]["attribution"] == "BUDGET_EXCEEDED"
    assert not found.evidence["original"]["is_recorded"]
    assert [one["event_type"] for one in told(server, made["export_id"])] == [
        "EXPORT_STARTED",
        "EXPORT_GENERATED",
    ]
    assert told(server, made["export_id"])[1]["tenant_id"] == "platform"  # no customer did it
    assert told(server, made["export_id"])[1]["metadata"] == {
        "incident_id": "inc acme",
        "format": form,
        "include_flags": {"raw_output": True, "timeline": True},
    }


def test_the_page_of_a_certificate_tells_no_contents(server: Server) -> None:
    made = make(server)
    nobody = server.client(source="127.0.3.1")
    answer = nobody.get(made["verify"])
    assert answer.status == 200
    assert answer.json | {"digest": "", "key_id": "", "text": ""} == {
        "certificate_id": made["certificate_id"],
        "status": "valid",
        "text": "",
        "subject": "incident",
        "incident_kind": "BUDGET_EXCEEDED",
        "issued_at": "2026-03-12T12:00:00Z",
        "digest": "",
        "key_id": "",
    }
    assert b"acme" not in answer.body
    for unknown in ("cert_" + "0" * 32, "cert_%00", "x' OR 1=1", made["certificate_id"].upper()):
        assert nobody.ask("GET", f"/verify/{unknown.replace(' ', '%20')}").status == 404


def test_a_visit_is_told_once_and_without_whose_it_is(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(server)
    path, certificate = made["verify"], made["certificate_id"]
    first, second = server.client(source="127.0.3.2"), server.client(source="127.0.3.3")
    first.ask("GET", path, headers={"Referer": "https://legal.example.com/matters/118?u=ann"})
    first.get(path)
    first.ask("GET", path, headers={"Sec-Purpose": "prefetch", "User-Agent": "other"})
    (visit,) = told(server, certificate)
    assert visit["event_type"] == "CERT_VERIFIED" and visit["tenant_id"] == "acme"
    assert visit["metadata"] == {"incident_id": "inc acme", "referrer": "https://legal.example.com"}
    second.get(path)
    server.clock.advance(minutes=31)
    first.get(path)
    assert len(told(server, certificate)) == 3
    with monkeypatch.context() as patch:
        patch.setattr("ebbtide.replay.evidence.visits.AN_HOUR_MAX", 4)
        for number in range(3):
            first.ask("GET", path, headers={"User-Agent": str(number)})
    assert len(told(server, certificate)) == 4


def test_a_key_of_one_customer_sees_its_own_alone(server: Server) -> None:
    made = make(server)
    acme, beta = (server.client("read", tenant=name) for name in ("acme", "beta"))
    path = f"/ops/exports/{made['export_id']}"
    assert [one.get(path).status for one in (acme, beta)] == [200, 404]
    assert beta.get("/ops/exports").json == {"items": []}
    assert beta.get("/ops/exports", tenant_id="acme").status == 404
    assert acme.get(made["file"]).status == 403  # it may hold recorded texts
    listed = acme.get("/ops/exports", incident_id="inc acme").json["items"]
    assert made["export_id"] in [one["export_id"] for one in listed]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"incident_id": "inc acme", "replay_id": "rep_1"}, 422),
        ({"incident_id": "nobody"}, 404),
        ({"replay_id": "rep_0"}, 404),
        ({"incident_id": "inc acme", "format": "html"}, 422),
        ({"incident_id": "inc acme", "include": {"everything": True}}, 422),
        ({"incident_id": "inc acme", "key": "x"}, 422),
        ({"incident_id": "a\0b"}, 404),
    ],
)
def test_what_cannot_be_made_is_refused(server: Server, body: Any, status: int) -> None:
    assert server.admin.post("/ops/exports", body).status == status
    assert server.admin.get("/ops/exports/a%00b").status == 404


# -- what takes long, and what goes wrong ------------------------------------------------------

WISH = Wish(
    "acme",
    Subject.INCIDENT,
    "inc acme",
    "inc acme",
    "USER_MISUSE",
    FileFormat.JSON,
    {"timeline": True, "raw_output": True},
    holds_texts=False,
    asked_by="test",
)


def test_an_export_is_given_up_and_the_next_one_runs(server: Server) -> None:
    exports, go_on = server.house.services.exports, Event()

    def slow(issue: Issue) -> dict[str, Any]:
        assert go_on.wait(20)
        return {"certificate_id": issue.certificate_id}

    under_way = [exports.ask(WISH, slow, wait_s=0) for _ in range(UNDER_WAY_MAX)]
    assert {one.state for one in under_way} == {ExportState.STARTED}
    full = server.admin.post("/ops/exports", {"incident_id": "inc acme"})
    assert full.status == 409
    for one in under_way:
        path = f"/ops/exports/{one.export_id}"
        ended = server.admin.post(f"{path}/abort", {"reason": "too_slow"})
        assert (ended.status, ended.json["state"]) == (200, "aborted")
    assert server.admin.post(f"{path}/abort", {}).status == 409
    go_on.set()
    make(server)
    assert server.admin.get(f"{path}/file").status == 404
    assert server.admin.get(path).json["reason"] == "too_slow"
    assert [one["event_type"] for one in told(server, under_way[0].export_id)] == [
        "EXPORT_STARTED",
        "EXPORT_ABORTED",
    ]
    (_, aborted) = told(server, under_way[0].export_id)
    assert aborted["metadata"]["abort_reason"] == "too_slow"


def test_an_export_that_fails_says_so_without_contents(server: Server) -> None:
    def broken(_: Issue) -> dict[str, Any]:
        raise ValueError("secret text of a customer")

    failed = server.house.services.exports.ask(WISH, broken, wait_s=20)
    assert failed.state is ExportState.FAILED
    assert failed.reason == "The file could not be made (ValueError)."
    _, ended = told(server, failed.export_id)
    assert (ended["event_type"], ended["severity"]) == ("EXPORT_FAILED", 3)
    assert ended["metadata"]["error_type"] == "render_error"
    assert b"secret text" not in server.admin.get("/v1/events", limit=1000).body


def test_one_whose_process_died_is_failed_later_and_files_go_after_a_week(server: Server) -> None:
    made = make(server)
    services = server.house.services
    lost = services.exports.ask(WISH, lambda _: {}, wait_s=20)
    with services.state.certificates._database.write() as connection:  # as a kill leaves it
        connection.exec_driver_sql("UPDATE evidence_exports SET state = 'started' WHERE "
                                   f"export_id = '{lost.export_id}'")  # fmt: skip
    server.clock.advance(minutes=20)
    make(server)
    shown = server.admin.get(f"/ops/exports/{lost.export_id}").json
    assert (shown["state"], told(server, lost.export_id)[-1]["event_type"]) == (
        "failed",
        "EXPORT_FAILED",
    )
    server.clock.advance(days=8)
    make(server)
    assert server.admin.get(made["file"]).status == 404
    assert server.client().get(made["verify"]).json["status"] == "valid"


def test_recorded_texts_are_exported_only_where_they_are_sealed(server: Server) -> None:
    exports = server.house.services.exports
    wish = replace(WISH, holds_texts=True)

    def with_texts(issue: Issue) -> dict[str, Any]:
        return {"certificate_id": issue.certificate_id, "text": "a recorded text"}

    with pytest.raises(WrongState, match="without a key"):
        exports.ask(wish, with_texts, wait_s=20)
    shelf = server.house.services.state.certificates
    sealing = Exports(
        shelf,
        exports.keys,
        server.house.services.ingestor,
        lambda: NOON,
        is_simulated=lambda: False,
        vault=Vault([b"k" * 32]),
    )
    made = sealing.ask(wish, with_texts, wait_s=20)
    sealing.close()
    assert b"a recorded text" in sealing.file(made)
    kept = shelf.content(made.export_id)
    assert kept is not None and b"a recorded text" not in kept[0]
    refused = server.admin.get(f"/ops/exports/{made.export_id}/file")
    assert (refused.status, refused.json["code"]) == (409, "wrong-state")


# -- keys --------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_and_rotated(fresh: Server, tmp_path: Path) -> None:
    assert fresh.client().get(KEYS).json == {"keys": []}
    fresh.admin.send(event(event_type="INCIDENT_CREATED", entity_id="inc acme"))
    first = make(fresh, format="json")
    file = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    old = file.read_bytes()
    rotated = fresh.admin.post("/ops/evidence-keys", None)
    assert rotated.status == 201 and file.read_bytes() != old
    second = make(fresh, format="json")
    document = fresh.client().get(KEYS).json
    assert [one["status"] for one in document["keys"]] == ["current", "retired"]
    keys = read_key_set(document)
    for made in (first, second):
        assert check(fresh.admin.get(made["file"]).body, keys).says is Says.VALID
    retired = document["keys"][1]["kid"]
    answer = fresh.admin.post(f"/ops/evidence-keys/{retired}/revoke", None)
    assert answer.json["revoked_at"] == "2026-03-12T12:00:00Z"
    keys = read_key_set(fresh.client().get(KEYS).json)
    assert check(fresh.admin.get(first["file"]).body, keys).says is Says.REVOKED_KEY
    assert fresh.client().get(first["verify"]).json["status"] == "revoked_key"
    assert fresh.client().get(second["verify"]).json["status"] == "valid"
    assert fresh.admin.post("/ops/evidence-keys/none/revoke", None).status == 404
    # Nothing of a private key is ever told.
    for secret in (old, file.read_bytes()):
        body = b"".join(secret.split(b"\n")[1:-2])
        assert not any(body in seen for seen in fresh.admin.seen)
    file.chmod(0o644)
    refused = fresh.admin.post("/ops/exports", {"incident_id": "inc acme"}).json
    assert refused["state"] == "failed" and "chmod 600" in refused["reason"]


def test_an_operators_key_is_used_and_never_made_over(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "named.pem"
    shelf = server.house.services.state.certificates
    keys = SigningKeys(shelf, tmp_path, file, lambda: NOON)
    with pytest.raises(SettingsError, match="cannot be read"):
        keys.current()
    file.write_text("nonsense")
    with pytest.raises(SettingsError, match="no private key"):
        keys.current()
    key = Ed25519PrivateKey.generate()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert keys.current().private_bytes_raw() == key.private_bytes_raw()
    with pytest.raises(WrongState, match="EBBTIDE_EVIDENCE_KEY_FILE"):
        keys.rotate()
    keys.revoke(shelf.keys()[0].key_id)
    with pytest.raises(WrongState, match="revoked"):
        keys.current()
    assert not (tmp_path / KEY_FILE).exists()
