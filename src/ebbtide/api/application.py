"""The HTTP door: every route, what each asks of its caller, and the answers to errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ebbtide import __version__
from ebbtide.api import problems
from ebbtide.api.customer_path import settle_customer_path
from ebbtide.api.invalid import on_invalid
from ebbtide.api.openapi import INGEST_PATHS, say_simulated
from ebbtide.api.routes import (
    alerts,
    backfill,
    brief,
    bulk,
    calls,
    changes,
    cloudevents,
    customers,
    events,
    explain,
    exports,
    freezes,
    guard_proxy,
    health,
    incidents,
    infra,
    interventions,
    jobs,
    keys,
    metrics,
    ops_changes,
    ops_events,
    ops_product,
    ops_revenue,
    playbooks,
    policies,
    policy_replays,
    promotions,
    pulse,
    quarantine,
    recordings,
    replays,
    segment,
    stored_events,
    stripe_webhook,
    tenants,
)
from ebbtide.api.services import Services
from ebbtide.domain.errors import EbbtideError

Handler = Callable[[Request], Awaitable[Response]]


async def _root(_: Request) -> Response:
    return JSONResponse({"name": "ebbtide", "api": "/openapi.json", "ready": "/health/ready"})


#: Routes on the hot path or outside of JSON: plain handlers, (methods, path, handler).
PLAIN_ROUTES: list[tuple[list[str], str, Handler]] = [
    (["GET"], "/", _root),
    (["POST"], "/v1/events", events.post_events),
    (["POST"], "/v1/bulk", bulk.post_bulk),
    (["POST"], "/v1/cloudevents", cloudevents.post_cloudevents),
    (["POST"], "/v1/webhooks/stripe", stripe_webhook.post_stripe),
    (["POST"], "/v1/chat/completions", guard_proxy.post_chat),
    (["POST"], "/v1/embeddings", guard_proxy.post_embeddings),
    (["POST"], "/v1/calls", calls.post_calls),
    (["POST"], "/v1/ingest/litellm", calls.post_litellm),
    (["POST"], "/v1/otlp/v1/traces", calls.post_traces),
    *[(["POST"], f"/v1/{call}", segment.post_call) for call in segment.CALLS],
    (["GET"], "/health/live", health.live),
    (["GET"], "/health/ready", health.ready),
    (["GET"], "/metrics", metrics.metrics),
]


#: Routes that pass by the framework's layers.
DIRECT: dict[str, Handler] = {
    "/v1/events": events.post_events,
    "/v1/chat/completions": guard_proxy.post_chat,
    "/v1/embeddings": guard_proxy.post_embeddings,
}

#: The framework can report requests to a collector that the environment names; ours never does.
_SILENT: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def build_application(services: Services, *, is_simulated: bool = False) -> Application:
    """The ASGI application over one set of services.

    Args:
        is_simulated: the data is a sample company's; every answer says so in a header, and every
            JSON object of a described route in its first field.
    """
    app = Application(
        title="Ebbtide",
        version=__version__,
        description="One stream of events in, seven founder questions answered.",
        docs_url=None,  # the stock pages load scripts from other hosts
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would be built from a Host header that anybody can set
        telemetry=_SILENT,
    )
    app.state.services = services
    app.state.is_simulated = is_simulated
    if is_simulated:
        app.answer_headers = (*_HEADERS, _SIMULATED)
    for methods, path, handler in PLAIN_ROUTES:
        app.router.routes.append(Route(path, handler, methods=methods))
    for module in (stored_events, quarantine, tenants, keys, bulk, changes):
        app.include_router(module.router)
    for module in (
        customers,
        playbooks,
        interventions,
        ops_events,
        pulse,
        incidents,
        ops_changes,
        ops_revenue,
        ops_product,
        jobs,
        backfill,
        infra,
        alerts,
        brief,
        freezes,
        policies,
        recordings,
        replays,
        policy_replays,
        promotions,
        exports,
        explain,
    ):
        app.include_router(module.router)
        app.include_router(module.router, prefix="/api/v1")  # where the first callers look for it
    app.include_router(infra.gauges_router)
    app.include_router(exports.public_router)
    app.router.routes.append(Route("/openapi.json", _openapi, methods=["GET"]))
    app.add_exception_handler(EbbtideError, problems.on_ebbtide_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, problems.on_fault)
    return app


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi_of(request.app))


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the whole application, plain routes included."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        for path, operations in INGEST_PATHS.items():
            document["paths"].setdefault(path, {}).update(operations)
        components = document.setdefault("components", {})
        say_simulated(document)
        components["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"ApiKey": []}, {"Bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema


#: Headers that every answer carries, errors included.
_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"private, no-store"),
)

_SIMULATED = (b"x-ebbtide-simulated", b"true")


class Application(FastAPI):
    """The framework's application behind a front door of our own.

    The door adds headers to every answer, also to those of the framework's own error handling,
    and takes the busiest routes straight to their handlers: the framework's layers would cost a
    tenth of what such a request costs in all.
    """

    answer_headers = _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return

        settle_customer_path(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name for name, _ in headers}
                headers.extend(pair for pair in self.answer_headers if pair[0] not in present)
            await send(message)

        direct = DIRECT.get(scope["path"]) if scope["method"] == "POST" else None
        if direct is not None:
            scope["app"] = self
            answer = await _guarded(direct, Request(scope, receive))
            await answer(scope, receive, send_with_headers)
        else:
            try:
                await super().__call__(scope, receive, send_with_headers)
            # Whatever it is: the framework raises again what `problems.on_fault` has answered with
            # an id and logged with its trace, and the server library would log it a second time.
            # Nothing else stops here.
            except Exception:  # answered and logged already, or raised again
                if not problems.is_answered(scope):
                    raise


async def _guarded(handler: Handler, request: Request) -> Response:
    """A handler's answer, with its errors translated as the framework would do it."""
    try:
        return await handler(request)
    except EbbtideError as error:
        return await problems.on_ebbtide_error(request, error)
    # The last line before the wire: whatever it is, the caller gets an id and the log the trace.
    except Exception as error:  # noqa: BLE001
        return await problems.on_fault(request, error)
