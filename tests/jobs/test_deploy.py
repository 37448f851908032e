"""The unit files: no secret in them, shut in, and saying what the command understands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebbtide.app.settings import Settings
from ebbtide.catalog.schedule import load_schedules
from unit_files import DEPLOY, EXPOSURE_MAX, systemd_analyze, text_of

SERVICE = DEPLOY / "systemd" / "ebbtide-jobs.service"
TIMER = DEPLOY / "systemd" / "ebbtide-jobs.timer"
CRON_JOB = DEPLOY / "kubernetes" / "ebbtide-jobs.yaml"
FILES = [SERVICE, TIMER, CRON_JOB]
OWNER = "customer-intelligence"


def test_the_service_is_shut_in() -> None:
    said = systemd_analyze("security", "--offline=true", "--no-pager", str(SERVICE))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE_MAX


def test_the_timer_falls_on_the_quarters_and_makes_up_for_what_was_missed() -> None:
    text = text_of(TIMER)
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", text, re.MULTILINE)
    assert "Normalized form: *-*-* *:00/15:00" in systemd_analyze("calendar", calendar)
    assert "Persistent=true" in text  # which systemd heeds for OnCalendar only
    assert not re.search(r"^On(Boot|UnitActive|Startup)Sec=", text, re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_stands_in_them(file: Path) -> None:
    text = text_of(file)
    assert not re.search(r"ebb_[a-z2-7]{12}_", text)
    assert not re.search(r"(KEY|TOKEN|PASSWORD|SECRET)\s*[=:]\s*\S", text)


@pytest.mark.parametrize("file", [SERVICE, CRON_JOB], ids=lambda file: file.name)
def test_they_run_jobs_and_name_settings_that_there_are(file: Path) -> None:
    text = text_of(file)
    (words,) = re.findall(r"ebbtide jobs run ([a-z -]+)", text)
    assert words.split() == list(load_schedules()), "nobody else calls them without a scheduler"
    for name in re.findall(r"EBBTIDE_(\w+)", text):
        assert name.lower() in Settings.model_fields


def test_the_service_waits_as_long_as_all_its_jobs_may_take() -> None:
    (minutes,) = re.findall(r"^TimeoutStartSec=(\d+)min$", text_of(SERVICE), re.MULTILINE)
    allowed_s = sum(one.deadline.total_seconds() + 60 for one in load_schedules().values())
    assert allowed_s <= int(minutes) * 60
    assert "Type=oneshot" in text_of(SERVICE)


def test_the_cron_job_neither_piles_up_nor_hangs() -> None:
    text = text_of(CRON_JOB)
    found = dict(re.findall(r"^\s*(\w+): (\S.*)$", text, re.MULTILINE))
    assert found["concurrencyPolicy"] == "Forbid"
    assert found["schedule"] == '"*/15 * * * *"' and found["timeZone"] == "Etc/UTC"
    assert int(found["startingDeadlineSeconds"]) >= 10  # below that the controller may skip it
    assert int(found["activeDeadlineSeconds"]) < 15 * 60
    assert (found["backoffLimit"], found["restartPolicy"]) == ("0", "Never")
    assert found["runAsNonRoot"] == found["readOnlyRootFilesystem"] == "true"
    assert found["allowPrivilegeEscalation"] == found["automountServiceAccountToken"] == "false"
