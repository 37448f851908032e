"""Builds one running Ebbtide from its settings, and takes it down again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime

import structlog

from ebbtide.alerts.sender import Sender
from ebbtide.api.auth import Authenticator
from ebbtide.api.services import Services
from ebbtide.app.data_dir import DataDir
from ebbtide.app.guarding import make_guard
from ebbtide.app.memory import give_back_memory
from ebbtide.app.outgoing import make_models, make_transport, write_brief_page
from ebbtide.app.probes import make_probes
from ebbtide.app.replaying import make_replay_lab
from ebbtide.app.settings import Settings
from ebbtide.app.stores import open_events, open_state
from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.schedule import load_schedules
from ebbtide.domain.errors import SettingsError
from ebbtide.domain.keys import Scope
from ebbtide.guard.assigned import AssignedPolicies, add_built_in
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.bulk import BulkLoader
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.ingest.mappings import Mappings
from ebbtide.ingest.release import Releaser
from ebbtide.ingest.stripe import StripeEndpoint
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.ingest.validate import Validator
from ebbtide.ingest.writer import Writer
from ebbtide.jobs.job import Stores
from ebbtide.jobs.registry import make_jobs
from ebbtide.jobs.runner import Runner
from ebbtide.jobs.scheduler import Scheduler
from ebbtide.replay.evidence.exports import Exports
from ebbtide.replay.evidence.keys import SigningKeys
from ebbtide.replay.evidence.visits import Visits
from ebbtide.signals.cause_memory import CauseMemory
from ebbtide.signals.product import ProductReader
from ebbtide.signals.pulse_memory import PulseMemory
from ebbtide.signals.read import CustomerReader
from ebbtide.signals.revenue_reading import RevenueReader
from ebbtide.signals.stretches import Stretches
from ebbtide.signals.watch import watch_over
from ebbtide.store.state.settings import SAMPLE_COMPANY

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The clock of the doors; everything below takes moments as arguments."""
    return datetime.now(UTC)


