"""Is it alive, is it ready: for orchestrators; says nothing of what is stored."""

from __future__ import annotations

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ebbtide.api.problems import problem
from ebbtide.api.services import services_of
from ebbtide.domain.errors import EbbtideError

log = structlog.get_logger(__name__)


async def live(_: Request) -> Response:
    """200 while the process serves requests."""
    return JSONResponse({"status": "live"})


async def ready(request: Request) -> Response:
    """200 when both stores answer and the writer runs, else 503.

    It also says what an acknowledgement is worth here: that depends on the engine, and of
    PostgreSQL on how its server is set up.
    """
    services = services_of(request)
    if not services.writer.is_alive:
        return problem(503, "not-ready", "The writer has stopped", headers={"Retry-After": "5"})
    try:
        await run_in_threadpool(services.events.ping)
        await run_in_threadpool(services.state.ping)
    except EbbtideError as error:
        log.warning("health.not_ready", code=error.code, detail=str(error))
        return problem(503, "not-ready", "A store cannot answer", headers={"Retry-After": "5"})
    durability = services.events.durability
    return JSONResponse(
        {
            "status": "ready",
            "events": {
                "engine": services.events.engine,
                "survives_process_kill": durability.survives_process_kill,
                "survives_power_cut": durability.survives_power_cut,
                "durability": durability.note,
            },
            "state": {"engine": services.state.engine},
        }
    )
