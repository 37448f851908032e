"""One incident: what is known of it, and what a person says that it came from."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from ebbtide.console.ask import part
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.ids import to_uuid_text

#: The causes that there are, each with the question that settles it.
CAUSES = {
    "MODEL_HALLUCINATION": "Did the model make something up?",
    "POLICY_CONFLICT": "Did policies contradict each other, or stop what was right?",
    "CONTEXT_MISSING": "Did the model lack what it needed to know?",
    "INFRA_TIMEOUT": "Was something too slow or away?",
    "BUDGET_EXCEEDED": "Was a limit of cost, tokens or calls reached?",
    "USER_MISUSE": "Was it asked for what it must not do?",
}


async def page(visit: Visit) -> Response:
    """Its cause with the evidence, its call, others like it, and a form to correct it."""
    tenant = visit.request.query_params.get("tenant")
    found = await visit.get(
        f"/ops/incidents/{part(visit.request.path_params['incident'])}", tenant_id=tenant
    )
    if not found.is_ok:
        return visit.trouble("incidents", found)
    one = found.data["incident"]
    return visit.page(
        "incidents",
        "incident.html",
        story=found.data,
        one=one,
        tenant_uuid=to_uuid_text(one["tenant_id"]),
        causes=CAUSES,
    )


async def correct(visit: Visit) -> Response:
    """Write down the cause as a person knows it."""
    fields = await visit.form()
    if fields.get("attribution") not in CAUSES:
        raise BadRequest("choose a cause")
    body = {"attribution": fields["attribution"], "note": fields.get("note", "").strip() or None}
    incident, tenant = visit.request.path_params["incident"], fields.get("tenant", "")
    path = f"/ops/incidents/{part(incident)}/attribution"
    answer = await visit.post(path, body, tenant_id=tenant or None)
    if not answer.is_ok:
        return visit.trouble("incidents", answer)
    uuid = answer.data["event_uuid"]
    there = visit.link(f"/incidents/{part(uuid)}", "cause", tenant=tenant)
    return RedirectResponse(there, 303)
