"""All jobs by name: each table of ``catalog/schedules.toml`` has a module here with its body.

The job ``compute-stickiness`` lives in ``jobs/compute_stickiness.py``, which has a function
``make_job(stores: Stores) -> Job``. Nothing else has to be registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

from ebbtide.catalog.schedule import Schedule
from ebbtide.domain.errors import CatalogError
from ebbtide.jobs.job import Job, ScheduledJob, Stores


def make_jobs(schedules: Mapping[str, Schedule], stores: Stores) -> Mapping[str, ScheduledJob]:
    """Every scheduled job with its body, in the order of the schedules.

    Raises:
        CatalogError: a job has no module of its name, or its module makes no job.
    """
    return MappingProxyType(
        {
            name: ScheduledJob(schedule, _make_body(name, stores))
            for name, schedule in schedules.items()
        }
    )


def _make_body(name: str, stores: Stores) -> Job:
    module = f"{__package__}.{name.replace('-', '_')}"
    if find_spec(module) is None:
        raise CatalogError(f"schedules.toml: {name}: there is no module {module}")
    make_job = getattr(import_module(module), "make_job", None)
    if make_job is None:
        raise CatalogError(f"schedules.toml: {name}: {module} has no function make_job")
    body: Job = make_job(stores)
    return body
