"""The OpenAPI document: committed, complete, and its examples are true.

After a wanted change of the API: ``make accept ARGS=tests/api/test_openapi.py``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from api_server import JSON, Server, event
from test_access import CLOSED, INVENTORY

FILE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def described_path(path: str) -> str:
    """A route's path as the document spells it: ``{id}`` for ``{id:form}``."""
    return re.sub(r":\w+}", "}", path)


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    answer = server.client().get("/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


def test_the_committed_document_is_that_of_the_running_server(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("EBBTIDE_ACCEPT"):
        FILE.write_text(text, encoding="utf-8")
    assert json.loads(FILE.read_text(encoding="utf-8")) == document, "see the top of this file"


def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    routes = {
        (method, described_path(path))
        for method, path in INVENTORY
        if path not in ("/", "/openapi.json")
    }
    assert described == routes


def test_every_operation_says_what_it_is_for_and_who_may_use_it(document: dict[str, Any]) -> None:
    assert document["security"] == [{"ApiKey": []}, {"Bearer": []}]
    closed = {(method, described_path(path)) for method, path in CLOSED}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            is_open = operation.get("security") == []
            assert is_open == ((method.upper(), path) not in closed), path


def test_no_address_and_no_secret_is_in_it(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert "127.0.0.1" not in text and "servers" not in document and "ebb_" not in text


def test_the_examples_of_ingest_are_accepted(server: Server, document: dict[str, Any]) -> None:
    tried = 0
    for path, operations in document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        for media_type, described in content.items():
            if "example" not in described:
                continue
            example = json.dumps(described["example"]).encode()
            answer = server.admin.ask("POST", path, example, JSON | {"Content-Type": media_type})
            assert answer.status == 200, (path, answer.body)
            assert set(answer.json) == {
                "results", "stored", "duplicate", "conflict", "quarantined", "refused",
            }  # fmt: skip
            tried += 1
    assert tried == 11


def test_the_answer_is_as_described(server: Server, document: dict[str, Any]) -> None:
    described = document["paths"]["/v1/events"]["post"]["responses"]
    schema = described["200"]["content"]["application/json"]["schema"]
    answer = server.admin.send(event(), event(severity=99), event(event_id=None)).json
    assert set(answer) == set(schema["properties"])
    for one in answer["results"]:
        assert set(one) == set(schema["properties"]["results"]["items"]["properties"])
        words = schema["properties"]["results"]["items"]["properties"]["result"]["enum"]
        assert one["result"] in words
    assert {"400", "401", "403", "408", "413", "415", "503"} <= set(described)