class House:
    """The stores and everything on them, opened together and closed together."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime] | None = None,
        *,
        make_first_key: bool = True,
    ) -> None:
        """Take the data folder, open and migrate the stores, start the writer.

        Args:
            clock: tells the present moment, UTC-aware. None: the doors read this machine's
                clock, and the schedule the one that all processes on the state store share.
            make_first_key: make an admin key when there is none; False where nobody would
                see its text.

        Raises:
            DataDirInUse: another process owns the folder.
            SettingsError: a setting cannot be used.
            StoreUnavailable, MigrationError: a store cannot be opened or brought up to date.
        """
        self.settings = settings
        os.umask(0o077)  # whatever the stores create is for this user alone
        with ExitStack() as stack:
            self.data_dir = stack.enter_context(DataDir(settings.data_dir))
            self.data_dir.take()
            events = open_events(settings)
            stack.callback(events.close)
            state = open_state(settings)
            stack.callback(state.close)
            state.migrate()
            events.migrate()
            shared_clock = clock or state.runs.now
            clock = clock or utc_now
            catalog = load_catalog()
            mappings = Mappings(  # a broken file is said at start, not at the first event
                settings.effective_sources_dir, is_required=settings.sources_dir is not None
            )
            directory = Directory(state)
            add_built_in(state, clock())
            missing = directory.reconcile(events, clock())
            if missing:
                log.warning("directory.reconciled", tenants=missing)
            accounting = Accounting()
            authenticator = Authenticator(state, clock)
            stack.callback(authenticator.close)
            prices = TokenPrices()
            validator = Validator(catalog, prices)
            writer = Writer(events, state, directory, accounting)
            stack.callback(writer.close)
            ingestor = Ingestor(validator, writer)
            schedules = load_schedules(every=settings.jobs_period)
            probes = make_probes(settings, events)
            stores = Stores(
                catalog, events, state, ingestor, probes, shared_clock, write_brief_page
            )
            jobs = make_jobs(schedules, stores)
            runner = Runner(state.runs, jobs, shared_clock)
            watch = watch_over(events, state)
            customers = CustomerReader(catalog, events, state, clock, watch)
            revenue = RevenueReader(catalog, events, state, customers, clock, watch)
            product = ProductReader(catalog, events, state, watch)
            pulse = PulseMemory(catalog, events, watch)
            causes = CauseMemory(catalog, events, watch)

            seen: list[int] = []

            def look_ahead() -> None:
                state.maintain()
                # Runs that watch come every minute and leave nothing new to look at.
                token = state.scores.head().token
                if seen != [token]:
                    customers.look_ahead()
                    revenue.look_ahead()
                    seen[:] = [token]
                product.look_ahead(clock())
                pulse.look(clock())
                causes.look_ahead(clock())
                give_back_memory()

            self.scheduler = Scheduler(runner, after_runs=look_ahead)
            stack.callback(self.scheduler.stop)
            self.sender = Sender(state.outbox, make_transport(settings), shared_clock)
            stack.callback(self.sender.stop)
            models = make_models(settings)
            stack.callback(models.close)
            policies = AssignedPolicies(state)
            guard = make_guard(settings, models, state, policies, ingestor, prices, clock)
            stack.callback(guard.close)
            lab = make_replay_lab(
                settings, models, guard, state, policies, ingestor, prices, shared_clock
            )
            stack.callback(lab.close)
            exports = Exports(
                state.certificates,
                SigningKeys(
                    state.certificates, settings.data_dir, settings.evidence_key_file, clock
                ),
                ingestor,
                clock,
                is_simulated=lambda: self.is_simulated,
                vault=guard.recorder.vault,
            )
            stack.callback(exports.close)
            self.services = Services(
                catalog=catalog,
                events=events,
                state=state,
                directory=directory,
                accounting=accounting,
                writer=writer,
                ingestor=ingestor,
                bulk=BulkLoader(validator, events, state, directory, accounting),
                releaser=Releaser(ingestor, state, mappings, clock, directory),
                runner=runner,
                sender=self.sender,
                customers=customers,
                revenue=revenue,
                product=product,
                pulse=pulse,
                causes=causes,
                stretches=Stretches(catalog, events, watch),
                mappings=mappings,
                models=models,
                guard=guard,
                policies=policies,
                lab=lab,
                stripe=StripeEndpoint(settings.stripe_secrets, settings.stripe_tenant_key),
                exports=exports,
                visits=Visits(),
                keeps_visitor_addresses=settings.cert_source_ip == "on",
                authenticator=authenticator,
                clock=clock,
                data_dir=settings.data_dir,
                receive_deadline_s=settings.receive_deadline_s,
            )
            self.first_key = self._first_key(make_first_key)
            self._stack = stack.pop_all()

    @property
    def has_admin_key(self) -> bool:
        """Whether some admin key can be used now."""
        now = self.services.clock()
        return any(
            key.allows(Scope.ADMIN) and key.is_active(now)
            for key in self.services.state.keys.list()
        )

    def _first_key(self, may_make: bool) -> str | None:
        """The first admin key: the operator's own, or a new one when there is none at all.

        Returns:
            The text of a key made now, to be shown once; None when there was one already.
        """
        keys = self.services.state.keys
        now = self.services.clock()
        given = self.settings.bootstrap_key
        if given is not None:
            try:
                keys.add(given.get_secret_value(), "bootstrap", {Scope.ADMIN}, now)
            except ValueError as error:
                raise SettingsError(f"EBBTIDE_BOOTSTRAP_KEY: {error}") from error
            return None
        if not may_make or self.has_admin_key:
            return None
        return keys.create("first admin key", {Scope.ADMIN}, now).text

    @property
    def is_simulated(self) -> bool:
        """Whether the sample company lives here, so that every answer has to say so."""
        return self.services.state.settings.get(SAMPLE_COMPANY) is not None

    def close(self) -> None:
        """Write what waits, close the stores, give the folder back."""
        self._stack.close()

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
