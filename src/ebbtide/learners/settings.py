"""What the inactivity job is told by the environment, under the names that its users know."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ebbtide.domain.errors import SettingsError

_SCHEME = re.compile(r"postgres(ql)?(\+[a-z0-9_]+)?://")


class LearnerSettings(BaseSettings):
    """Every setting is an environment variable of the same name in capitals, without a prefix."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, frozen=True)

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL of the learners: postgresql:// or postgresql+psycopg2://."
    )
    inactivity_threshold_days: int = Field(
        7, ge=0, le=36_500, description="Days without any activity that make a user inactive."
    )
    kpi_lookback_days: int = Field(
        30, description="Read for the sake of existing set-ups; no formula uses it."
    )
    metrics_default_target: float = Field(
        0.0, allow_inf_nan=False, description="Target of P for a user without goals."
    )
    metrics_use_bayesian: bool = Field(
        False, description="Whether P comes from exam scores even where an estimate is stored."
    )
    metrics_churn_horizon_days: int = Field(
        14, gt=0, le=36_500, description="Days of silence after which silence alone weighs in full."
    )
    debug: bool = Field(False, description="Whether each user gets a line of log.")
    learner_sources: Path | None = Field(
        None, description="File of your own that adds activity tables, or replaces some."
    )


def read_learner_settings(**overrides: object) -> LearnerSettings:
    """Settings from the environment; values that are given win, None is not given.

    Raises:
        SettingsError: a value cannot be used; the message names the variable, not the value.
    """
    try:
        return LearnerSettings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError.of_faults(error.errors()) from None


def libpq_url(settings: LearnerSettings) -> str:
    """The address as PostgreSQL's own library reads it: without SQLAlchemy's driver name.

    Raises:
        SettingsError: there is none, or it is no address of a PostgreSQL.
    """
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL is not set; it names the PostgreSQL of the learners")
    text = settings.database_url.get_secret_value().strip()
    found = _SCHEME.match(text)
    if found is None:
        raise SettingsError("DATABASE_URL must begin with postgresql:// or postgresql+psycopg2://")
    return f"postgresql://{text[found.end() :]}"
