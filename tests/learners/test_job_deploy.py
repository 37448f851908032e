"""The unit files of the inactivity job: shut in, in time, and without a secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebbtide.learners.settings import LearnerSettings
from unit_files import DEPLOY, EXPOSURE_MAX, systemd_analyze, text_of

SERVICE = DEPLOY / "systemd" / "ebbtide-detect-inactivity.service"
TIMER = DEPLOY / "systemd" / "ebbtide-detect-inactivity.timer"
CRON_JOB = DEPLOY / "kubernetes" / "detect-inactivity.yaml"
JOBS = DEPLOY / "systemd" / "ebbtide-jobs.service"
_OWN = r"^(IPAddress\w+|RestrictAddressFamilies)="  # what a database needs beyond a loopback


def test_the_service_is_shut_in_like_the_other_one() -> None:
    said = systemd_analyze("security", "--offline=true", "--no-pager", str(SERVICE))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None and float(found[1]) <= EXPOSURE_MAX, said
    hardening = [
        text_of(file).partition("DynamicUser=")[2].splitlines() for file in (JOBS, SERVICE)
    ]
    mine, theirs = ({line for line in one if not re.match(_OWN, line)} for one in hardening)
    assert mine == theirs
    assert "Type=oneshot" in text_of(SERVICE)


def test_the_timer_rings_once_a_day_and_makes_up_for_what_was_missed() -> None:
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", text_of(TIMER), re.MULTILINE)
    assert "Normalized form: *-*-* 05:00:00 UTC" in systemd_analyze("calendar", calendar)
    assert "Persistent=true" in text_of(TIMER)


def test_the_cron_job_neither_piles_up_nor_hangs_nor_is_root() -> None:
    text = text_of(CRON_JOB)
    found = dict(re.findall(r"^\s*(?:- )?(\w+): (\S.*)$", text, re.MULTILINE))
    assert (found["schedule"], found["timeZone"]) == ('"0 5 * * *"', "Etc/UTC")
    assert found["concurrencyPolicy"] == "Forbid"
    assert 0 < int(found["activeDeadlineSeconds"]) <= 3600
    assert int(found["startingDeadlineSeconds"]) >= 10  # below that the controller may skip it
    assert found["restartPolicy"] == "Never"  # which podFailurePolicy asks for
    assert found["runAsNonRoot"] == found["readOnlyRootFilesystem"] == "true"
    assert found["allowPrivilegeEscalation"] == found["automountServiceAccountToken"] == "false"
    # The grace period belongs to the pod; in a container it is no field at all.
    assert re.search(r"^ {10}terminationGracePeriodSeconds: 30$", text, re.MULTILINE)


@pytest.mark.parametrize("file", [SERVICE, TIMER, CRON_JOB], ids=lambda file: file.name)
def test_no_secret_stands_in_them(file: Path) -> None:
    assert "://" not in text_of(file)
    assert not re.search(r"(KEY|TOKEN|PASSWORD|SECRET)\s*[=:]\s*\S", text_of(file))


def test_the_variables_are_those_that_there_are() -> None:
    names = re.findall(r"name: ([A-Z_]+)$", text_of(CRON_JOB), re.MULTILINE)
    assert "DATABASE_URL" in names
    assert {name.lower() for name in names} <= set(LearnerSettings.model_fields)
    assert re.search(r"secretKeyRef:\n\s+name: \S+\n\s+key: \S+", text_of(CRON_JOB))
