"""Customers in paths: an id that is percent-encoded is one id, whatever it says."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import Scope

from ebbtide.domain.ids import to_uuid_text

_ENCODED = re.compile(r"((?:/api/v1)?/ops/customers/)([^/]*%[^/]*)((?:/explain)?)")


def settle_customer_path(scope: Scope) -> None:
    """Put the UUID of a customer in the place of an id that is percent-encoded.

    Routes are chosen by the decoded path, in which the customer ``x/explain`` reads like a
    question about ``x``, and ``at-risk`` like the list. The UUID names the same customer and is
    never taken for anything else.
    """
    raw = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        return
    found = _ENCODED.fullmatch(raw.decode("latin-1"))
    if found is not None:
        before, sent, after = found.groups()
        scope["path"] = f"{before}{to_uuid_text(unquote(sent))}{after}"
