"""Replay Lab: can I reproduce and fix anything?"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.responses import RedirectResponse, Response

from ebbtide.console.ask import Answer, part
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest, NotFound
from ebbtide.domain.ids import to_uuid_text

RUNNING_S = 3  # how often a page looks whether its run has ended
WEEKS = "720"  # hours in which incidents are offered
NUM_INCIDENTS, NUM_ROWS, NUM_RUNS = "30", "10", "5"
TEXT_MAX_CHARS = 20_000  # of one text on a page; a file of evidence has all of it
SPANS_MAX = 4_000
FORMATS = {"pdf": "PDF", "json": "JSON"}
#: What each level of likeness is called on the page, and the colour it has.
MATCHES = {
    "exact": ("Exact match", "low"),
    "logical": ("Logical match", "low"),
    "semantic": ("Semantic match", "medium"),
    "mismatch": ("Mismatch", "warning"),
    "not_comparable": ("Not comparable", "UNKNOWN"),
}
_PLAIN_ID = re.compile(r"[a-z]{3}_[0-9a-f]{24}")
_VERSION = "version of "


async def page(visit: Visit) -> Response:
    """What can be replayed, what was, and how to begin where nothing is recorded."""
    recording, incidents, runs, policy_runs, policies, files = answers = await asyncio.gather(
        visit.get_present("/ops/recording"),
        visit.get_present("/ops/incidents", hours=WEEKS, limit=NUM_INCIDENTS),
        visit.get_present("/ops/replays", limit=NUM_ROWS),
        visit.get_present("/ops/policy-replays", limit=NUM_RUNS),
        visit.get_present("/ops/policies"),
        visit.get_present("/ops/exports", limit=NUM_ROWS),
    )
    for answer in answers:
        if not answer.is_ok:
            return visit.trouble("replay", answer)
    on = [one for one in recording.data["items"] if one["is_on"]]
    return visit.page(
        "replay",
        "replay_lab.html",
        is_possible=recording.data["is_possible"],
        recorded=on,
        recorded_uuids={to_uuid_text(one["tenant_id"]) for one in on},
        incidents=[
            one | {"tenant_uuid": to_uuid_text(one["tenant_id"])} for one in incidents.data["items"]
        ],
        runs=runs.data["items"],
        policy_runs=policy_runs.data["items"],
        policies=policies.data["items"],
        files=files.data["items"],
        matches=MATCHES,
    )


async def incident(visit: Visit) -> Response:
    """One incident before its replay: the original, what may be changed, and what it may cost."""
    asked = visit.request.query_params
    incident_id, tenant = asked.get("incident", ""), asked.get("tenant", "")
    if not incident_id:
        raise BadRequest("choose an incident")
    story = await visit.get_present(
        f"/ops/incidents/{part(incident_id)}", **({"tenant_id": tenant} if tenant else {})
    )
    if not story.is_ok:
        return visit.trouble("replay", story)
    one = story.data["incident"]
    choices = await _choices(visit, one["tenant_id"])
    if isinstance(choices, Answer):
        return visit.trouble("replay", choices)
    named = one["incident_id"] or one["event_uuid"]
    runs, files = await asyncio.gather(
        visit.get_present("/ops/replays", incident_id=named, limit=NUM_ROWS),
        visit.get_present("/ops/exports", incident_id=named, limit=NUM_ROWS),
    )
    for answer in (runs, files):
        if not answer.is_ok:
            return visit.trouble("replay", answer)
    call, why_not = None, ""
    if one["call_id"]:
        recorded = await visit.get_present(
            f"/ops/recorded-calls/{part(one['call_id'])}", tenant_id=one["tenant_id"]
        )
        if recorded.is_ok:
            call = recorded.data
        elif recorded.status in (404, 409):
            why_not = recorded.data["detail"]
        else:
            return visit.trouble("replay", recorded)
    return visit.page(
        "replay",
        "replay_lab_incident.html",
        call=call,
        why_not=why_not,
        output=None if call is None else _cut([("equal", call["output"])]),
        most=TEXT_MAX_CHARS,
        story=story.data,
        one=one,
        incident_id=named,
        tenant_uuid=to_uuid_text(one["tenant_id"]),
        fired=one["policy_id"],
        runs=runs.data["items"],
        files=files.data["items"],
        matches=MATCHES,
        formats=FORMATS,
        **choices,
    )


async def run(visit: Visit) -> Response:
    """A replay beside its original."""
    found = await visit.get_present(f"/ops/replays/{part(_id(visit, 'replay'))}")
    if not found.is_ok:
        return visit.trouble("replay", found)
    replay = found.data
    choices = await _choices(visit, replay["tenant_id"])
    if isinstance(choices, Answer):
        return visit.trouble("replay", choices)
    files = await visit.get_present(
        "/ops/exports", incident_id=replay["incident_id"], limit=NUM_ROWS
    )
    if not files.is_ok:
        return visit.trouble("replay", files)
    samples = replay["samples"]
    wanted = visit.request.query_params.get("sample", "")
    sample = next(
        (one for one in samples if str(one["number"]) == wanted), samples[0] if samples else None
    )
    compared = None if sample is None else sample["comparison"]
    return visit.page(
        "replay",
        "replay_lab_run.html",
        refresh_s=RUNNING_S if replay["state"] == "running" else None,
        replay=replay,
        sample=sample,
        compared=compared,
        sides=_sides(replay, sample),
        incident_id=replay["incident_id"],
        tenant_uuid=to_uuid_text(replay["tenant_id"]),
        fired=replay["policies"][0]["policy_id"] if replay["policies"] else None,
        files=[one for one in files.data["items"] if one["subject_id"] == replay["replay_id"]],
        matches=MATCHES,
        formats=FORMATS,
        most=TEXT_MAX_CHARS,
        **choices,
    )


async def start(visit: Visit) -> Response:
    """Begin a replay."""
    fields = await visit.form()
    body: dict[str, Any] = {
        "incident_id": fields.get("incident", ""),
        "tenant_id": fields.get("tenant") or None,
        "model": fields.get("model", "").strip() or None,
        "samples": _number(fields.get("samples") or "1", "samples"),
        "policies": [
            {"policy_id": name.removeprefix(_VERSION), "version": version}
            for name, version in fields.items()
            if name.startswith(_VERSION) and version
        ],
    }
    answer = await visit.post("/ops/replays", body)
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    return RedirectResponse(f"/replay/runs/{part(answer.data['replay_id'])}", 303)


async def abort(visit: Visit) -> Response:
    """Begin no further call of a replay."""
    fields = await visit.form()
    answer = await visit.post(f"/ops/replays/{part(_id(visit, 'replay'))}/abort", {})
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    return visit.back(fields)


async def start_policy(visit: Visit) -> Response:
    """Begin to judge recorded calls by two versions."""
    fields = await visit.form()
    policy_id, _, before = fields.get("before", "").partition(" ")
    after_of, _, after = fields.get("after", "").partition(" ")
    if not before or not after:
        raise BadRequest("choose two versions")
    if policy_id != after_of:
        raise BadRequest("choose two versions of one policy")
    body = {
        "policy_id": policy_id,
        "before": before,
        "after": after,
        "days": _number(fields.get("days") or "7", "days"),
    }
    answer = await visit.post("/ops/policy-replays", body)
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    return RedirectResponse(f"/replay/policies/{part(answer.data['policy_replay_id'])}", 303)


async def policy(visit: Visit) -> Response:
    """What another version would have made of recorded calls, customer by customer."""
    found = await visit.get_present(f"/ops/policy-replays/{part(_id(visit, 'run'))}")
    if not found.is_ok:
        return visit.trouble("replay", found)
    run = found.data
    return visit.page(
        "replay",
        "replay_lab_policy.html",
        refresh_s=RUNNING_S if run["state"] == "running" else None,
        run=run,
        rows=[one | {"tenant_uuid": to_uuid_text(one["tenant_id"])} for one in run["items"]],
    )


async def promote(visit: Visit) -> Response:
    """Give a version to the customers that were named, once its name was typed again."""
    fields = await visit.form()
    policy_id, _, version = fields.get("promoted", "").partition(" ")
    named = [*fields.get("tenants", "").splitlines(), fields.get("tenant", "")]
    tenants = list(dict.fromkeys(one.strip() for one in named if one.strip()))
    if not version or not tenants:
        raise BadRequest("say which version, and name at least one customer")
    body = {
        "version": version,
        "tenants": tenants,
        "review_id": fields.get("review", ""),
        "confirm": fields.get("confirm", "").strip(),
        "watch_days": _number(fields.get("watch_days") or "7", "days"),
    }
    answer = await visit.post(f"/ops/policies/{part(policy_id)}/promote", body)
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    return visit.page("replay", "replay_lab_promoted.html", one=answer.data)


async def export(visit: Visit) -> Response:
    """Make a file of evidence, and send it once it is there."""
    fields = await visit.form()
    about = "replay_id" if fields.get("replay") else "incident_id"
    body = {
        about: fields.get("replay") or fields.get("incident", ""),
        "tenant_id": fields.get("tenant") or None,
        "format": fields.get("format", "pdf"),
        "include": {"raw_output": "texts" in fields, "timeline": True},
    }
    answer = await visit.post("/ops/exports", body)
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    if answer.data["state"] != "generated":
        return visit.back(fields, "files")
    return RedirectResponse(f"/replay/files/{part(answer.data['export_id'])}", 303)


async def file(visit: Visit) -> Response:
    """The file itself, which a browser keeps and does not open."""
    request = visit.request
    client = None if request.client is None else (request.client.host, request.client.port)
    path = f"/ops/exports/{part(_id(visit, 'export'))}"
    found = await visit.get_present(path)
    if not found.is_ok:
        return visit.trouble("replay", found)
    sent = await visit.desk.api.fetch("GET", f"{path}/file", visit.session.key, client)
    if sent.status != 200:
        raise NotFound("its file is not there; files are kept for 7 days, make a new one")
    kept = {b"content-type", b"content-disposition", b"content-security-policy"}
    headers = {name.decode(): text.decode() for name, text in sent.headers if name in kept}
    return Response(sent.content, headers=headers)


async def record(visit: Visit) -> Response:
    """Record the calls of a customer from now on, or no longer."""
    fields = await visit.form()
    tenant = fields.get("tenant", "").strip()
    if not tenant:
        raise BadRequest("name the customer")
    body: dict[str, Any] = {"is_on": "off" not in fields}
    if fields.get("days"):
        body["retention_days"] = _number(fields["days"], "days")
    answer = await visit.put(f"/ops/recording/{part(tenant)}", body)
    if not answer.is_ok:
        return visit.trouble("replay", answer)
    return visit.back(fields, "recording")


async def _choices(visit: Visit, tenant_id: str) -> dict[str, Any] | Answer:
    """What a replay may change and cost; the API's problem where it cannot say."""
    policies, spending, heat = await asyncio.gather(
        visit.get_present("/ops/policies"),
        visit.get_present("/ops/spending", tenant_id=tenant_id),
        visit.get_present("/ops/incidents/heatmap", hours=WEEKS),
    )
    for answer in (policies, spending, heat):
        if not answer.is_ok:
            return answer
    return {
        "policies": policies.data["items"],
        "spending": spending.data,
        "models": [one["model"] for one in heat.data["by_model"] if one["model"]],
    }


