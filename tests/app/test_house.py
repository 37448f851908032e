"""A house is built from its settings: defaults, refusals, the first key, and coming back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ebbtide.app.house import House
from ebbtide.app.main import greet, read_settings
from ebbtide.app.serving import bind, url_of
from ebbtide.app.settings import Settings
from ebbtide.app.stores import open_events, open_state
from ebbtide.cli.output import console
from ebbtide.domain.errors import (
    EbbtideError,
    MappingError,
    SettingsError,
    StoreUnavailable,
)
from ebbtide.domain.keys import Scope

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
OWN_KEY = "a-key-for-this-test-only-0123456789"


def house(folder: Path, now: datetime = NOW, **settings: Any) -> House:
    """A house on a folder at a fixed moment."""
    return House(Settings(data_dir=folder, **settings), lambda: now)


# -- settings ----------------------------------------------------------------------------------


def test_defaults_need_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8321)
    assert settings.effective_events_url == f"duckdb:///{tmp_path}/data/events.duckdb"
    assert settings.effective_state_url == f"sqlite:///{tmp_path}/data/state.sqlite"
    assert settings.effective_sources_dir == Path("data/sources")
    assert not list(tmp_path.iterdir())


def test_words_of_the_command_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBTIDE_PORT", "1234")
    monkeypatch.setenv("EBBTIDE_HOST", "::1")
    assert read_settings().port == 1234
    settings = read_settings(port=4321, host=None)
    assert (settings.port, settings.host) == (4321, "::1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "canary"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("DUCKDB_MEMORY_MB", "12"),
        ("RECEIVE_DEADLINE_S", "0"),
        ("HEADER_DEADLINE_S", "soon-canary"),
    ],
)
def test_a_bad_value_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"EBBTIDE_{name}", value)
    with pytest.raises(SettingsError) as said:
        read_settings()
    assert f"EBBTIDE_{name}" in str(said.value)
    assert "canary" not in str(said.value)


def test_secrets_do_not_show() -> None:
    settings = Settings(bootstrap_key=SecretStr(OWN_KEY), api_key=SecretStr(OWN_KEY))
    assert OWN_KEY not in repr(settings) + str(settings) + str(settings.model_dump())


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"events_url": "mysql://u:canary@localhost/db"}, SettingsError, "EBBTIDE_EVENTS_URL"),
        ({"events_url": "events.duckdb"}, SettingsError, "EBBTIDE_EVENTS_URL"),
        ({"events_url": ""}, None, ""),
        ({"events_url": "duckdb:///"}, SettingsError, "file path"),
        ({"events_url": "duckdb://host/file"}, SettingsError, "file path"),
        ({"events_url": "duckdb:///what?.duckdb"}, SettingsError, "no options"),
        ({"events_url": "duckdb:///what%3F.duckdb"}, SettingsError, "a question mark: what?.d"),
        ({"state_url": "sqlite:///state?mode=ro"}, SettingsError, "no options"),
        ({"events_url": "chdb:///"}, SettingsError, "file path"),
        ({"events_url": "chdb://host/folder"}, SettingsError, "file path"),
        ({"state_url": "redis://canary"}, SettingsError, "EBBTIDE_STATE_URL"),
        ({"state_url": "sqlite:///"}, SettingsError, "file path"),
        ({"sources_dir": Path("/nowhere/at/all")}, MappingError, "/nowhere/at/all"),
        ({"bootstrap_key": SecretStr("canary")}, SettingsError, "EBBTIDE_BOOTSTRAP_KEY"),
        ({"bootstrap_key": SecretStr("canary " * 6)}, SettingsError, "EBBTIDE_BOOTSTRAP_KEY"),
        ({"bootstrap_key": SecretStr("ключ" * 10)}, SettingsError, "EBBTIDE_BOOTSTRAP_KEY"),
    ],
    ids=str,
)
def test_a_house_that_cannot_be_built_says_why_and_leaves_the_folder_free(
    tmp_path: Path, settings: dict[str, Any], error: type[EbbtideError] | None, said: str
) -> None:
    folder = tmp_path / "data"
    if error is None:
        house(folder, **settings).close()
    else:
        with pytest.raises(error) as raised:
            house(folder, **settings)
        assert said in str(raised.value)
        assert "canary" not in str(raised.value)
    house(folder).close()


def test_the_stores_stand_where_the_urls_say(tmp_path: Path) -> None:
    elsewhere = {
        "events_url": f"duckdb:///{tmp_path}/other/place/my%20events.duckdb",
        "state_url": f"sqlite:///{tmp_path}/state%20here%3F/s.sqlite",
    }
    house(tmp_path / "data", **elsewhere).close()
    assert (tmp_path / "other/place/my events.duckdb").exists()
    assert (tmp_path / "state here?/s.sqlite").exists()
    assert not list((tmp_path / "data").glob("*.duckdb"))


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite", "chdb"])
def test_three_slashes_are_relative_and_four_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "?database=mine" if scheme == "chdb" else ""
    for slashes, place in (("///", "here/a b"), ("////", f"{tmp_path}/there/a b".lstrip("/"))):
        url = f"{scheme}:{slashes}{place.replace(' ', '%20')}{options}"
        if scheme == "sqlite":
            open_state(Settings(state_url=url)).close()
        else:
            store = open_events(Settings(events_url=url))
            store.migrate()
            store.close()
    assert (tmp_path / "here" / "a b").exists()
    assert (tmp_path / "there" / "a b").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["here", "there"]


def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "100%25 of it #1"
    house(folder).close()
    assert (folder / "events.duckdb").exists() and (folder / "state.sqlite").exists()


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("events.duckdb", "state.sqlite"):
        folder = tmp_path / name
        folder.mkdir()
        notes = b"my notes of last summer" * 500
        (folder / name).write_bytes(notes)
        with pytest.raises(StoreUnavailable, match=name):
            house(folder)
        assert (folder / name).read_bytes() == notes


# -- keys --------------------------------------------------------------------------------------


def test_the_first_key_is_made_once(tmp_path: Path) -> None:
    with house(tmp_path) as first:
        key = first.first_key
        assert key is not None
        (record,) = first.services.state.keys.list()
        assert record.scopes == {Scope.ADMIN}
        assert first.services.authenticator.check(key, "here").key_id == record.key_id
    with house(tmp_path) as second:
        assert second.first_key is None
        assert second.services.authenticator.check(key, "here").key_id == record.key_id
        second.services.state.keys.revoke(record.key_id, NOW)
    # Locked out: the next start lets the operator in again.
    with house(tmp_path) as third:
        assert third.first_key not in (None, key)


def test_an_expired_admin_key_counts_as_none(tmp_path: Path) -> None:
    with house(tmp_path) as first:
        first.services.state.keys.create(
            "for a day", {Scope.ADMIN}, NOW, expires_at=NOW + timedelta(days=1)
        )
        for record in first.services.state.keys.list():
            if record.name == "first admin key":
                first.services.state.keys.revoke(record.key_id, NOW)
    with house(tmp_path, NOW + timedelta(hours=23)) as second:
        assert second.first_key is None
    with house(tmp_path, NOW + timedelta(days=1)) as third:
        assert third.first_key is not None


def test_a_command_makes_no_key_that_nobody_would_see(tmp_path: Path) -> None:
    with House(Settings(data_dir=tmp_path), make_first_key=False) as quiet:
        assert quiet.first_key is None
        assert quiet.services.state.keys.list() == []
    with house(tmp_path) as first:
        assert first.first_key is not None


def test_the_operators_own_key_is_the_first_one(tmp_path: Path) -> None:
    own = {"bootstrap_key": SecretStr(OWN_KEY)}
    with house(tmp_path, **own) as first:
        assert first.first_key is None
        (record,) = first.services.state.keys.list()
        assert first.services.authenticator.check(OWN_KEY, "here").scopes == {Scope.ADMIN}
        first.services.state.keys.revoke(record.key_id, NOW)
    with house(tmp_path, **own) as second:  # revoked stays revoked, whatever the environment says
        (again,) = second.services.state.keys.list()
        assert again.revoked_at == NOW


# -- coming back -------------------------------------------------------------------------------


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a directory entry was lost after its event was stored."""
    from ebbtide.ingest.decode import decode_events

    with house(tmp_path) as first:
        incoming = decode_events(
            b'[{"event_id":"s","tenant_id":"Acme","event_type":"SUBSCRIPTION_STARTED",'
            b'"timestamp":"2026-03-01T00:00:00Z","metadata":{"plan":"pro","price_usd":5}}]'
        )
        first.services.ingestor.submit(incoming, door="events", received_at=NOW).result()
        uuid = first.services.state.tenants.list()[0].tenant_uuid
        assert first.services.state.tenants.delete(uuid)
    yield tmp_path


