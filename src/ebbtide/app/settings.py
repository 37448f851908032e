"""Settings from the environment, with defaults that need no reading."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ebbtide.catalog.schedule import check_every, parse_duration
from ebbtide.domain.errors import SettingsError

EVENTS_FILE = "events.duckdb"
STATE_FILE = "state.sqlite"
RECORDING_KEY_BYTES = 32
SECRET_MIN_CHARS = 16  # those of Stripe have 38; a shorter one is a mistake


class Settings(BaseSettings):
    """Every setting is an environment variable ``EBBTIDE_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="EBBTIDE_", extra="ignore")

    data_dir: Path = Field(Path("data"), description="Folder of the embedded stores.")
    events_url: str | None = Field(
        None,
        description="Where events live: duckdb:///file, postgresql://..., clickhouse://... or "
        "chdb:///folder. Default: a DuckDB file in the data folder.",
    )
    state_url: str | None = Field(
        None,
        description="Where keys, quarantine and the directory live: sqlite:///file or "
        "postgresql://... Default: a SQLite file in the data folder.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; loopback by default.")
    port: int = Field(8321, ge=0, le=65535, description="Port to listen on.")
    bootstrap_key: SecretStr | None = Field(
        None,
        description="First admin key for unattended starts: 32 to 512 visible characters.",
    )
    sources_dir: Path | None = Field(
        None,
        description="Folder of your own mapping files. Default: sources in the data folder.",
    )
    duckdb_memory_mb: int = Field(
        512, ge=64, description="Memory DuckDB may use, caches included, in MB."
    )
    header_deadline_s: float = Field(
        10.0, gt=0, description="Seconds in which the header of a request must arrive."
    )
    receive_deadline_s: float = Field(
        30.0, gt=0, description="Seconds in which the body of a request must arrive."
    )
    scheduler: Literal["on", "off"] = Field(
        "on", description="Whether the server runs jobs at their slots by itself: on or off."
    )
    jobs_every: str | None = Field(
        None,
        description="Period of every job, such as 5m, 15m or 1h; it divides a day. Default: what "
        "schedules.toml says, from 1m for alerts to 1h for the brief.",
    )
    probe_postgres_url: SecretStr | None = Field(
        None,
        description="PostgreSQL whose size and connections are watched. Default: the one that "
        "holds our own stores, if any does.",
    )
    probe_postgres_max_gb: float | None = Field(
        None, gt=0, description="GB that its plan or disk allows; the server does not know."
    )
    probe_redis_url: SecretStr | None = Field(
        None,
        description="Redis whose memory and clients are watched: redis:// or rediss://, with "
        "user and password if it wants them.",
    )
    stripe_webhook_secret: SecretStr | None = Field(
        None,
        description="Signing secret of the Stripe endpoint POST /v1/webhooks/stripe; several with "
        "commas between them while one is exchanged for another. Default: the endpoint is closed.",
    )
    stripe_tenant_key: str = Field(
        "tenant_id",
        min_length=1,
        description="Metadata key of Stripe subscriptions that names our tenant; without it the "
        "tenant is the Stripe customer.",
    )
    egress_allow: str = Field(
        "",
        description="Networks beyond the public internet that webhooks may be sent to, such as "
        "10.1.0.0/16, with commas between them. Default: none.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server: smtps://user:password@host or smtp://... with STARTTLS; "
        "smtp://host?tls=off for a relay on the own network. Default: no mail is sent.",
    )
    mail_from: str | None = Field(None, description="Address that mail comes from.")
    secrets_dir: Path | None = Field(
        None,
        description="Folder with a file for each secret of an alert channel, named like it; the "
        "variable EBBTIDE_SECRET_<NAME> wins.",
    )
    upstreams: Path | None = Field(
        None,
        description="TOML file that names the providers of models, for the guard proxy and for "
        "replays. Default: no model is called.",
    )
    recording_key: SecretStr | None = Field(
        None,
        description="Key that seals recorded calls: 32 random bytes in base64. Several with "
        "commas between them: the first seals, all open. Default: nothing can be recorded.",
    )
    recording_key_file: Path | None = Field(
        None, description="File with that key; EBBTIDE_RECORDING_KEY wins."
    )
    evidence_key_file: Path | None = Field(
        None,
        description="File with the Ed25519 key that signs evidence, in PEM. Default: one is made in"
        " the data folder when it is first needed.",
    )
    cert_source_ip: Literal["on", "off"] = Field(
        "off",
        description="Whether CERT_VERIFIED holds the visitor's address, which is personal data: on "
        "or off.",
    )
    replay_run_cap_usd: Decimal = Field(
        Decimal(1), ge=0, description="US dollars that one replay may cost, all samples together."
    )
    replay_tenant_day_cap_usd: Decimal = Field(
        Decimal(5), ge=0, description="US dollars that replays of one customer may cost a UTC day."
    )
    replay_day_cap_usd: Decimal = Field(
        Decimal(20), ge=0, description="US dollars that all replays may cost a UTC day."
    )
    replay_unknown_price_usd: Decimal | None = Field(
        None,
        ge=0,
        description="What a replayed call counts as when no price is known of its model, such as 0"
        " for a server of your own. Default: such a model is not called.",
    )
    replay_embeddings_model: str | None = Field(
        None,
        description="Model whose embeddings measure how alike two outputs are; one that the"
        " upstreams name. Default: the words that they share.",
    )
    url: str | None = Field(
        None,
        description="Server that the command line talks to; default: the one on this folder.",
    )
    api_key: SecretStr | None = Field(
        None, description="Key that the command line uses when it talks to EBBTIDE_URL."
    )
    api_key_file: Path | None = Field(
        None,
        description="File with that key, such as a systemd credential; EBBTIDE_API_KEY wins.",
    )

    @field_validator("jobs_every")
    @classmethod
    def _check_jobs_every(cls, text: str | None) -> str | None:
        if text is not None:
            check_every(parse_duration(text))
        return text

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _check_stripe_webhook_secret(cls, text: SecretStr | None) -> SecretStr | None:
        for one in _parts(text):
            if len(one) < SECRET_MIN_CHARS or not one.isascii() or not one.isprintable():
                raise ValueError(f"a secret has at least {SECRET_MIN_CHARS} visible characters")
        return text

    @field_validator("egress_allow")
    @classmethod
    def _check_egress_allow(cls, text: str) -> str:
        from ebbtide.egress.addresses import read_networks  # most commands start without it

        read_networks(text)
        return text

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, text: SecretStr | None) -> SecretStr | None:
        if text is not None:
            from ebbtide.egress.mail import read_mail_server

            read_mail_server(text.get_secret_value())
        return text

    @field_validator("mail_from")
    @classmethod
    def _check_mail_from(cls, text: str | None) -> str | None:
        if text is not None:
            from ebbtide.egress.mail import check_mailbox

            check_mailbox(text)
        return text

    @property
    def stripe_secrets(self) -> tuple[bytes, ...]:
        """The signing secrets of the Stripe endpoint; empty when it is closed."""
        return tuple(one.encode() for one in _parts(self.stripe_webhook_secret))

    @property
    def jobs_period(self) -> timedelta | None:
        """The period of every job; None leaves each its own."""
        return None if self.jobs_every is None else parse_duration(self.jobs_every)

    @property
    def effective_api_key(self) -> str:
        """The command line's key; empty when none is given.

        Raises:
            SettingsError: its file cannot be read.
        """
        return _given(self.api_key, self.api_key_file, "EBBTIDE_API_KEY_FILE")

    @property
    def effective_recording_keys(self) -> tuple[bytes, ...]:
        """The keys of recordings, 32 bytes each, the sealing one first; empty when none is given.

        Raises:
            SettingsError: the file cannot be read, or what is given is no such key.
        """
        text = _given(self.recording_key, self.recording_key_file, "EBBTIDE_RECORDING_KEY_FILE")
        try:
            keys = tuple(b64decode(one, validate=True) for one in text.replace(",", " ").split())
        except ValueError as error:
            raise SettingsError("EBBTIDE_RECORDING_KEY is no base64") from error
        if any(len(one) != RECORDING_KEY_BYTES for one in keys):
            raise SettingsError(
                f"EBBTIDE_RECORDING_KEY: a key has {RECORDING_KEY_BYTES} bytes; make one with: "
                "openssl rand -base64 32"
            )
        return keys

    @property
    def effective_events_url(self) -> str:
        """The event store in use."""
        return self.events_url or self._in_data_dir("duckdb", EVENTS_FILE)

    @property
    def effective_state_url(self) -> str:
        """The state store in use."""
        return self.state_url or self._in_data_dir("sqlite", STATE_FILE)

    @property
    def effective_sources_dir(self) -> Path:
        """The folder of the user's mapping files."""
        return self.sources_dir or self.data_dir / "sources"

    def _in_data_dir(self, scheme: str, name: str) -> str:
        return f"{scheme}:///{quote(str(self.data_dir.absolute() / name))}"


def _given(secret: SecretStr | None, file: Path | None, name: str) -> str:
    """A secret from its variable, else from its file; empty when there is neither."""
    if secret is not None:
        return secret.get_secret_value()
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{name}: cannot read {file}: {reason}") from error


def _parts(text: SecretStr | None) -> list[str]:
    """Secrets with commas between them."""
    parts = [] if text is None else text.get_secret_value().split(",")
    return [one.strip() for one in parts if one.strip()]
