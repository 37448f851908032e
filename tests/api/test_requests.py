"""A request that does not fit is refused in our words, and a slip is met with the word meant."""

from __future__ import annotations

import re
from typing import Any

import pytest
from api_server import Server
from test_access import INVENTORY

from ebbtide.api.invalid import why

# -- parameters that are not known ---------------------------------------------------------------

LISTS = [
    ("/v1/events?tenant=acme", "tenant_id"),
    ("/v1/events?limit=1&asof=2026-03-12T00:00:00Z", "as_of"),
    ("/v1/events?Event_Type=LOGIN", "event_type"),
    ("/v1/quarantine?tenant=acme", "tenant_id"),
    ("/v1/quarantine?reasons=x", "reason"),
    ("/v1/tenants?limits=1", "limit"),
    ("/v1/imports?limits=x", None),
    ("/v1/keys?limit=1", None),
    ("/v1/tenants/acme?as_of=2026-03-12T00:00:00Z", None),
    ("/v1/events?xyzzy=1", None),
    ("/v1/events?=1", None),
    ("/v1/events?" + "x" * 20_000 + "=1", None),
]


@pytest.mark.parametrize(("path", "meant"), LISTS, ids=lambda one: str(one)[:50])
def test_an_unknown_parameter_is_refused_with_the_nearest(
    server: Server, path: str, meant: str | None
) -> None:
    answer = server.admin.ask("GET", path)
    assert (answer.status, answer.json["code"]) == (400, "bad-request")
    said = re.search(r"did you mean (\w+)\?", answer.json["detail"])
    assert (said and said[1]) == meant
    assert re.search("this route takes (none|.*limit)", answer.json["detail"])


READS = [path for (method, _), (_, path, _) in INVENTORY.items() if method == "GET"]


@pytest.mark.parametrize("path", [path for path in READS if path.startswith("/v1/")])
def test_no_read_route_passes_over_an_unknown_parameter(server: Server, path: str) -> None:
    assert server.admin.get(path, no_such_parameter=1).status == 400


def test_a_misspelt_word_does_not_erase(server: Server) -> None:
    assert server.admin.delete("/v1/tenants/acme", confirmed="acme").status == 400


def test_a_stranger_learns_nothing_of_parameters(server: Server) -> None:
    assert server.client().get("/v1/events", tenant="acme").status == 401
    assert server.client("ingest").get("/v1/events", tenant="acme").status == 403


# -- event types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [("EXPORT_GENERATD", "EXPORT_GENERATED"), ("login", "LOGIN"), ("NOPE", None), ("", None)],
)
def test_an_unknown_event_type_is_refused(server: Server, given: str, meant: str | None) -> None:
    answer = server.admin.get("/v1/events", event_type=given)
    assert answer.status == 422
    said = re.search(r"did you mean (\w+)\?", answer.json["detail"])
    assert (said and said[1]) == meant


# -- the content type ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/events", "/v1/track", "/v1/batch"])
def test_the_header_to_send_is_named(server: Server, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d sends
    answer = server.admin.ask("POST", path, b"{}", headers)
    assert answer.status == 415
    assert "Content-Type: application/json" in answer.json["detail"]


# -- our own words -------------------------------------------------------------------------------


def faults(server: Server, method: str, path: str, body: Any = None) -> dict[str, str]:
    """What the server finds wrong, by the place."""
    import json

    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    answer = server.admin.ask(method, path, sent, {"Content-Type": "application/json"})
    assert answer.status == 422, answer.body
    return {f"{one['in']} {one['where']}": one["why"] for one in answer.json["errors"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "found"),
    [
        ("POST", "/v1/keys", {"name": "n", "scopes": ["read", "all"]},
         {"body scopes[1]": "must be one of ingest, read, jobs:run, interventions:write, llm:call "
                            "or admin"}),
        ("POST", "/v1/keys", {"scopes": []},
         {"body name": "is missing", "body scopes": "needs at least 1 entry"}),
        ("POST", "/v1/keys", {"name": "", "scopes": "read", "role": "x"},
         {"body name": "needs at least 1 character", "body scopes": "must be a list",
          "body role": "is no field of this request"}),
        ("POST", "/v1/keys", {"name": "x" * 201, "scopes": ["read"], "expires_at": "soon"},
         {"body name": "has more than 200 characters",
          "body expires_at": "send a moment with its offset, such as 2026-03-12T08:00:00Z"}),
        ("POST", "/v1/keys", b"[]", {"body body": "must be an object"}),
        ("POST", "/v1/keys", b"{", {"body body": "is not valid JSON"}),
        ("POST", "/v1/keys", b"", {"body body": "is missing"}),
        ("PUT", "/v1/tenants/t", {"contacts": [{}, {"phone": "1", "email": 5}]},
         {"body contacts[1].phone": "is no field of this request",
          "body contacts[1].email": "must be text"}),
        ("PUT", "/v1/tenants/t", {"price_usd": "n/a"}, {"body price_usd": "must be a number"}),
        ("PUT", "/v1/tenants/t", {"price_usd": -1}, {"body price_usd": "must be at least 0"}),
        ("PUT", "/v1/tenants/t", {"contacts": [{}] * 101},
         {"body contacts": "has more than 100 entries"}),
        ("GET", "/v1/events?limit=0", None, {"query limit": "must be at least 1"}),
        ("GET", "/v1/events?limit=x", None, {"query limit": "must be a whole number"}),
        ("GET", "/v1/events?limit=1001", None, {"query limit": "must be at most 1000"}),
        ("GET", "/v1/quarantine?status=gone", None,
         {"query status": "must be one of pending, released or discarded"}),
        ("GET", "/v1/quarantine?cursor=99999999999999999999999", None,
         {"query cursor": f"must be less than {2**63}"}),
    ],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
def test_what_is_wrong_is_said_where_and_why(
    server: Server, method: str, path: str, body: Any, found: dict[str, str]
) -> None:
    assert faults(server, method, path, body) == found


def test_a_fault_without_words_of_ours_lends_none_of_the_frameworks() -> None:
    assert why("url_parsing", {"error": "relative URL without a base"}) == "cannot be used"