def test_a_lost_directory_entry_is_found_in_the_events(filled: Path) -> None:
    with house(filled) as again:
        (tenant,) = again.services.state.tenants.list()
        assert (tenant.tenant_id, tenant.plan, tenant.price_usd) == ("Acme", "pro", 5)


def test_a_closed_house_takes_no_more_and_its_folder_is_free(tmp_path: Path) -> None:
    first = house(tmp_path)
    first.close()
    with pytest.raises(StoreUnavailable, match="shutting down"):
        first.services.ingestor.submit([], door="events", received_at=NOW)
    house(tmp_path).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_free_port_is_bound_and_named(host: str) -> None:
    try:
        listener = bind(host, 0)
    except SettingsError:
        pytest.skip(f"this machine has no {host}")
    with listener:
        url = url_of(listener)
        assert url.startswith("http://[::1]:" if ":" in host else "http://127.0.0.1:")
        with pytest.raises(SettingsError, match="EBBTIDE_PORT"):
            bind(host, listener.getsockname()[1])


def test_a_start_without_the_key_of_recordings_says_that_nothing_is_recorded(
    tmp_path: Path,
) -> None:
    for key in (SecretStr("a2" * 21 + "s="), None):
        with house(tmp_path, recording_key=key) as one, console.capture() as said:
            recorder = one.services.guard.recorder
            if key is not None:
                recorder.choose("acme", is_on=True, retention_days=7, at=NOW, by="key_1")
            greet(one, "http://127.0.0.1:1")
        assert ("nothing is: set EBBTIDE_RECORDING_KEY_FILE" in said.get()) is (key is None)
