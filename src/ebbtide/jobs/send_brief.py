"""``send-brief``: once a day the brief goes to every channel that wants it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ebbtide.alerts.brief import write_brief
from ebbtide.alerts.channels import make_message
from ebbtide.alerts.messages import text_body
from ebbtide.domain.alert import Channel, ChannelKind, Matter, Message
from ebbtide.domain.errors import NotFound
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.signals.read import CustomerReader
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.settings import SAMPLE_COMPANY

HOUR_UTC = 6  # before most working days begin, from Lisbon to Delhi
PRESENT = timedelta(minutes=10)


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return SendBrief(stores)


class SendBrief:
    """Runs every hour, so that a morning on which nothing ran is made up for the same day."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._now = stores.clock or stores.state.runs.now
        self._customers = CustomerReader(stores.catalog, stores.events, stores.state, self._now)

    def run(self, context: RunContext) -> JobOutcome:
        """Write today's brief for whoever has not got it."""
        state, at = self._stores.state, context.as_of
        due_at = at.replace(hour=HOUR_UTC, minute=0, second=0, microsecond=0)
        if at < due_at or self._now() - at > PRESENT:
            return JobOutcome({"num_briefs": 0}, message="No brief is due")
        waiting = [one for one in state.outbox.channels() if self._is_waiting(one, due_at)]
        if not waiting:
            return JobOutcome({"num_briefs": 0}, message="Everybody has today's brief")
        context.check()
        stores = self._stores
        brief = write_brief(stores.catalog, stores.events, state, self._customers, due_at)
        is_simulated = state.settings.get(SAMPLE_COMPANY) is not None
        messages = []
        for channel in waiting:
            title = f"Brief of {due_at:%Y-%m-%d}: {brief.state.replace('_', ' ')}"
            body = text_body(channel.kind, title, brief.lines, is_simulated=is_simulated)
            if channel.kind is ChannelKind.EMAIL and stores.brief_page is not None:
                body["html"] = stores.brief_page(brief, is_simulated=is_simulated)
            message = make_message(channel, Matter.BRIEF, body, at, due_at.date())
            messages.append(replace(message, tenant_uuids=brief.tenant_uuids))

        def write(transaction: Transaction) -> None:
            state.outbox.put(transaction, messages)

        return JobOutcome({"num_briefs": len(messages)}, write=write)

    def _is_waiting(self, channel: Channel, due_at: datetime) -> bool:
        if not (channel.wants_brief and channel.is_enabled):
            return False
        message: Message = make_message(channel, Matter.BRIEF, {}, due_at, due_at.date())
        try:
            self._stores.state.outbox.get(message.delivery_id)
        except NotFound:
            return True
        return False
