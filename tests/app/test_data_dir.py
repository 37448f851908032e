"""A data folder has one owner at a time, and the lock dies with its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ebbtide.app.data_dir import (
    LOCK_FILE,
    SERVER_FILE,
    DataDir,
    RunningServer,
    check_free,
    find_server,
    is_owned,
)
from ebbtide.domain.errors import DataDirInUse, SettingsError

SERVER = RunningServer(4711, "http://127.0.0.1:8321", "a-key-of-this-process")


def test_one_owner_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert not is_owned(folder)
    check_free(folder)
    assert not folder.exists()  # looking makes nothing
    for _ in range(2):
        with DataDir(folder) as mine:
            mine.take()
            assert is_owned(folder)
        assert not is_owned(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with DataDir(tmp_path) as mine:
        mine.take()
        for attempt in (DataDir(tmp_path).take, lambda: check_free(tmp_path)):
            with pytest.raises(DataDirInUse, match="another Ebbtide uses the data folder") as said:
                attempt()
            assert str(tmp_path) in str(said.value)
        mine.announce(SERVER)
        for attempt in (DataDir(tmp_path).take, lambda: check_free(tmp_path)):
            with pytest.raises(DataDirInUse, match=r"at http://127.0.0.1:8321 \(process 4711\)"):
                attempt()
        assert find_server(tmp_path) == SERVER
        with DataDir(tmp_path):  # closing what was never taken takes nothing away
            pass
        assert is_owned(tmp_path)
        assert find_server(tmp_path) == SERVER
    assert find_server(tmp_path) is None
    assert not (tmp_path / SERVER_FILE).exists()


def test_the_announcement_is_for_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "server.new").write_text("left by a start that was killed")
    with DataDir(tmp_path) as mine:
        mine.take()
        mine.announce(SERVER)
        assert (tmp_path / SERVER_FILE).stat().st_mode & 0o777 == 0o600
        assert not (tmp_path / "server.new").exists()


def test_a_killed_owner_leaves_no_lock_and_no_address(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        "from ebbtide.app.data_dir import DataDir, RunningServer;"
        "d = DataDir(Path(sys.argv[1])); d.take();"
        "d.announce(RunningServer(1, 'http://127.0.0.1:1', 'old')); print('ready', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
        assert is_owned(tmp_path)
        owner.kill()
        owner.wait()
    assert not is_owned(tmp_path)
    assert find_server(tmp_path) is not None
    with DataDir(tmp_path) as mine:
        mine.take()
        assert find_server(tmp_path) is None  # the new one has not said yet where it is


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"pid": 1}', '{"pid": "x", "url": "u", "key": "k"}', "null"]
)
def test_an_announcement_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / SERVER_FILE).write_text(text)
    assert find_server(tmp_path) is None


def test_lookers_do_not_keep_an_owner_out(tmp_path: Path) -> None:
    with DataDir(tmp_path) as mine:
        mine.take()
    stopping = threading.Event()

    def look() -> None:
        while not stopping.is_set():
            is_owned(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with DataDir(tmp_path) as mine:
                mine.take()
            time.sleep(0.001)
    finally:
        stopping.set()
        for looker in lookers:
            looker.join()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    for folder in (file, file / "inside"):
        with pytest.raises(SettingsError, match=str(folder)):
            DataDir(folder).take()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SettingsError, match=str(tmp_path)):
            DataDir(tmp_path).take()
    finally:
        tmp_path.chmod(0o700)


def test_what_is_announced_is_plain_json(tmp_path: Path) -> None:
    with DataDir(tmp_path) as mine:
        mine.take()
        mine.announce(SERVER)
        assert json.loads((tmp_path / SERVER_FILE).read_text()) == {
            "pid": 4711,
            "url": "http://127.0.0.1:8321",
            "key": "a-key-of-this-process",
        }
        assert (tmp_path / LOCK_FILE).exists()
