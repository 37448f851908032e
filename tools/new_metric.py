"""Writes the definition and the first case of a new metric, ready to be filled in.

``python tools/new_metric.py logins``; what it writes is valid at once, and its case passes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ebbtide.catalog.loader import load_catalog

REPOSITORY = Path(__file__).parents[1]
METRICS = REPOSITORY / "src" / "ebbtide" / "catalog" / "metrics"
CASES = REPOSITORY / "tests" / "metrics"

DEFINITION = """\
/*---
name     = "{name}"
title    = "Say in a few words what is counted"
question = "Which question does it answer?"
status   = "experimental"
unit     = "events"
grain    = ["tenant_id"]
relation = "event_counts"
window   = "30d"
windows  = ["7d"]
inputs   = ["LOGIN"]
null     = "say what a missing row means, and what a null means"
source   = "say where the rule for it comes from"
owner    = "say who looks after it"

[columns]
tenant_id = "the tenant"
num_7d    = "LOGIN in 7 days"
num_30d   = "LOGIN in 30 days"
---*/
SELECT tenant_id,
       SUM(CASE WHEN last_at > :start_7d THEN num ELSE 0 END) AS num_7d,
       SUM(num) AS num_30d,
       MAX(last_received_at) AS freshness
FROM event_counts
GROUP BY tenant_id
ORDER BY tenant_id
"""
CASE = """\
why = "The event exactly at the moment counts, the one exactly 7 days before it does not."
as_of = 2025-12-20T00:00:00Z
given = [
    {tenant = "acme", type = "LOGIN", at = 2025-12-13T00:00:00Z},
    {tenant = "acme", type = "LOGIN", at = 2025-12-20T00:00:00Z},
]
expect = [
    {tenant_id = "acme", num_7d = 1, num_30d = 2},
]
"""


def main(arguments: list[str]) -> int:
    """Write both files, check them with the catalog's own loader, and say what to do next."""
    if len(arguments) != 1 or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", arguments[0]):
        print("Name the metric in lower case: make new-metric NAME=logins")
        return 2
    (name,) = arguments
    definition, case = METRICS / f"{name}.sql", CASES / name / "window_edges.toml"
    if definition.exists():
        print(f"{definition.relative_to(REPOSITORY)} exists already")
        return 1
    definition.write_text(DEFINITION.replace("{name}", name), "utf-8")
    load_catalog()
    case.parent.mkdir(exist_ok=True)
    case.write_text(CASE, "utf-8")
    for path in (definition, case):
        print(f"Wrote {path.relative_to(REPOSITORY)}")
    print("Fill them in, then: make docs test")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
