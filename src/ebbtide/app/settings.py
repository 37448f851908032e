"""Settings from the environment, with defaults that need no reading."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

EVENTS_FILE = "events.duckdb"
STATE_FILE = "state.sqlite"


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
    url: str | None = Field(
        None,
        description="Server that the command line talks to; default: the one on this folder.",
    )
    api_key: SecretStr | None = Field(
        None, description="Key that the command line uses when it talks to EBBTIDE_URL."
    )

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
