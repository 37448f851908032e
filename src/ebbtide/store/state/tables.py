"""The tables of the state store as the newest migration leaves them."""

from __future__ import annotations

import sqlalchemy as sa

from ebbtide.store.state.columns import Instant, RowNumber, SortableText

METADATA = sa.MetaData()

#: Small facts about this installation, such as its id.
SETTINGS = sa.Table(
    "settings",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

#: API keys without their secrets; scopes are words separated by spaces.
API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("secret_sha256", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
)

#: Events that were not accepted, raw. ``raw`` is bytes because text columns refuse NUL.
QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("raw_sha256", sa.Text, nullable=False),
    sa.Column("raw_bytes", sa.BigInteger, nullable=False),
    sa.Column("tenant_id", sa.Text),
    sa.Column("tenant_uuid", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("file", sa.Text),
    sa.Column("line", sa.BigInteger),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("num_seen", sa.BigInteger, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("num_attempts", sa.BigInteger, nullable=False),
    sa.Column("released_at", Instant),
    sa.Column("released_outcome", sa.Text),
    sa.Column("event_id", sa.Text),
    sa.Column("mapping", sa.Text),
    # Row numbers are never used again: a cursor or a fallback event id must not meet another row.
    sqlite_autoincrement=True,
)

#: One pending row for one thing sent, however often it is sent again.
PENDING_ONLY_ONCE = sa.Index(
    "quarantine_pending_identity",
    QUARANTINE.c.identity,
    unique=True,
    sqlite_where=QUARANTINE.c.status == "pending",
    postgresql_where=QUARANTINE.c.status == "pending",
)
sa.Index("quarantine_reason", QUARANTINE.c.status, QUARANTINE.c.reason)
sa.Index("quarantine_tenant", QUARANTINE.c.tenant_uuid)

#: The tenant directory. ``provenance`` is JSON: field -> [origin, instant].
TENANTS = sa.Table(
    "tenants",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("tenant_id", SortableText, nullable=False, unique=True),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("plan", sa.Text),
    sa.Column("price_usd", sa.Text),
    sa.Column("started_at", Instant),
    sa.Column("cancelled_at", Instant),
    sa.Column("contacts", sa.Text),
    sa.Column("provenance", sa.Text, nullable=False),
)

#: Directory entries as they were before what people said of them changed. ``before`` is JSON.
TENANT_PASTS = sa.Table(
    "tenant_pasts",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
)
sa.Index("tenant_pasts_tenant", TENANT_PASTS.c.tenant_uuid, TENANT_PASTS.c.recorded_at)

#: Tenants whose data was erased for good; only the UUID is left of them.
ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("erased_at", Instant, nullable=False),
)

#: How far each import has come.
IMPORTS = sa.Table(
    "imports",
    METADATA,
    sa.Column("import_key", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("rows_done", sa.BigInteger, nullable=False),
    sa.Column("num_stored", sa.BigInteger, nullable=False),
    sa.Column("num_duplicate", sa.BigInteger, nullable=False),
    sa.Column("num_conflict", sa.BigInteger, nullable=False),
    sa.Column("num_quarantined", sa.BigInteger, nullable=False),
    sa.Column("num_refused", sa.BigInteger, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
)

#: Every run of every job, one row for each attempt. ``run_id`` is the fencing token: it only
#: grows. ``beat`` grows while the runner lives. ``slot`` is empty for runs asked for by hand.
JOB_RUNS = sa.Table(
    "job_runs",
    METADATA,
    sa.Column("run_id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("slot", Instant),
    sa.Column("as_of", Instant, nullable=False),
    sa.Column("covers", sa.BigInteger, nullable=False),
    sa.Column("covers_from", Instant),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("runner", sa.Text, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Column("message", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("counts", sa.Text, nullable=False),
    # A number that is used again would let a runner from before pass for a new one.
    sqlite_autoincrement=True,
)

#: One run of a job at a time.
ONE_RUNNING = sa.Index(
    "job_runs_one_running",
    JOB_RUNS.c.job,
    unique=True,
    sqlite_where=JOB_RUNS.c.status == "running",
    postgresql_where=JOB_RUNS.c.status == "running",
)
#: One result for a slot, however many runs began it.
ONE_RESULT = sa.Index(
    "job_runs_one_result",
    JOB_RUNS.c.job,
    JOB_RUNS.c.slot,
    unique=True,
    sqlite_where=JOB_RUNS.c.status.in_(("completed", "partial", "failed")),
    postgresql_where=JOB_RUNS.c.status.in_(("completed", "partial", "failed")),
)

#: Tenants that a run left out, and why. In a table of their own, so that an erasure finds them.
JOB_FAILED_TENANTS = sa.Table(
    "job_failed_tenants",
    METADATA,
    sa.Column("run_id", RowNumber, primary_key=True, autoincrement=False),
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
sa.Index("job_failed_tenants_tenant", JOB_FAILED_TENANTS.c.tenant_uuid)

#: What somebody should know about: runs that failed, were partial or came late.
JOB_ALERTS = sa.Table(
    "job_alerts",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

#: How far the facts below have come; one row. ``token`` changes with everything that changes
#: them, so whoever holds a copy in memory can tell whether it is still the newest.
FACTS_HEAD = sa.Table(
    "facts_head",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("as_of", Instant),
    sa.Column("changes_since", sa.BigInteger),
    sa.Column("definitions", sa.Text),
    sa.Column("run_id", sa.BigInteger),
)

#: What the scores of one tenant are made of, at the moment of the head. ``due_at``: when time
#: alone changes a score. ``unsettled_until``: it has events that lie after the head's moment.
#: ``keys`` is JSON: formula id -> inputs hash of the newest score row.
TENANT_FACTS = sa.Table(
    "tenant_facts",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("tenant_id", SortableText, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("unsettled_until", Instant),
    sa.Column("keys", sa.Text, nullable=False),
)

#: Every result that differed from the one before it. ``inputs`` and ``result`` are JSON with
#: exact numbers. ``known_at`` is None where everything counted that was stored by then. Of several
#: rows for one moment the one with the highest ``id`` knows the most.
SCORES = sa.Table(
    "scores",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("formula", sa.Text, nullable=False),
    sa.Column("as_of", Instant, nullable=False),
    sa.Column("inputs_hash", sa.Text, nullable=False),
    sa.Column("known_at", Instant),
    sa.Column("computed_at", Instant, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
)
sa.Index(
    "scores_only_once",
    SCORES.c.tenant_uuid,
    SCORES.c.formula,
    SCORES.c.as_of,
    SCORES.c.inputs_hash,
    unique=True,
)
sa.Index("scores_formula", SCORES.c.formula, SCORES.c.as_of)

#: When a tenant's newest call and event were: of most tenants nothing else is different at a run,
#: so these few bytes have a table of their own. ``newest`` is JSON: event type -> the moment of
#: its newest event, where it is newer than in the facts.
TENANT_CALLS = sa.Table(
    "tenant_calls",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("last_api_call", Instant),
    sa.Column("last_event_at", Instant, nullable=False),
    sa.Column("newest", sa.Text, nullable=False),
)

#: The newest of everything else, one row per tenant. Numbers are unrounded; ``exact`` is JSON with
#: those that no float holds. Days since something are left to the reader: they never stand still.
#: The view ``ops_customer_segments`` shows it together with the calls and the head's moment.
CUSTOMER_SEGMENTS = sa.Table(
    "customer_segments",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("tenant_id", SortableText, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("computed_at", Instant, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("paying", sa.Text, nullable=False),
    sa.Column("signed_up_at", Instant, nullable=False),
    sa.Column("first_action", sa.Text),
    sa.Column("first_action_at", Instant),
    sa.Column("inferred_buyer_type", sa.Text, nullable=False),
    sa.Column("intent_confidence", sa.Double, nullable=False),
    sa.Column("intent_evidence", sa.Text, nullable=False),
    sa.Column("intent_provisional", sa.Boolean, nullable=False),
    sa.Column("current_stickiness", sa.Double, nullable=False),
    sa.Column("stickiness_7d", sa.Double, nullable=False),
    sa.Column("stickiness_30d", sa.Double, nullable=False),
    sa.Column("stickiness_delta", sa.Double),
    sa.Column("stickiness_delta_reason", sa.Text),
    sa.Column("stickiness_trend", sa.Text, nullable=False),
    sa.Column("stickiness_decayed", sa.Double, nullable=False),
    sa.Column("peak_stickiness", sa.Double, nullable=False),
    sa.Column("friction_score", sa.Double, nullable=False),
    sa.Column("friction_weighted_score", sa.Double, nullable=False),
    sa.Column("friction_events_7d", sa.BigInteger, nullable=False),
    sa.Column("top_friction_type", sa.Text),
    sa.Column("last_friction_event", Instant),
    sa.Column("is_silent_churn", sa.Boolean, nullable=False),
    sa.Column("last_investigation", Instant),
    sa.Column("risk_level", sa.Text),
    sa.Column("risk_level_reason", sa.Text),
    sa.Column("risk_signal_strength", sa.BigInteger, nullable=False),
    sa.Column("risk_reason", sa.Text),
    sa.Column("secondary_signals", sa.Text, nullable=False),
    sa.Column("is_on_list", sa.Boolean, nullable=False),
    sa.Column("playbooks", sa.Text, nullable=False),
    sa.Column("first_incident_at", Instant),
    sa.Column("first_view_at", Instant),
    sa.Column("first_replay_at", Instant),
    sa.Column("first_export_at", Instant),
    sa.Column("time_to_first_incident_m", sa.BigInteger),
    sa.Column("time_to_first_view_m", sa.BigInteger),
    sa.Column("time_to_first_replay_m", sa.BigInteger),
    sa.Column("time_to_first_export_m", sa.BigInteger),
    sa.Column("exact", sa.Text, nullable=False),
)

#: One row per customer with everything that is current, for whoever reads the database by SQL.
SEGMENTS_VIEW = sa.table(
    "ops_customer_segments",
    sa.column("as_of", Instant),
    sa.column("last_api_call", Instant),
    sa.column("last_event_at", Instant),
    *(sa.column(column.name, column.type) for column in CUSTOMER_SEGMENTS.c),
)

#: Suggested interventions and what became of them. ``triggering_signals`` and ``evidence`` are
#: JSON. ``is_open`` and ``is_measured`` follow from the rest; they are there to be searched by.
INTERVENTIONS = sa.Table(
    "interventions",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("tenant_id", SortableText, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("playbook_id", sa.Text),
    sa.Column("window_days", sa.BigInteger),
    sa.Column("intervention_type", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("suggested_action", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("expected_outcome", sa.Text, nullable=False),
    sa.Column("triggering_signals", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("suggested_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("accepted_at", Instant),
    sa.Column("dismissed_at", Instant),
    sa.Column("dismiss_reason", sa.Text),
    sa.Column("done_at", Instant),
    sa.Column("note", sa.Text),
    sa.Column("changed_at", Instant),
    sa.Column("changed_by", sa.Text),
    sa.Column("ended_at", Instant),
    sa.Column("effect", sa.Text),
    sa.Column("effect_closed_at", Instant),
    sa.Column("alone_effect", sa.Text),
    sa.Column("alone_closed_at", Instant),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("is_measured", sa.Boolean, nullable=False),
    # A number that a person has seen must not come to mean another row.
    sqlite_autoincrement=True,
)

#: The same is not suggested twice at a time, whoever evaluates.
INTERVENTIONS_ONE_OPEN = sa.Index(
    "interventions_one_open",
    INTERVENTIONS.c.tenant_uuid,
    INTERVENTIONS.c.rule,
    unique=True,
    sqlite_where=INTERVENTIONS.c.is_open,
    postgresql_where=INTERVENTIONS.c.is_open,
)
sa.Index("interventions_tenant", INTERVENTIONS.c.tenant_uuid, INTERVENTIONS.c.id)

#: Interventions as they were before each step of a person, for questions about an earlier moment.
#: ``before`` is JSON. What time does needs none of this: it bears its own moment.
INTERVENTION_STEPS = sa.Table(
    "intervention_steps",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("intervention_id", sa.BigInteger, nullable=False),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
)
sa.Index(
    "intervention_steps_row",
    INTERVENTION_STEPS.c.intervention_id,
    INTERVENTION_STEPS.c.recorded_at,
)
sa.Index("intervention_steps_tenant", INTERVENTION_STEPS.c.tenant_uuid)

#: Thresholds of the pulse that somebody changed; the newest row of a name holds. ``than`` is an
#: exact fraction as text. ``is_default``: from then on the definition holds again, and the
#: other values are empty.
ALERT_THRESHOLDS = sa.Table(
    "alert_thresholds",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("than", sa.Text),
    sa.Column("level", sa.Text),
    sa.Column("min_baseline", sa.BigInteger),
    sa.Column("is_enabled", sa.Boolean),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

#: What people said about the cause of an incident; the newest row of an incident holds.
INCIDENT_ATTRIBUTIONS = sa.Table(
    "incident_attributions",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("event_uuid", sa.Text, nullable=False),
    sa.Column("attribution", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index(
    "incident_attributions_incident",
    INCIDENT_ATTRIBUTIONS.c.tenant_uuid,
    INCIDENT_ATTRIBUTIONS.c.event_uuid,
)

#: The newest sample of each resource.
RESOURCES = sa.Table(
    "resources",
    METADATA,
    sa.Column("resource", SortableText, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("used", sa.Double, nullable=False),
    sa.Column("limit_value", sa.Double),
    sa.Column("unit", sa.Text),
    sa.Column("origin", sa.Text, nullable=False),
)

#: Every sample of every resource. ``received_at`` is empty where it came at its own moment.
RESOURCE_SAMPLES = sa.Table(
    "resource_samples",
    METADATA,
    sa.Column("resource", SortableText, primary_key=True),
    sa.Column("at", Instant, primary_key=True),
    sa.Column("used", sa.Double, nullable=False),
    sa.Column("limit_value", sa.Double),
    sa.Column("unit", sa.Text),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("received_at", Instant),
)

#: Lines that resources crossed: their warning share, and their limit.
RESOURCE_EDGES = sa.Table(
    "resource_edges",
    METADATA,
    sa.Column("resource", SortableText, primary_key=True),
    sa.Column("at", Instant, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("used", sa.Double, nullable=False),
    sa.Column("limit_value", sa.Double, nullable=False),
)

#: What was expected of resources, to be held against what came.
RESOURCE_PROJECTIONS = sa.Table(
    "resource_projections",
    METADATA,
    sa.Column("resource", SortableText, primary_key=True),
    sa.Column("as_of", Instant, primary_key=True),
    sa.Column("formula", sa.Text, nullable=False),
    sa.Column("used", sa.Double, nullable=False),
    sa.Column("limit_value", sa.Double),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("days_to_limit", sa.Double),
    sa.Column("days_low", sa.Double),
    sa.Column("days_high", sa.Double),
    sa.Column("growth_per_day", sa.Double),
    sa.Column("num_samples", sa.BigInteger, nullable=False),
    sa.Column("span_days", sa.Double, nullable=False),
    sa.Column("num_steps", sa.BigInteger, nullable=False),
    sa.Column("is_first_of_day", sa.Boolean, nullable=False),
)
sa.Index(
    "resource_projections_first",
    RESOURCE_PROJECTIONS.c.resource,
    RESOURCE_PROJECTIONS.c.as_of,
    sqlite_where=RESOURCE_PROJECTIONS.c.is_first_of_day,
    postgresql_where=RESOURCE_PROJECTIONS.c.is_first_of_day,
)

#: How the newest look of each probe went.
RESOURCE_PROBES = sa.Table(
    "resource_probes",
    METADATA,
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("checked_at", Instant, nullable=False),
    sa.Column("is_available", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
)

#: How each rule of alerts stands, and what was told of it. Rules that are well and of which nobody
#: was told need no row. ``alert_id`` follows from ``rule``.
ALERT_STATES = sa.Table(
    "alert_states",
    METADATA,
    sa.Column("alert_id", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("alert_group", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("tenant_uuid", sa.Text),
    sa.Column("since", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("told", sa.Text),
    sa.Column("told_at", Instant),
    sa.Column("starts_at", Instant),
    sa.Column("ok_since", Instant),
    sa.Column("acked_at", Instant),
    sa.Column("acked_by", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("snoozed_until", Instant),
    sa.Column("snoozed_by", sa.Text),
)
sa.Index("alert_states_tenant", ALERT_STATES.c.tenant_uuid)

#: Where alerts are sent. No secret is in here: ``secret`` is the name of one. ``recipients`` is
#: JSON.
ALERT_CHANNELS = sa.Table(
    "alert_channels",
    METADATA,
    sa.Column("channel_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("url", sa.Text),
    sa.Column("recipients", sa.Text, nullable=False),
    sa.Column("secret", sa.Text),
    sa.Column("least", sa.Text, nullable=False),
    sa.Column("wants_brief", sa.Boolean, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("disabled_reason", sa.Text),
)

#: The outbox. ``due_at`` is the moment of the next attempt, or from when on one that is under way
#: is taken for dead; empty when the delivery has ended. ``num_attempts`` is its fencing token.
ALERT_DELIVERIES = sa.Table(
    "alert_deliveries",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("delivery_id", sa.Text, nullable=False, unique=True),
    sa.Column("channel_id", sa.Text, nullable=False),
    sa.Column("matter", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("num_attempts", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("reason", sa.Text),
    sa.Column("ended_at", Instant),
    sqlite_autoincrement=True,
)
sa.Index("alert_deliveries_due", ALERT_DELIVERIES.c.due_at)

#: Whom a delivery names, so that an erasure finds it.
ALERT_DELIVERY_TENANTS = sa.Table(
    "alert_delivery_tenants",
    METADATA,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
)
sa.Index("alert_delivery_tenants_tenant", ALERT_DELIVERY_TENANTS.c.tenant_uuid)

#: Alerts about learners that were told and last, with the Monday of the week they were told in.
#: ``alert_id`` is a digest: who the learner is stands in the learners' own database only.
LEARNER_ALERTS = sa.Table(
    "learner_alerts",
    METADATA,
    sa.Column("alert_id", sa.Text, primary_key=True),
    sa.Column("told_week", sa.Text, nullable=False),
)

#: Versions of policies as they were written; a row never changes.
POLICY_VERSIONS = sa.Table(
    "policy_versions",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.UniqueConstraint("policy_id", "version"),
    sqlite_autoincrement=True,
)

#: Who has which version, a row for each tenant of each act; without a tenant it is for all who
#: have none of their own. The row with the highest ``id`` holds. Rows of one act share their
#: ``assignment_id``.
POLICY_ASSIGNMENTS = sa.Table(
    "policy_assignments",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("assignment_id", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("tenant_uuid", sa.Text),
    sa.Column("tenant_id", sa.Text),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("assigned_at", Instant, nullable=False),
    sa.Column("assigned_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("undoes", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index("policy_assignments_tenant", POLICY_ASSIGNMENTS.c.tenant_uuid)
sa.Index("policy_assignments_assignment", POLICY_ASSIGNMENTS.c.assignment_id)

#: Calls of incidents that were made again. ``content`` is sealed like a recording, and is emptied
#: after ``keep_until``. One that is still ``running`` after ``due_at`` has lost its process.
REPLAYS = sa.Table(
    "replays",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("replay_id", sa.Text, nullable=False, unique=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("incident_id", sa.Text, nullable=False),
    sa.Column("call_id", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("is_model_changed", sa.Boolean, nullable=False),
    sa.Column("policies", sa.Text, nullable=False),
    sa.Column("num_samples", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("error_type", sa.Text),
    sa.Column("content", sa.LargeBinary),
    sa.Column("keep_until", Instant),
    sqlite_autoincrement=True,
)
sa.Index("replays_tenant", REPLAYS.c.tenant_uuid)
sa.Index("replays_due", REPLAYS.c.due_at)

#: The new calls of a replay; ``content`` is sealed.
REPLAY_SAMPLES = sa.Table(
    "replay_samples",
    METADATA,
    sa.Column("replay_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("match_level", sa.Text),
    sa.Column("error_type", sa.Text),
    sa.Column("content", sa.LargeBinary),
)

#: Money set aside for one call, in units of 10^-10 US dollars. While ``spent`` is null, or its end
#: was never seen, all of ``reserved`` counts as spent. An erased tenant's rows lose the tenant.
REPLAY_SPENDING = sa.Table(
    "replay_spending",
    METADATA,
    sa.Column("reservation_id", sa.Text, primary_key=True),
    sa.Column("replay_id", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("tenant_uuid", sa.Text),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger),
    sa.Column("is_certain", sa.Boolean),
    sa.Column("reserved_at", Instant, nullable=False),
    sa.Column("settled_at", Instant),
)
sa.Index("replay_spending_day", REPLAY_SPENDING.c.day)
sa.Index("replay_spending_replay", REPLAY_SPENDING.c.replay_id)

#: Recorded calls judged by two versions of a policy, without any call.
POLICY_REPLAYS = sa.Table(
    "policy_replays",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("policy_replay_id", sa.Text, nullable=False, unique=True),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("version_before", sa.Text, nullable=False),
    sa.Column("version_after", sa.Text, nullable=False),
    sa.Column("start", Instant, nullable=False),
    sa.Column("as_of", Instant, nullable=False),
    sa.Column("tenant_ids", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("error_type", sa.Text),
    sa.Column("num_done", sa.Integer, nullable=False),
    sa.Column("digest", sa.Text),
    sqlite_autoincrement=True,
)

POLICY_REPLAY_TENANTS = sa.Table(
    "policy_replay_tenants",
    METADATA,
    sa.Column("policy_replay_id", sa.Text, primary_key=True),
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("difference", sa.Text, nullable=False),
)
sa.Index("policy_replay_tenants_tenant", POLICY_REPLAY_TENANTS.c.tenant_uuid)

#: What people said of blocked calls; of one call and policy the highest ``id`` holds.
BLOCK_JUDGEMENTS = sa.Table(
    "block_judgements",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("call_id", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("is_wrong", sa.Boolean, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("judged_at", Instant, nullable=False),
    sa.Column("judged_by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("block_judgements_tenant", BLOCK_JUDGEMENTS.c.tenant_uuid)

#: Versions given to tenants after a review, and what became of them.
POLICY_PROMOTIONS = sa.Table(
    "policy_promotions",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("promotion_id", sa.Text, nullable=False, unique=True),
    sa.Column("assignment_id", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("review_id", sa.Text, nullable=False),
    sa.Column("promoted_by", sa.Text, nullable=False),
    sa.Column("promoted_at", Instant, nullable=False),
    sa.Column("watched_until", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("reason", sa.Text),
    sqlite_autoincrement=True,
)

#: Calls to models as they were made, sealed under a key that is not here. ``policies`` names those
#: that looked at the call, as ``|ONE|OTHER|``; ``key_id`` says which key opens it.
RECORDED_CALLS = sa.Table(
    "recorded_calls",
    METADATA,
    sa.Column("tenant_uuid", sa.Text, primary_key=True),
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("policies", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
sa.Index(
    "recorded_calls_at",
    RECORDED_CALLS.c.at,
    RECORDED_CALLS.c.tenant_uuid,
    RECORDED_CALLS.c.call_id,
)
sa.Index("recorded_calls_tenant", RECORDED_CALLS.c.tenant_uuid, RECORDED_CALLS.c.at)
sa.Index("recorded_calls_call", RECORDED_CALLS.c.call_id)

#: For whom calls are recorded, a row for each time that somebody said so; the newest holds.
RECORDING_CHOICES = sa.Table(
    "recording_choices",
    METADATA,
    sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("is_on", sa.Boolean, nullable=False),
    sa.Column("retention_days", sa.BigInteger, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("recording_choices_tenant", RECORDING_CHOICES.c.tenant_uuid)

#: Tenants and keys whose calls to models were stopped; one that was lifted says so and stays.
FREEZES = sa.Table(
    "freezes",
    METADATA,
    sa.Column("freeze_id", sa.Text, primary_key=True),
    sa.Column("tenant_uuid", sa.Text),
    sa.Column("tenant_id", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("frozen_at", Instant, nullable=False),
    sa.Column("frozen_by", sa.Text, nullable=False),
    sa.Column("lifted_at", Instant),
    sa.Column("lifted_by", sa.Text),
    sa.Column("lift_reason", sa.Text),
)

#: Public halves of the keys that sign evidence. One that is not retired is the one in use.
EVIDENCE_KEYS = sa.Table(
    "evidence_keys",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("retired_at", Instant),
    sa.Column("revoked_at", Instant),
)

#: Files of evidence that people asked for. ``include`` is JSON; ``content`` is the file, as long as
#: it is kept, sealed where recorded texts are in it.
EVIDENCE_EXPORTS = sa.Table(
    "evidence_exports",
    METADATA,
    sa.Column("export_id", sa.Text, primary_key=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("incident_id", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("include", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("reason", sa.Text),
    sa.Column("certificate_id", sa.Text),
    sa.Column("num_bytes", sa.BigInteger),
    sa.Column("sealed_by", sa.Text),
    sa.Column("content", sa.LargeBinary),
)
sa.Index("evidence_exports_tenant", EVIDENCE_EXPORTS.c.tenant_uuid, EVIDENCE_EXPORTS.c.started_at)
sa.Index("evidence_exports_started", EVIDENCE_EXPORTS.c.started_at)

#: What is known of every file of evidence that was signed, so that it can be confirmed.
CERTIFICATES = sa.Table(
    "certificates",
    METADATA,
    sa.Column("certificate_id", sa.Text, primary_key=True),
    sa.Column("tenant_uuid", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("incident_id", sa.Text, nullable=False),
    sa.Column("incident_kind", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("issued_at", Instant, nullable=False),
)
sa.Index("certificates_tenant", CERTIFICATES.c.tenant_uuid)
