"""Who may do what: keys, scopes, and a list of all routes that no route is missing from."""

from __future__ import annotations

import base64
import http.client
import itertools
import socket
import time
from typing import Any, NamedTuple

import pytest
from api_server import JSON, Answer, Client, Server, event
from fastapi.routing import iter_route_contexts

from ebbtide.api.application import build_application
from ebbtide.ingest.segment import CALLS

OPEN, INGEST, READ, JOBS_RUN, ADMIN = "open", "ingest", "read", "jobs:run", "admin"
WRITE = "interventions:write"
LLM_CALL = "llm:call"
#: The founder routes are reached under two paths.
OPS = ("/ops", "/api/v1/ops")


class Entry(NamedTuple):
    """What a route asks of its caller; ``path`` is one that reaches it."""

    scope: str
    path: str
    body: Any = None


#: Every route: (method, template) -> what it asks. A new route must be entered here.
INVENTORY: dict[tuple[str, str], Entry] = {
    ("GET", "/"): Entry(OPEN, "/"),
    ("GET", "/health/live"): Entry(OPEN, "/health/live"),
    ("GET", "/health/ready"): Entry(OPEN, "/health/ready"),
    ("GET", "/openapi.json"): Entry(OPEN, "/openapi.json"),
    ("GET", "/metrics"): Entry(READ, "/metrics"),
    ("POST", "/v1/events"): Entry(INGEST, "/v1/events", []),
    ("POST", "/v1/cloudevents"): Entry(INGEST, "/v1/cloudevents", []),
    **{
        ("POST", f"/v1/{call}"): Entry(INGEST, f"/v1/{call}", {})
        for call in ("track", "identify", "group", "page", "screen", "alias")
    },
    ("POST", "/v1/batch"): Entry(INGEST, "/v1/batch", {"batch": []}),
    ("POST", "/v1/bulk"): Entry(ADMIN, "/v1/bulk"),
    ("POST", "/v1/chat/completions"): Entry(LLM_CALL, "/v1/chat/completions", {}),
    ("POST", "/v1/embeddings"): Entry(LLM_CALL, "/v1/embeddings", {}),
    ("POST", "/v1/calls"): Entry(INGEST, "/v1/calls", []),
    ("POST", "/v1/ingest/litellm"): Entry(INGEST, "/v1/ingest/litellm", []),
    ("POST", "/v1/otlp/v1/traces"): Entry(INGEST, "/v1/otlp/v1/traces", {}),
    # A signature stands in for a key; without a secret the endpoint is closed.
    ("POST", "/v1/webhooks/stripe"): Entry(OPEN, "/v1/webhooks/stripe", {}),
    ("POST", "/v1/gauges"): Entry(
        INGEST, "/v1/gauges", {"gauges": [{"resource": "sse_connections", "used": 1}]}
    ),
    # Whoever has a certificate's id may ask about it; nothing of its contents is told.
    ("GET", "/verify/{certificate_id}"): Entry(OPEN, "/verify/cert_0"),
    ("GET", "/.well-known/ebbtide-keys.json"): Entry(OPEN, "/.well-known/ebbtide-keys.json"),
    ("POST", "/v1/changes"): Entry(INGEST, "/v1/changes", {"kind": "deploy"}),
    ("GET", "/v1/imports"): Entry(ADMIN, "/v1/imports"),
    ("GET", "/v1/imports/{key}"): Entry(ADMIN, "/v1/imports/some-key"),
    ("PUT", "/v1/imports/{key}"): Entry(
        ADMIN, "/v1/imports/some-key", {"file": "f", "position": 0, "rows_done": 0}
    ),
    ("GET", "/v1/events"): Entry(READ, "/v1/events"),
    ("GET", "/v1/quarantine"): Entry(READ, "/v1/quarantine"),
    ("POST", "/v1/quarantine/release"): Entry(ADMIN, "/v1/quarantine/release", {"ids": []}),
    ("POST", "/v1/quarantine/discard"): Entry(ADMIN, "/v1/quarantine/discard", {"ids": []}),
    ("GET", "/v1/tenants"): Entry(READ, "/v1/tenants"),
    ("GET", "/v1/tenants/{tenant_id:anything}"): Entry(READ, "/v1/tenants/acme"),
    ("PUT", "/v1/tenants/{tenant_id:anything}"): Entry(ADMIN, "/v1/tenants/acme", {}),
    ("DELETE", "/v1/tenants/{tenant_id:anything}"): Entry(
        ADMIN, "/v1/tenants/nobody?confirm=nobody"
    ),
    ("POST", "/v1/keys"): Entry(ADMIN, "/v1/keys", {"name": "n", "scopes": ["read"]}),
    ("GET", "/v1/keys"): Entry(ADMIN, "/v1/keys"),
    ("DELETE", "/v1/keys/{key_id}"): Entry(ADMIN, "/v1/keys/nobody"),
    **{
        (method, ops + path): entry._replace(path=ops + entry.path)
        for ops in OPS
        for (method, path), entry in {
            ("GET", "/jobs"): Entry(READ, "/jobs"),
            ("GET", "/jobs/runs"): Entry(READ, "/jobs/runs"),
            ("GET", "/jobs/runs/{run_id}"): Entry(READ, "/jobs/runs/1"),
            ("GET", "/jobs/alerts"): Entry(READ, "/jobs/alerts"),
            ("POST", "/jobs/{name}"): Entry(JOBS_RUN, "/jobs/nobody"),
            ("POST", "/backfill"): Entry(JOBS_RUN, "/backfill?as_of=2026-03-12T00:00:00Z"),
            ("GET", "/infra"): Entry(READ, "/infra"),
            ("GET", "/pulse"): Entry(READ, "/pulse"),
            ("GET", "/explain"): Entry(READ, "/explain?number=pulse.system_state"),
            ("GET", "/revenue"): Entry(READ, "/revenue"),
            ("GET", "/revenue/tenants"): Entry(READ, "/revenue/tenants"),
            ("GET", "/thresholds"): Entry(READ, "/thresholds"),
            ("PUT", "/thresholds"): Entry(
                ADMIN, "/thresholds", {"thresholds": [{"name": "producers", "reset": True}]}
            ),
            ("GET", "/changes"): Entry(READ, "/changes"),
            ("GET", "/alerts"): Entry(READ, "/alerts"),
            ("POST", "/alerts/{alert_id}/acknowledge"): Entry(
                WRITE, "/alerts/nobody/acknowledge", {}
            ),
            ("POST", "/alerts/{alert_id}/snooze"): Entry(
                WRITE, "/alerts/nobody/snooze", {"until": None}
            ),
            ("GET", "/brief"): Entry(READ, "/brief"),
            ("GET", "/freeze"): Entry(READ, "/freeze"),
            ("POST", "/freeze"): Entry(ADMIN, "/freeze", {"key_id": "nobody", "reason": "r"}),
            ("POST", "/freeze/{freeze_id}/lift"): Entry(ADMIN, "/freeze/nothing/lift", {}),
            ("GET", "/policies"): Entry(READ, "/policies"),
            ("POST", "/policies"): Entry(ADMIN, "/policies", {"definition": "{}"}),
            ("GET", "/policies/{policy_id}"): Entry(READ, "/policies/BUDGET"),
            ("POST", "/policies/{policy_id}/assign"): Entry(
                ADMIN, "/policies/NONE/assign", {"version": "v1", "default": True, "reason": "r"}
            ),
            ("POST", "/policies/{policy_id}/rollback"): Entry(
                ADMIN, "/policies/NONE/rollback", {"default": True, "reason": "r"}
            ),
            ("POST", "/policies/assignments/{assignment_id}/undo"): Entry(
                ADMIN, "/policies/assignments/nothing/undo", {"reason": "r"}
            ),
            ("POST", "/policies/{policy_id}/promote"): Entry(
                ADMIN,
                "/policies/NONE/promote",
                {"version": "v1", "tenants": ["acme"], "review_id": "rep_x", "confirm": "v1"},
            ),
            ("GET", "/policies/{policy_id}/promotions"): Entry(READ, "/policies/NONE/promotions"),
            ("POST", "/replays"): Entry(ADMIN, "/replays", {"incident_id": "nothing"}),
            ("GET", "/replays"): Entry(READ, "/replays"),
            ("GET", "/replays/{replay_id}"): Entry(READ, "/replays/rep_x"),
            ("POST", "/replays/{replay_id}/abort"): Entry(ADMIN, "/replays/rep_x/abort", {}),
            ("GET", "/recorded-calls/{call_id:anything}"): Entry(READ, "/recorded-calls/nothing"),
            ("GET", "/spending"): Entry(READ, "/spending"),
            ("POST", "/policy-replays"): Entry(
                ADMIN, "/policy-replays", {"policy_id": "NONE", "before": "v1", "after": "v2"}
            ),
            ("GET", "/policy-replays"): Entry(READ, "/policy-replays"),
            ("GET", "/policy-replays/{policy_replay_id}"): Entry(READ, "/policy-replays/prp_x"),
            ("POST", "/block-judgements"): Entry(
                ADMIN,
                "/block-judgements",
                {"tenant_id": "acme", "call_id": "c", "policy_id": "NONE", "is_wrong": True},
            ),
            ("GET", "/recording"): Entry(READ, "/recording"),
            ("PUT", "/recording/{tenant_id:anything}"): Entry(
                ADMIN, "/recording/acme", {"is_on": False}
            ),
            ("DELETE", "/recording/{tenant_id:anything}"): Entry(ADMIN, "/recording/acme"),
            ("GET", "/deliveries"): Entry(READ, "/deliveries"),
            ("GET", "/channels"): Entry(ADMIN, "/channels"),
            ("POST", "/channels"): Entry(ADMIN, "/channels", {"name": "n", "kind": "email"}),
            ("PUT", "/channels/{channel_id}"): Entry(
                ADMIN, "/channels/nobody", {"is_enabled": True}
            ),
            ("DELETE", "/channels/{channel_id}"): Entry(ADMIN, "/channels/nobody"),
            ("POST", "/channels/{channel_id}/test"): Entry(ADMIN, "/channels/nobody/test"),
            ("POST", "/exports"): Entry(ADMIN, "/exports", {"incident_id": "nothing"}),
            ("GET", "/exports"): Entry(READ, "/exports"),
            ("GET", "/exports/{export_id}"): Entry(READ, "/exports/nothing"),
            ("GET", "/exports/{export_id}/file"): Entry(ADMIN, "/exports/nothing/file"),
            ("POST", "/exports/{export_id}/abort"): Entry(ADMIN, "/exports/nothing/abort", {}),
            ("POST", "/evidence-keys"): Entry(ADMIN, "/evidence-keys"),
            ("POST", "/evidence-keys/{key_id}/revoke"): Entry(
                ADMIN, "/evidence-keys/nothing/revoke"
            ),
            ("GET", "/stickiness"): Entry(READ, "/stickiness"),
            ("GET", "/stickiness/tenants"): Entry(READ, "/stickiness/tenants?feature=exports"),
            ("GET", "/funnel"): Entry(READ, "/funnel"),
            ("GET", "/funnel/tenants"): Entry(READ, "/funnel/tenants?step=INCIDENT_VIEWED"),
            ("GET", "/funnel/tenants/{tenant_id:anything}"): Entry(READ, "/funnel/tenants/acme"),
            ("GET", "/cohorts"): Entry(READ, "/cohorts"),
            ("GET", "/cohorts/tenants"): Entry(READ, "/cohorts/tenants?cohort_week=2026-03-09"),
            ("GET", "/incidents"): Entry(READ, "/incidents"),
            **{
                ("GET", f"/incidents/{part}"): Entry(READ, f"/incidents/{part}")
                for part in ("heatmap", "attribution", "regressions", "patterns")
            },
            ("GET", "/incidents/{incident_id:anything}"): Entry(READ, "/incidents/nothing"),
            ("POST", "/incidents/{incident_id:anything}/attribution"): Entry(
                ADMIN, "/incidents/nothing/attribution", {"attribution": "USER_MISUSE"}
            ),
            ("GET", "/customers"): Entry(READ, "/customers"),
            ("GET", "/customers/at-risk"): Entry(READ, "/customers/at-risk"),
            ("GET", "/customers/{tenant_id:anything}/explain"): Entry(
                READ, "/customers/acme/explain?metric=risk_level"
            ),
            ("GET", "/customers/{tenant_id:anything}"): Entry(READ, "/customers/acme"),
            ("GET", "/playbooks"): Entry(READ, "/playbooks"),
            ("GET", "/playbooks/{playbook_id}"): Entry(READ, "/playbooks/silent_churn"),
            ("GET", "/events"): Entry(READ, "/events"),
            ("GET", "/interventions"): Entry(READ, "/interventions"),
            ("GET", "/interventions/{intervention_id}"): Entry(READ, "/interventions/1"),
            **{
                ("POST", f"/interventions/{{intervention_id}}/{step}"): Entry(
                    WRITE, f"/interventions/1/{step}", body
                )
                for step, body in (
                    ("accept", {}),
                    ("dismiss", {"reason": "fixed"}),
                    ("done", {}),
                    ("undo", None),
                )
            },
        }.items()
    },
}
SEGMENT_PATHS = {f"/v1/{call}" for call in CALLS}
CLOSED = {route: entry for route, entry in INVENTORY.items() if entry.scope != OPEN}
_addresses = itertools.count(2)