def _sides(replay: dict[str, Any], sample: dict[str, Any] | None) -> dict[str, Any]:
    """Both outputs as stretches ``(kind, text)``, cut where they are too long to be read."""
    original = None if replay["baseline"] is None else replay["baseline"]["output"]
    call = None if sample is None else sample["call"]
    compared = None if sample is None else sample["comparison"]
    new = None if call is None else call["output"]
    diff = None if compared is None else compared["diff"]
    if not diff:
        return {"original": _cut([("equal", original)]), "new": _cut([("equal", new)])}
    spans = diff["spans"]
    return {
        "original": _cut([(one["kind"], one["before"]) for one in spans]),
        "new": _cut([(one["kind"], one["after"]) for one in spans]),
    }


def _cut(spans: list[tuple[str, str | None]]) -> dict[str, Any] | None:
    if any(text is None for _, text in spans):
        return None
    left = TEXT_MAX_CHARS
    kept: list[tuple[str, str]] = []
    for kind, text in spans:
        if not text:
            continue
        if left <= 0 or len(kept) >= SPANS_MAX:
            break
        kept.append((kind, text[:left]))
        left -= len(text)
    whole = sum(len(text or "") for _, text in spans)
    return {"spans": kept, "num_missing": whole - sum(len(text) for _, text in kept)}


def _id(visit: Visit, name: str) -> str:
    found = str(visit.request.path_params[name])
    if not _PLAIN_ID.fullmatch(found):
        raise NotFound("there is nothing of this id")
    return found


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text.strip()):
        raise BadRequest(f"{what}: send a whole number")
    return int(text)
