"""What is said about policies and their assignments, and what the routes answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ebbtide.api.dependencies import TenantId, without_nul
from ebbtide.catalog.policy import TEXT_MAX_CHARS, PolicyVersion, RuleText
from ebbtide.domain.policy import Assignment, StoredVersion
from ebbtide.domain.time import format_instant

TENANTS_MAX = 1_000
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(without_nul),
]

EXAMPLE = """id = "NO_PROMISES"
version = "v1"
title = "No promises"
meaning = "The answer promises something that nobody may promise."
stages = ["output"]
action = "warn"
severity = 2

[[rules]]
name = "guarantee"
when = "output.contains('we guarantee')"
says = "The answer promises something."
"""


class VersionBody(BaseModel):
    """A new version of a policy."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"definition": EXAMPLE}]}
    )

    definition: Annotated[str, AfterValidator(without_nul)] = Field(
        min_length=1, max_length=TEXT_MAX_CHARS, description="In TOML or JSON, as text."
    )


class WhomBody(BaseModel):
    """For whom, and why; ``confirm`` says that the calls of these tenants are meant."""

    model_config = ConfigDict(extra="forbid")

    tenants: list[TenantId] | None = Field(None, min_length=1, max_length=TENANTS_MAX)
    default: bool = Field(False, description="For all who have no version of their own.")
    reason: Reason
    confirm: bool = Field(False, description="Must be true.")


class AssignBody(WhomBody):
    """Who is to have which version."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "version": "v2",
                    "tenants": ["acme-ai"],
                    "reason": "v2 lets through what v1 blocked wrongly.",
                    "confirm": True,
                }
            ]
        },
    )

    version: str = Field(
        min_length=1,
        max_length=64,
        description="A version; off: not checked; default, for tenants: as all others have it.",
    )


class UndoBody(BaseModel):
    """Why an assignment is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    confirm: bool = Field(False, description="Must be true.")


class RuleShown(BaseModel):
    """One rule of a version."""

    name: str
    says: str
    action: str
    severity: int
    when: str | None = Field(description="Expression; null with a detector.")
    detector: str | None
    options: dict[str, Any]


class VersionShown(BaseModel):
    """A version as it was written; it never changes."""

    version: str
    digest: str = Field(description="SHA-256 of its content.")
    title: str
    meaning: str
    stages: list[str]
    action: str
    severity: int
    rules: list[RuleShown]
    definition: str
    created_at: str
    created_by: str


class VersionMade(VersionShown):
    """A version that is kept now."""

    policy_id: str
    is_new: bool = Field(description="false: the same was there already.")


class AssignmentShown(BaseModel):
    """Who had which version from a moment on."""

    assignment_id: str = Field(description="Of the act; one act may be about many tenants.")
    policy_id: str
    tenant_id: str | None = Field(description="null: all who have none of their own.")
    version: str
    previous: str
    assigned_at: str
    assigned_by: str
    reason: str
    undoes: str | None


class PolicySummary(BaseModel):
    """A policy, and who has it."""

    policy_id: str
    title: str
    meaning: str
    versions: list[str] = Field(description="In the order in which they came.")
    default_version: str | None = Field(description="null: nobody has it who has no other.")
    tenants: dict[str, str] = Field(description="Tenants with a version of their own.")


class PolicyList(BaseModel):
    """All policies, by id."""

    as_of: str
    items: list[PolicySummary]


class PolicyShown(BaseModel):
    """A policy with its versions and everything that was ever decided about it."""

    as_of: str
    policy_id: str
    default_version: str | None
    tenants: dict[str, str]
    versions: list[VersionShown]
    assignments: list[AssignmentShown] = Field(description="Newest first.")


class Assigned(BaseModel):
    """What was decided; ``assignment_id`` takes it back."""

    assignment_id: str
    items: list[AssignmentShown]
    is_recorded: bool = Field(
        description="Whether it stands among the changes; false when events cannot be stored now."
    )


def version_shown(stored: StoredVersion, version: PolicyVersion) -> VersionShown:
    """One version."""
    return VersionShown(
        version=stored.version,
        digest=stored.digest,
        title=version.title,
        meaning=version.meaning,
        stages=[stage.value for stage in version.stages],
        action=version.action,
        severity=version.severity,
        rules=[_rule_shown(one) for one in version.rules],
        definition=stored.definition,
        created_at=format_instant(stored.created_at),
        created_by=stored.created_by,
    )


def assignment_shown(one: Assignment) -> AssignmentShown:
    """One assignment."""
    return AssignmentShown(
        assignment_id=one.assignment_id,
        policy_id=one.policy_id,
        tenant_id=one.tenant_id,
        version=one.version,
        previous=one.previous,
        assigned_at=format_instant(one.assigned_at),
        assigned_by=one.assigned_by,
        reason=one.reason,
        undoes=one.undoes,
    )


def _rule_shown(one: RuleText) -> RuleShown:
    return RuleShown(
        name=one.name,
        says=one.says,
        action=one.action,
        severity=one.severity,
        when=one.when,
        detector=one.detector,
        options={
            name: float(value) if hasattr(value, "is_finite") else value
            for name, value in one.options.items()
        },
    )
