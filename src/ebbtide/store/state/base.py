"""The state store port: what an installation knows beside its events, shelf by shelf.

``keys``, ``quarantine``, ``tenants``, ``imports``, ``runs`` and so on each have a file of their own
with their methods; a concrete store (``sqlite``, ``postgres``) only brings its database.
Every method is one transaction, durable when it returns, and may be called from any thread.
Moments are arguments: nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.alerts import Alerts, forget_states
from ebbtide.store.state.attributions import Attributions
from ebbtide.store.state.certificates import Certificates, forget_evidence
from ebbtide.store.state.database import Database
from ebbtide.store.state.freezes import Freezes
from ebbtide.store.state.imports import Imports
from ebbtide.store.state.interventions import Interventions
from ebbtide.store.state.judgements import Judgements, forget_judgements
from ebbtide.store.state.keys import Keys
from ebbtide.store.state.learner_alerts import LearnerAlerts
from ebbtide.store.state.migrate import migrate
from ebbtide.store.state.outbox import Outbox, forget_deliveries
from ebbtide.store.state.policies import Policies
from ebbtide.store.state.policy_replays import PolicyReplays, forget_differences
from ebbtide.store.state.promotions import Promotions
from ebbtide.store.state.quarantine import Quarantine
from ebbtide.store.state.recordings import Recordings, forget_recordings
from ebbtide.store.state.replays import Replays, forget_replays
from ebbtide.store.state.resources import Resources
from ebbtide.store.state.runs import Runs
from ebbtide.store.state.scores import Scores, forget
from ebbtide.store.state.settings import Settings
from ebbtide.store.state.spending import SpendingShelf, forget_spender
from ebbtide.store.state.tables import (
    API_KEYS,
    ERASURES,
    FREEZES,
    INCIDENT_ATTRIBUTIONS,
    INTERVENTION_STEPS,
    INTERVENTIONS,
    JOB_FAILED_TENANTS,
    POLICY_ASSIGNMENTS,
    QUARANTINE,
    TENANT_PASTS,
    TENANTS,
)
from ebbtide.store.state.tenants import Tenants
from ebbtide.store.state.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Erasure:
    """What went when a tenant was erased here; its events are the event store's matter."""

    tenant_uuid: str
    erased_at: datetime
    num_quarantine_rows: int
    num_keys: int


class StateStore:
    """Operational state in one transactional database.

    Every method of every shelf raises StoreUnavailable when the database cannot answer and
    StorageFull when it has no space; nothing is half done then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.keys = Keys(database)
        self.quarantine = Quarantine(database)
        self.tenants = Tenants(database)
        self.imports = Imports(database)
        self.settings = Settings(database)
        self.runs = Runs(database)
        self.scores = Scores(database)
        self.interventions = Interventions(database)
        self.thresholds = Thresholds(database)
        self.resources = Resources(database)
        self.attributions = Attributions(database)
        self.alerts = Alerts(database)
        self.learner_alerts = LearnerAlerts(database)
        self.outbox = Outbox(database)
        self.policies = Policies(database)
        self.certificates = Certificates(database)
        self.replays = Replays(database)
        self.spending = SpendingShelf(database)
        self.policy_replays = PolicyReplays(database)
        self.judgements = Judgements(database)
        self.promotions = Promotions(database)
        self.recordings = Recordings(database)
        self.freezes = Freezes(database)

    @property
    def engine(self) -> str:
        """Engine word as in EBBTIDE_STATE_URL."""
        return self._database.name

    def migrate(self) -> list[str]:
        """Bring the schema up to date; returns the revisions applied now, empty when none were.

        All steps are one transaction. Processes that start together wait for one another, and
        the first one does the work.

        Raises:
            SchemaTooNew: the database was written by a newer Ebbtide; it is not touched.
            MigrationError: the database has a revision that never was one of ours.
        """
        return migrate(self._database)

    def maintain(self) -> None:
        """Tidy up between writes, so that no write has to; nobody waits for it."""
        self._database.maintain()

    def erase_tenant(self, tenant_id: str, at: datetime) -> Erasure:
        """Delete what is kept here about a tenant, and write the erasure into the ledger.

        Its directory entry, its quarantined events and the keys bound to it go. Quarantined
        events whose tenant could not be read from them are not found by this.

        Args:
            tenant_id: in any spelling, or its UUID.
            at: the moment of the erasure, UTC-aware.
        """
        uuid = to_uuid_text(tenant_id)
        insert = self._database.insert(ERASURES).values(tenant_uuid=uuid, erased_at=at)
        with self._database.write() as connection:
            # A run that is about to write suggestions must see this in the ledger, or be seen here.
            self._database.take_turn(connection, "interventions")
            bound = [
                row.key_id
                for row in connection.execute(
                    sa.select(API_KEYS.c.key_id, API_KEYS.c.tenant_id).where(
                        API_KEYS.c.tenant_id.is_not(None)
                    )
                )
                if to_uuid_text(row.tenant_id) == uuid
            ]
            connection.execute(sa.delete(API_KEYS).where(API_KEYS.c.key_id.in_(bound)))
            rows = connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.tenant_uuid == uuid))
            for table in (
                JOB_FAILED_TENANTS,
                INTERVENTION_STEPS,
                INTERVENTIONS,
                INCIDENT_ATTRIBUTIONS,
                TENANT_PASTS,
                POLICY_ASSIGNMENTS,
                FREEZES,
            ):
                connection.execute(sa.delete(table).where(table.c.tenant_uuid == uuid))
            forget(connection, self._database, uuid)
            forget_states(connection, uuid)
            forget_deliveries(connection, uuid, at)
            forget_evidence(connection, uuid)
            forget_replays(connection, uuid)
            forget_spender(connection, uuid)
            forget_differences(connection, uuid)
            forget_judgements(connection, uuid)
            forget_recordings(connection, uuid)
            connection.execute(sa.delete(TENANTS).where(TENANTS.c.tenant_uuid == uuid))
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[ERASURES.c.tenant_uuid],
                    set_={"erased_at": insert.excluded.erased_at},
                    where=insert.excluded.erased_at > ERASURES.c.erased_at,
                )
            )
        self._database.forget_traces()
        return Erasure(uuid, at, rows.rowcount, len(bound))

    def ping(self) -> None:
        """Return when the database answers; raise StoreUnavailable when it does not."""
        with self._database.read() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def close(self) -> None:
        """Release files and connections; the store is not usable after it."""
        self._database.close()
