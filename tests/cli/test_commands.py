"""Every command does the same beside a running server and alone with its folder."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest
from command import Command

from ebbtide import __version__
from ebbtide.app.data_dir import find_server, is_owned
from ebbtide.catalog.loader import load_catalog
from ebbtide.cli.door import CommandError
from ebbtide.domain.errors import SettingsError

EVENT = {
    "event_id": "e-1",
    "timestamp": "2026-03-12T11:00:00Z",
    "tenant_id": "acme",
    "event_type": "LOGIN",
}


def check_folder(ebbtide: Command) -> None:
    """A command leaves the folder as it found it: owned by the server, or by nobody."""
    is_served = ebbtide.mode == "beside a server"
    assert is_owned(ebbtide.folder) == is_served
    assert (find_server(ebbtide.folder) is None) != is_served


# -- keys --------------------------------------------------------------------------------------


def test_a_key_is_made_listed_and_revoked(ebbtide: Command) -> None:
    made = ebbtide.json(
        "keys", "create", "proxy [red]", "-s", "ingest", "-s", "read", "--tenant", "acme",
        "--expires", "2099-12-31T00:00:00+01:00",
    )  # fmt: skip
    assert made["key"].startswith(f"ebb_{made['key_id']}_")
    assert (made["scopes"], made["tenant_id"]) == (["ingest", "read"], "acme")
    assert made["expires_at"] == "2099-12-30T23:00:00Z"
    listed = ebbtide("keys", "list")
    assert made["key_id"] in listed and "proxy [red]" in listed
    assert "until 2099-12-30T23:00:00Z" in listed
    assert made["key"].rpartition("_")[2] not in listed
    assert f"Revoked {made['key_id']}" in ebbtide("keys", "revoke", made["key_id"])
    (key,) = [k for k in ebbtide.json("keys", "list")["keys"] if k["name"] == "proxy [red]"]
    assert key["revoked_at"] is not None
    check_folder(ebbtide)


def test_a_key_for_people_stands_on_a_line_of_its_own(ebbtide: Command) -> None:
    first, second = ebbtide("keys", "create", "plain").splitlines()
    assert first.startswith("ebb_") and " " not in first
    assert "ingest" in second and "shown this once" in second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "create", "x", "-s", "everything"], "scopes"),
        (["keys", "create", "x", "-s", "admin", "--tenant", "acme"], "bound to one tenant"),
        (["keys", "create", "x", "--expires", "soon"], "expires_at"),
        (["keys", "revoke", "nobody"], "Not found"),
        (["tenants", "show", "nobody"], "Not found"),
        (["events", "--as-of", "yesterday"], "as_of: send a moment with its offset"),
        (["events", "--type", "NOPE"], "event_type is none of the catalog"),
        (["events", "--type", "export_generatd"], "did you mean EXPORT_GENERATED?"),
        (["keys", "create", "x", "--expires", "2001-01-01T00:00:00Z"], "lies in the past"),
    ],
)
def test_what_the_server_refuses_is_said_in_one_sentence(
    ebbtide: Command, words: list[str], said: str
) -> None:
    result = ebbtide.run(*words)
    assert isinstance(result.exception, CommandError)  # which ends the command with its text
    assert said in str(result.exception)
    check_folder(ebbtide)


# -- events ------------------------------------------------------------------------------------


def test_an_event_is_sent_and_seen(ebbtide: Command) -> None:
    sent = ebbtide.json(
        "emit", "EXPORT_GENERATED", "--tenant", "acme", "--at", "2026-03-12T11:00:00Z",
        "--id", "exp-7", "--user", "u-1", "--session", "s-1",
        "--set", "format=pdf", "--set", "num_rows=12", "--set", "note=a=b",
    )  # fmt: skip
    assert sent == [{"event_id": "exp-7", "result": "stored", "reason": None}]
    (shown,) = ebbtide.json("events", "--tenant", "acme")["events"]
    assert shown["metadata"] == {"format": "pdf", "num_rows": 12, "note": "a=b"}
    assert (shown["user_id"], shown["session_id"]) == ("u-1", "s-1")
    table = ebbtide("events", "--type", "EXPORT_GENERATED")
    assert "exp-7" in table and "acme" in table and "2026-03-12T11:00:00Z" in table
    assert ebbtide("events", "--type", "LOGIN") == "No events match.\n"
    assert ebbtide("events", "--as-of", "2026-03-12T10:59:59Z") == "No events match.\n"
    assert ebbtide("events", "--known-at", "2026-03-12T11:00:00Z") == "No events match.\n"
    check_folder(ebbtide)


@pytest.mark.parametrize("name", sorted(load_catalog().event_types)[::9])
def test_a_ready_example_can_be_sent(ebbtide: Command, name: str) -> None:
    assert "stored" in ebbtide("emit", "--example", name)
    assert "duplicate" in ebbtide("emit", "--example", name)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(EVENT),
        json.dumps([EVENT], indent=2),
        json.dumps(EVENT) + "\n\n" + json.dumps(EVENT | {"event_id": "e-2"}) + "\n",
    ],
    ids=["one", "a list", "lines"],
)
def test_a_file_or_standard_input_can_be_sent(ebbtide: Command, text: str) -> None:
    Path("events.json").write_text(text)
    assert "stored       e-1" in ebbtide("emit", "--file", "events.json")
    assert "duplicate    e-1" in ebbtide("emit", "-f", "-", typed=text)


def test_what_was_not_stored_ends_with_a_code_of_its_own(ebbtide: Command) -> None:
    result = ebbtide.run("emit", "LOGIN", "-t", "acme", "--at", "2999-01-01T00:00:00Z", "--id", "f")
    assert result.exit_code == 2
    assert "quarantined  f (future_timestamp)" in result.output
    (row,) = ebbtide.json("quarantine", "list")["items"]
    assert row["reason"] == "future_timestamp"


@pytest.mark.parametrize(
    "words",
    [
        ["emit"],
        ["emit", "LOGIN"],
        ["emit", "LOGIN", "--example", "LOGIN", "--tenant", "a"],
        ["emit", "--example", "NO_SUCH_TYPE"],
        ["emit", "LOGIN", "-t", "a", "--set", "no-equals-sign"],
        ["emit", "--file", "missing.json"],
        ["emit", "--file", "."],
        ["events", "--limit", "0"],
        ["events", "--no-such-option"],
        ["no-such-command"],
        ["keys", "create"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("ebbtide", ["nowhere"], indirect=True)
def test_wrong_words_are_explained_and_nothing_is_opened(
    ebbtide: Command, words: list[str]
) -> None:
    result = ebbtide.run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.output
    assert "Traceback" not in result.output
    assert not ebbtide.folder.exists()


@pytest.mark.parametrize("ebbtide", ["nowhere"], indirect=True)
def test_the_example_of_a_misspelt_type_is_not_guessed_but_named(ebbtide: Command) -> None:
    refused = ebbtide.run("emit", "--example", "EXPORT_GENERATD")
    assert "did you mean EXPORT_GENERATED?" in refused.output


# -- a folder without a store ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["events"],
        ["tenants", "list"], ["tenants", "show", "acme"], ["tenants", "erase", "acme", "--yes"],
        ["quarantine", "list"], ["quarantine", "release"], ["quarantine", "discard", "1"],
        ["keys", "list"], ["keys", "create", "n"], ["keys", "revoke", "k"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("ebbtide", ["nowhere"], indirect=True)
def test_a_command_that_needs_a_store_makes_none(ebbtide: Command, words: list[str]) -> None:
    for _ in range(2):
        error = ebbtide.run(*words).exception
        assert isinstance(error, SettingsError)
        assert "EBBTIDE_DATA_DIR" in str(error) and str(ebbtide.folder) in str(error)
        assert not ebbtide.folder.exists()


@pytest.mark.parametrize("ebbtide", ["alone"], indirect=True)
@pytest.mark.parametrize(
    ("name", "url"), [("EVENTS", "duckdb:///else.duckdb"), ("EVENTS", "chdb:///else"),
                      ("STATE", "sqlite:///else.sqlite")]
)  # fmt: skip
def test_a_store_elsewhere_that_is_missing_is_named_by_its_setting(
    ebbtide: Command, monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    monkeypatch.setenv(f"EBBTIDE_{name}_URL", url)
    error = ebbtide.run("keys", "list").exception
    assert isinstance(error, SettingsError)
    assert f"EBBTIDE_{name}_URL names {Path.cwd() / 'else'}" in str(error)
    assert not list(Path.cwd().glob("else*"))


@pytest.mark.parametrize("ebbtide", ["alone"], indirect=True)
def test_a_forgotten_address_of_the_events_does_not_read_as_no_events(ebbtide: Command) -> None:
    (ebbtide.folder / "events.duckdb").unlink()  # as where they live elsewhere
    error = ebbtide.run("events").exception
    assert "EBBTIDE_EVENTS_URL" in str(error)
    assert not (ebbtide.folder / "events.duckdb").exists()


@pytest.mark.parametrize("ebbtide", ["nowhere"], indirect=True)
def test_events_may_begin_a_folder_and_it_is_said(ebbtide: Command) -> None:
    first = ebbtide.run("emit", "--example", "LOGIN")
    assert first.stdout.startswith("stored")
    assert first.stderr == f"A new data folder: {ebbtide.folder}\n"
    assert ebbtide.run("emit", "--example", "LOGIN").stderr == ""
    Path("events.jsonl").write_text(json.dumps(EVENT))
    assert "A new" not in ebbtide.run("import", "events.jsonl").stderr
    assert len(ebbtide.json("events")["events"]) == 2


def test_a_dry_run_sends_nothing(ebbtide: Command) -> None:
    printed = ebbtide("emit", "LOGIN", "-t", "acme", "--set", "n=1", "--dry-run")
    assert json.loads(printed) == [
        {"event_type": "LOGIN", "tenant_id": "acme", "metadata": {"n": 1}}
    ]
    assert ebbtide.json("events")["events"] == []


# -- quarantine --------------------------------------------------------------------------------


def test_waiting_events_are_listed_released_and_given_up(ebbtide: Command) -> None:
    assert ebbtide("quarantine", "list") == "Nothing waits.\n"
    bad = [EVENT | {"event_id": f"b-{i}", "severity": 99} for i in range(3)]
    Path("bad.json").write_text(json.dumps([*bad, EVENT | {"colour": "[bold]\x1b[31m"}]))
    ebbtide("emit", "-f", "bad.json", code=2)
    listed = ebbtide("quarantine", "list")
    assert "4 wait: 3 invalid_severity, 1 unknown_field:colour" in listed
    assert "\x1b" not in listed and "[bold]" in listed
    assert "1 unknown_field" not in ebbtide("quarantine", "list", "--reason", "invalid_severity")
    body = ebbtide.json("quarantine", "list", "--tenant", "acme", "--limit", "2")
    assert (body["total"], len(body["items"])) == (4, 2)
    assert ebbtide("quarantine", "release", "--reason", "invalid_severity", code=2) == (
        "Tried 3: released 0, 3 still wait: 3 invalid_severity.\n"
    )
    first = body["items"][0]["id"]
    assert json.loads(ebbtide("quarantine", "release", str(first), "--json", code=2))["tried"] == 1
    assert ebbtide("quarantine", "discard", str(first)) == "Discarded 1.\n"
    assert ebbtide("quarantine", "release", str(first)) == ("Tried 0: released 0, 0 still wait.\n")
    for step in ("discard", "release"):
        slip = ebbtide.run("quarantine", step, str(body["items"][1]["id"]), "987654")
        assert slip.exit_code == 1 and "no such row in quarantine: 987654" in str(slip.exception)
    assert ebbtide.json("quarantine", "list")["total"] == 3
    check_folder(ebbtide)


# -- tenants -----------------------------------------------------------------------------------


def test_tenants_are_listed_shown_and_erased(ebbtide: Command) -> None:
    assert "No tenants yet" in ebbtide("tenants", "list")
    for tenant in ("acme", "a/b [x]"):
        event = EVENT | {"tenant_id": tenant}
        ebbtide("emit", "-f", "-", typed=json.dumps(event))
    listed = ebbtide("tenants", "list")
    assert "acme" in listed and "a/b [x]" in listed
    assert [t["tenant_id"] for t in ebbtide.json("tenants", "list")["tenants"]] == [
        "a/b [x]", "acme",
    ]  # fmt: skip
    shown = json.loads(ebbtide("tenants", "show", "a/b [x]"))
    assert shown["tenant_id"] == "a/b [x]"
    assert json.loads(ebbtide("tenants", "show", shown["tenant_uuid"])) == shown
    refused = ebbtide.run("tenants", "erase", "acme", typed="acm\n")
    assert refused.exit_code == 2 and "nothing was erased" in refused.output
    assert "Erased acme: 1 events." in ebbtide("tenants", "erase", "acme", typed="acme\n")
    assert ebbtide.json("tenants", "erase", "a/b [x]", "--yes")["erased_events"] == 1
    assert "No tenants yet" in ebbtide("tenants", "list")
    assert ebbtide.json("events")["events"] == []
    check_folder(ebbtide)


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_a_file_of_tenants_is_entered(ebbtide: Command, tmp_path: Path) -> None:
    file = tmp_path / "tenants.json"
    contacts = [{"name": "Ada", "email": "ada@example.com", "role": None}]
    said: dict[str, object] = {
        "name": "Acme",
        "price_usd": 49.5,
        "plan": None,
        "contacts": contacts,
    }
    known = {"tenant_id": "acme", **said}
    file.write_text(json.dumps({"simulated": True, "tenants": [known, {"tenant_id": ".."}]}))
    assert ebbtide("tenants", "enter", str(file)) == "Entered 2 tenants.\n"
    first = {one["tenant_id"]: one for one in ebbtide.json("tenants", "list")["tenants"]}
    assert set(first) == {"acme", ".."}
    assert {name: first["acme"][name] for name in said} == said
    file.write_text(json.dumps([{"tenant_id": "acme", "name": None, "plan": "pro"}]))
    assert ebbtide.json("tenants", "enter", str(file)) == {"num_entered": 1}
    after = json.loads(ebbtide("tenants", "show", "acme"))
    assert (after["name"], after["plan"]) == ("Acme", "pro")  # null says nothing
    for wrong in ("{", "3", '[{"name": "x"}]'):
        file.write_text(wrong)
        assert ebbtide.run("tenants", "enter", str(file)).exit_code == 2
    assert ebbtide.run("tenants", "enter", str(tmp_path / "none")).exit_code == 2


# -- simulate, help, version -------------------------------------------------------------------


def test_a_company_is_simulated_into_a_folder(ebbtide: Command) -> None:
    words = ["simulate", "--seed", "3", "--tenants", "6", "--days", "4", "--scale", "0.5",
             "--end", "2026-03-12T00:00:00Z"]  # fmt: skip
    report = ebbtide.json(*words, "--out", "one")
    assert report["simulated"] is True
    lines = Path(report["events"]).read_text().splitlines()
    assert len(lines) == report["num_events"] > 100
    assert "simulated" in Path(report["truth"]).read_text()
    printed = ebbtide(*words, "--out", "two")
    assert f"Simulated {report['num_events']:,} events of 6 customers" in printed
    assert Path("two/events.jsonl").read_bytes() == Path("one/events.jsonl").read_bytes()
    assert ebbtide.run("simulate", "--end", "soon").exit_code == 2
    check_folder(ebbtide)


COMMANDS = [
    [], ["serve"], ["demo"], ["emit"], ["import"], ["events"], ["simulate"],
    ["keys"], ["keys", "create"], ["keys", "list"], ["keys", "revoke"],
    ["interventions"], ["interventions", "list"], ["interventions", "accept"],
    ["interventions", "dismiss"], ["interventions", "done"], ["interventions", "undo"],
    ["quarantine"], ["quarantine", "list"], ["quarantine", "release"], ["quarantine", "discard"],
    ["tenants"], ["tenants", "list"], ["tenants", "show"], ["tenants", "erase"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("ebbtide", ["nowhere"], indirect=True)
def test_every_command_explains_itself(ebbtide: Command, words: list[str]) -> None:
    text = ebbtide(*words, "--help")
    assert "Usage:" in text
    assert len(text.splitlines()) > 5
    assert not ebbtide.folder.exists()


@pytest.mark.parametrize("ebbtide", ["alone"], indirect=True)
def test_the_version_is_printed(ebbtide: Command) -> None:
    assert ebbtide("--version") == f"ebbtide {__version__}\n"


# -- another server ----------------------------------------------------------------------------


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_a_named_server_is_asked_with_a_named_key(
    ebbtide: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running = find_server(ebbtide.folder)
    assert running is not None
    made = ebbtide.json("keys", "create", "r", "-s", "read")
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path / "nothing-here"))
    monkeypatch.setenv("EBBTIDE_URL", running.url)
    assert ebbtide.run("events").exception is not None  # no key
    monkeypatch.setenv("EBBTIDE_API_KEY", made["key"])
    assert ebbtide("events") == "No events match.\n"
    refused = ebbtide.run("keys", "list").exception
    assert "may not do that" in str(refused)
    assert made["key"] not in str(refused)
    monkeypatch.setenv("EBBTIDE_URL", "http://127.0.0.1:9")
    assert "no answer from http://127.0.0.1:9" in str(ebbtide.run("events").exception)
    assert not (tmp_path / "nothing-here").exists()


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_proxies_of_the_environment_are_not_asked(
    ebbtide: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ebbtide("events") == "No events match.\n"
    assert "stored" in ebbtide("emit", "LOGIN", "-t", "acme")


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_the_key_of_the_command_line_dies_with_the_server(ebbtide: Command) -> None:
    running = find_server(ebbtide.folder)
    assert running is not None
    answer = httpx2.get(
        f"{running.url}/v1/keys", headers={"X-API-Key": running.key}, trust_env=False
    )
    assert answer.status_code == 200
    assert running.key not in answer.text
    assert all(key["key_id"] != "local" for key in answer.json()["keys"])