@pytest.fixture
def stranger(server: Server) -> Client:
    """A client without a key, from an address of its own: wrong keys are counted by address."""
    server.admin.send(event())  # acme exists
    number = next(_addresses)
    return server.client(source=f"127.0.{1 + number // 250}.{1 + number % 250}")


def ask(client: Client, method: str, entry: Entry, **headers: str) -> Answer:
    """The request of an inventory entry."""
    import json

    body = None if entry.body is None else json.dumps(entry.body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if entry.path == "/v1/bulk":
        body, given = b"", given | {"Content-Type": "application/vnd.apache.arrow.stream"}
    if entry.path == "/v1/cloudevents":
        given |= {"Content-Type": "application/cloudevents-batch+json"}
    return client.ask(method, entry.path, body, JSON | given)


def check_refusal(answer: Answer, status: int) -> None:
    """A problem document that says no more than it must."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json
    assert body["status"] == status
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="ebbtide"'
        assert body | {"id": ""} == {
            "type": "urn:ebbtide:problem:unauthorized",
            "title": "A valid API key is needed",
            "status": 401,
            "code": "unauthorized",
            "id": "",
        }


# -- the inventory -----------------------------------------------------------------------------


def test_every_route_is_in_the_inventory(server: Server) -> None:
    app = build_application(server.house.services)
    table = {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or {"ANY"}) - {"HEAD"}
    }
    assert table == set(INVENTORY)


def ids(routes: dict[tuple[str, str], Entry]) -> list[str]:
    return [f"{method} {path}" for method, path in routes]


@pytest.mark.parametrize(("route", "entry"), CLOSED.items(), ids=ids(CLOSED))
def test_without_a_key_nothing_is_done(
    server: Server, stranger: Client, route: tuple[str, str], entry: Entry
) -> None:
    before = (server.num_stored(), len(server.house.services.state.keys.list()))
    check_refusal(ask(stranger, route[0], entry), 401)
    assert (server.num_stored(), len(server.house.services.state.keys.list())) == before


# Segment's calls are left out: their body may hold the key.
BODIED = {
    route: entry
    for route, entry in CLOSED.items()
    if entry.body is not None and route[1] not in SEGMENT_PATHS
}


@pytest.mark.parametrize(("route", "entry"), BODIED.items(), ids=ids(BODIED))
def test_a_broken_body_is_not_read_before_the_key(
    stranger: Client, route: tuple[str, str], entry: Entry
) -> None:
    answer = stranger.ask(route[0], entry.path, b"{broken" * 1000, JSON)
    check_refusal(answer, 401)


@pytest.mark.parametrize("scope", [INGEST, READ, JOBS_RUN, WRITE])
@pytest.mark.parametrize(("route", "entry"), CLOSED.items(), ids=ids(CLOSED))
def test_a_key_opens_what_its_scope_says(
    server: Server, route: tuple[str, str], entry: Entry, scope: str
) -> None:
    answer = ask(server.client(scope), route[0], entry)
    if scope == entry.scope:
        assert answer.status not in (401, 403, 500), answer.body
    else:
        check_refusal(answer, 403)
        assert answer.json["detail"] == f"this key lacks the scope '{entry.scope}'"


def test_a_key_for_calls_opens_these_alone(server: Server) -> None:
    client = server.client(LLM_CALL)
    opened = {
        route for route, entry in CLOSED.items() if ask(client, route[0], entry).status != 403
    }
    assert opened == {route for route, entry in CLOSED.items() if entry.scope == LLM_CALL}


@pytest.mark.parametrize(("route", "entry"), INVENTORY.items(), ids=ids(INVENTORY))
def test_an_admin_key_opens_everything(
    server: Server, route: tuple[str, str], entry: Entry
) -> None:
    answer = ask(server.admin, route[0], entry)
    assert answer.status not in (401, 403, 405) and answer.status < 500, answer.body


def test_figures_of_all_tenants_are_not_for_a_key_of_one(server: Server) -> None:
    check_refusal(server.client(READ, tenant="acme").get("/metrics"), 403)
    assert server.client(READ).get("/metrics").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v1/events", 405), ("OPTIONS", "/v1/events", 405), ("TRACE", "/v1/events", 405),
        ("PATCH", "/v1/tenants/acme", 405), ("POST", "/v1/tenants/acme", 405),
        ("DELETE", "/v1/events", 405), ("PUT", "/v1/keys", 405), ("TRACE", "/", 405),
        ("OPTIONS", "/v1/keys", 405), ("HEAD", "/v1/keys", 405), ("HEAD", "/metrics", 401),
        ("GET", "/v1/events/", 404), ("GET", "//v1/events", 404), ("GET", "/v1//events", 404),
        ("GET", "/v1/./events", 404), ("GET", "/health/../v1/events", 404),
        ("GET", "/V1/EVENTS", 404), ("GET", "/v1/events;x", 404), ("GET", "/v1/events%00", 404),
        ("GET", "/v1/%2e/events", 404), ("GET", "/health/live/../../v1/keys", 404),
        ("GET", "/v1%2fevents", 401), ("GET", "/v1/keys/", 404), ("GET", "/metrics/", 404),
        ("GET", "/docs", 404), ("GET", "/redoc", 404), ("GET", "/openapi.json/", 404),
        ("GET", "/version", 404), ("GET", "/v1/tenants/", 401), ("GET", "/v1/tenants//", 401),
        ("GET", "/.env", 404), ("GET", "/v1", 404),
    ],
)  # fmt: skip
def test_side_ways_are_closed(stranger: Client, method: str, path: str, status: int) -> None:
    answer = stranger.ask(method, path)
    assert answer.status == status
    assert "location" not in answer.headers
    if method != "HEAD":
        check_refusal(answer, status)


# -- keys --------------------------------------------------------------------------------------


def test_a_key_may_come_in_three_headers(server: Server) -> None:
    key = server.client(READ).key
    assert key is not None
    basic = base64.b64encode(f"{key}:".encode()).decode()
    nobody = server.client()
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer  {key} "},
        {"Authorization": f"Basic {basic}"},
    ):
        assert nobody.ask("GET", "/v1/events", headers=headers).status == 200, headers


def test_segment_takes_the_write_key_of_the_body(server: Server, stranger: Client) -> None:
    key = server.client(INGEST).key
    call = {"event": "LOGIN", "userId": "u", "context": {"groupId": "acme"}, "writeKey": key}
    assert stranger.post("/v1/track", call).results == ["stored"]
    check_refusal(stranger.post("/v1/track", call | {"writeKey": "nonsense"}), 401)
    check_refusal(stranger.post("/v1/track", call | {"writeKey": server.client(READ).key}), 403)
    # A header that is there decides, whatever the body says.
    check_refusal(stranger.post("/v1/track", call, X_API_Key="nonsense"), 401)
    check_refusal(stranger.post("/v1/track", call, Authorization="Bearer"), 401)
    waiting = server.admin.get("/v1/quarantine").body + server.admin.get("/v1/events").body
    assert key is not None and key.encode() not in waiting


def wrong_keys(key: str) -> dict[str, str]:
    """Keys that look nearly right, and keys that look like nothing."""
    prefix, key_id, secret = key.split("_")
    other = "a" if secret[-2] != "a" else "b"
    return {
        "one character changed": f"{key[:-2]}{other}{key[-1]}",
        "another secret": f"{prefix}_{key_id}_{'a' * 52}",
        "another id": f"{prefix}_{'a' * 12}_{secret}",
        "cut short": key[:-1],
        "longer": key + "a",
        "upper case": key.upper(),
        "only the id": key_id,
        "only the secret": secret,
        "a NUL after it": key + "\\0",
        "a space inside": f"{prefix}_{key_id} _{secret}",
        "10 KB": "x" * 10_000,
        "not ASCII": "ebb_ключ",
        "a look-alike": key.replace("e", "\u0435", 1),
        "SQL": "x' OR pg_sleep(8)--",
        "a format string": "%s%n{0}",
        "a star": "*",
    }


@pytest.mark.parametrize("kind", wrong_keys("ebb_id_secret"))
@pytest.mark.parametrize("form", ["X-API-Key", "Bearer", "Basic"])
def test_a_wrong_key_is_refused_like_every_other(
    server: Server, stranger: Client, kind: str, form: str
) -> None:
    assert server.admin.key is not None
    text = wrong_keys(server.admin.key)[kind]
    wire = text.encode().decode("latin-1")
    if form == "Basic":
        wire = base64.b64encode(f"{text}:".encode()).decode()
    headers = {"X-API-Key": wire} if form == "X-API-Key" else {"Authorization": f"{form} {wire}"}
    began = time.monotonic()
    check_refusal(stranger.ask("GET", "/v1/events", headers=headers), 401)
    assert time.monotonic() - began < 2  # nobody sleeps in a database


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic =",
        "Basic !!!",
        "Digest a=b",
        "",
        "Bearer a b",
        "Token x",
    ],
)
def test_an_empty_or_strange_authorization_is_refused(stranger: Client, header: str) -> None:
    check_refusal(stranger.ask("GET", "/v1/events", headers={"Authorization": header}), 401)


def raw_request(server: Server, text: bytes) -> bytes:
    """Bytes in, bytes out, on a connection that the server closes or that times out."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
        line.sendall(text)
        line.settimeout(1)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
        except TimeoutError:
            pass
        return answer


def test_several_keys_in_one_request_are_refused(server: Server) -> None:
    key = server.client(READ).key
    assert key is not None
    for headers in (
        f"Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n",
        f"X-API-Key: {key}\r\nX-API-Key: {key}\r\n",
        f"X-API-Key: {key}\r\nAuthorization: Bearer {key}\r\n",
        f"X-API-Key: {key}\r\nAuthorization: Basic\r\n",
    ):
        text = f"GET /v1/events HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"
        assert raw_request(server, text.encode()).startswith(b"HTTP/1.1 401 "), headers


@pytest.mark.parametrize("name", ["key", "api_key", "apikey", "X-API-Key", "token", "access_token"])
def test_a_key_in_the_query_string_opens_nothing(
    server: Server, stranger: Client, name: str
) -> None:
    assert server.admin.key is not None
    answer = stranger.get("/v1/events", **{name: server.admin.key})
    check_refusal(answer, 401)
    assert server.admin.key.encode() not in answer.body


@pytest.mark.parametrize(
    "line",
    ["GET /v1/events HTTP/1.1\r\nHost: x/#", "GET /v1/events HTTP/1.1\r\nHost: x/?",
     "GET http://evil/v1/events HTTP/1.1\r\nHost: evil", "GET /v1/events HTTP/1.1\r\nHost: ",
     "GET /v1/events HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ::1\r\nX-Original-URL: /",
     "GET /v1/events HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: h\r\nX-Rewrite-URL: /health/live"],
)  # fmt: skip
def test_host_and_forwarding_headers_change_nothing(server: Server, line: str) -> None:
    answer = raw_request(server, f"{line}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in (b"400", b"401")


def test_a_revoked_key_closes_at_once_on_an_open_connection(server: Server) -> None:
    made = server.make_key(READ)
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        line.request("GET", "/v1/events", headers={"X-API-Key": made["key"]})
        assert line.getresponse().read() and line.sock is not None
        revoked = server.admin.delete(f"/v1/keys/{made['key_id']}")
        assert revoked.json["revoked_at"] == "2026-03-12T12:00:00Z"
        line.request("GET", "/v1/events", headers={"X-API-Key": made["key"]})
        assert line.getresponse().status == 401
    finally:
        line.close()
    again = server.admin.delete(f"/v1/keys/{made['key_id']}")
    assert again.json == revoked.json


def test_an_expired_key_closes_at_its_moment(server: Server) -> None:
    made = server.make_key(READ, expires_at="2026-03-12T13:00:00+00:00")
    client = Client(server.port, made["key"])
    server.clock.advance(minutes=59, seconds=59.999999)
    assert client.get("/v1/events").status == 200
    server.clock.advance(seconds=0.000001)
    time.sleep(1.1)  # a good key is remembered for a second
    check_refusal(client.get("/v1/events"), 401)


def test_an_erased_tenant_takes_its_keys_along(server: Server) -> None:
    client = server.client(INGEST, READ, tenant="leaving")
    client.send(event(tenant_id="leaving"))
    assert client.get("/v1/events").status == 200
    assert server.admin.delete("/v1/tenants/leaving", confirm="leaving").status == 200
    check_refusal(client.get("/v1/events"), 401)


def test_guessing_is_slowed_down_and_nobody_else_is(server: Server) -> None:
    guesser = Client(server.port, "ebb_wrong", "127.0.0.77")
    statuses = [guesser.get("/v1/events").status for _ in range(120)]
    assert statuses == [401] * 100 + [429] * 20
    refusal = guesser.get("/v1/events")
    check_refusal(refusal, 429)
    assert 0 < int(refusal.headers["retry-after"]) <= 61
    neighbour = Client(server.port, server.admin.key, "127.0.0.77")
    assert neighbour.get("/v1/events").status == 200  # a valid key is never slowed down
    assert Client(server.port, "ebb_wrong", "127.0.0.78").get("/v1/events").status == 401


def test_a_key_is_shown_once_and_kept_nowhere(server: Server) -> None:
    made = server.make_key(INGEST, READ, tenant="acme", expires_at="2027-01-01T00:00:00Z")
    assert len(made["key"]) >= 64
    assert {name: made[name] for name in ("name", "scopes", "tenant_id", "expires_at")} == {
        "name": "test", "scopes": ["ingest", "read"], "tenant_id": "acme",
        "expires_at": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    secret = made["key"].rpartition("_")[2].encode()
    listed = server.admin.get("/v1/keys")
    assert made["key_id"].encode() in listed.body
    assert secret not in listed.body
    for file in server.house.settings.data_dir.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file


def test_last_use_is_noted(server: Server) -> None:
    made = server.make_key(READ)
    assert made["last_used_at"] is None
    Client(server.port, made["key"]).get("/v1/events")
    (listed,) = (
        k for k in server.admin.get("/v1/keys").json["keys"] if k["key_id"] == made["key_id"]
    )
    assert listed["last_used_at"] == "2026-03-12T12:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["read"]},
        {"name": "x" * 201, "scopes": ["read"]},
        {"name": "a\0b", "scopes": ["read"]},
        {"name": "a\x1b[31m", "scopes": ["read"]},
        {"name": "n", "scopes": []},
        {"name": "n", "scopes": ["canary-value"]},
        {"name": "n", "scopes": "read"},
        {"name": "n", "scopes": ["admin"], "tenant_id": "acme"},
        {"name": "n", "scopes": ["read"], "tenant_id": ""},
        {"name": "n", "scopes": ["read"], "tenant_id": "a\0"},
        {"name": "n", "scopes": ["read"], "tenant_id": "x" * 201},
        {"name": "n", "scopes": ["read"], "expires_at": "canary-value"},
        {"name": "n", "scopes": ["read"], "expires_at": "2026-03-12T12:00:00"},
        {"name": "n", "scopes": ["read"], "expires_at": 1_800_000_000},
        {"name": "n", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-14:00"},
        {"name": "n", "scopes": ["read"], "expires_at": "2026-03-12T11:59:59Z"},
        {"name": "n", "scopes": ["read"], "expires_at": "2026-03-12T13:00:00+01:00"},
        {"name": "n", "scopes": ["read"], "key_id": "mine"},
        {"name": "n", "scopes": ["read"], "role": "admin"},
        {"scopes": ["read"]},
        [],
        "canary-value",
    ],
    ids=lambda body: str(body)[:60],
)
def test_a_key_that_makes_no_sense_is_not_made(server: Server, body: Any) -> None:
    before = server.admin.get("/v1/keys").body
    answer = server.admin.post("/v1/keys", body)
    check_refusal(answer, 422)
    assert b"canary-value" not in answer.body
    assert server.admin.get("/v1/keys").body == before
