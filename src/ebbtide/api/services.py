"""What the HTTP door needs to do its work; put together by the wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from starlette.requests import Request

from ebbtide.alerts.sender import Sender
from ebbtide.api.auth import Authenticator
from ebbtide.catalog.loader import Catalog
from ebbtide.egress.models import ModelClient
from ebbtide.guard.assigned import AssignedPolicies
from ebbtide.guard.guard import Guard
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.bulk import BulkLoader
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.ingest.mappings import Mappings
from ebbtide.ingest.release import Releaser
from ebbtide.ingest.stripe import StripeEndpoint
from ebbtide.ingest.writer import Writer
from ebbtide.jobs.runner import Runner
from ebbtide.replay.evidence.exports import Exports
from ebbtide.replay.evidence.visits import Visits
from ebbtide.replay.lab import ReplayLab
from ebbtide.signals.cause_memory import CauseMemory
from ebbtide.signals.product import ProductReader
from ebbtide.signals.pulse_memory import PulseMemory
from ebbtide.signals.read import CustomerReader
from ebbtide.signals.revenue_reading import RevenueReader
from ebbtide.signals.stretches import Stretches
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore


@dataclass(frozen=True, slots=True)
class Services:
    """One running Ebbtide."""

    catalog: Catalog
    events: EventStore
    state: StateStore
    directory: Directory
    accounting: Accounting
    writer: Writer
    ingestor: Ingestor
    bulk: BulkLoader
    releaser: Releaser
    runner: Runner
    sender: Sender
    customers: CustomerReader
    revenue: RevenueReader
    product: ProductReader
    pulse: PulseMemory
    causes: CauseMemory
    stretches: Stretches
    mappings: Mappings
    models: ModelClient
    guard: Guard
    policies: AssignedPolicies
    lab: ReplayLab
    stripe: StripeEndpoint
    exports: Exports
    visits: Visits
    keeps_visitor_addresses: bool
    authenticator: Authenticator
    clock: Callable[[], datetime]
    data_dir: Path
    receive_deadline_s: float


def services_of(request: Request) -> Services:
    """The services behind a request."""
    services: Services = request.app.state.services
    return services
