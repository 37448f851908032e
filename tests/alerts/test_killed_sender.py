"""A sender whose process is killed again and again, with a real store, real sockets, real kills."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alert_receivers import receiving
from ebbtide.alerts.retries import ATTEMPTS_MAX
from ebbtide.domain.alert import AlertStatus, Channel, ChannelKind, DeliveryStatus, Matter, Message
from ebbtide.store.state.base import StateStore

NUM_MESSAGES, NUM_KILLS = 60, 25
T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)

# Its clock runs a thousand times as fast, so that leases and pauses pass while somebody watches.
_SENDER = """
    import sys, time
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from ebbtide.alerts.secrets import Secrets
    from ebbtide.alerts.sender import Sender
    from ebbtide.alerts.transport import Transport
    from ebbtide.egress.addresses import Reach, read_networks
    from ebbtide.egress.http import HttpClient
    from ebbtide.store.state.sqlite import SQLiteStateStore

    path, url, began = sys.argv[1], sys.argv[2], float(sys.argv[3])
    state = SQLiteStateStore(Path(path))
    http = HttpClient(Reach(read_networks("127.0.0.1")))
    transport = Transport(http, None, None, Secrets({"URL": url}))
    t0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
    clock = lambda: t0 + timedelta(seconds=(time.monotonic() - began) * 1000)
    sender = Sender(state.outbox, transport, clock, look_every_s=0.01)
    sender.start()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_every_message_ends_although_the_process_is_killed_all_the_time(
    state: StateStore, tmp_path: Path
) -> None:
    draw = random.Random(5)
    for name in ("a", "b", "c"):
        state.outbox.add_channel(
            Channel(
                name, name, ChannelKind.SLACK, None, (), "URL", AlertStatus.ALERT, False, T0, "k"
            )
        )
    for number in range(NUM_MESSAGES):
        channel = "abc"[number % 3]
        state.outbox.put_now(
            Message(f"msg_{number}", channel, Matter.ALERTS, f'{{"number":{number}}}', T0)
        )
    with receiving() as receiver:
        words = [sys.executable, "-c", textwrap.dedent(_SENDER), str(tmp_path / "state.sqlite")]
        began = str(time.monotonic())
        for kill in range(NUM_KILLS + 1):
            process = subprocess.Popen([*words, receiver.url, began], stdout=subprocess.PIPE)
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            receiver.status = draw.choice([200, 500, 503])
            if kill == NUM_KILLS:
                receiver.status = 200
                _wait_for_the_end(state)
            else:
                time.sleep(draw.random() * 0.1)  # until the blow falls
            process.kill()
            process.wait()
            process.stdout.close()
        arrived = {request.body for request in receiver.seen}
    for number in range(NUM_MESSAGES):
        one = state.outbox.get(f"msg_{number}")
        assert one.status in (DeliveryStatus.DELIVERED, DeliveryStatus.DEAD), one
        assert one.num_attempts <= ATTEMPTS_MAX
        if one.status is DeliveryStatus.DELIVERED:
            assert one.body.encode() in arrived


def _wait_for_the_end(state: StateStore) -> None:
    until = time.monotonic() + 45
    while time.monotonic() < until:
        open_ones = [
            state.outbox.list_newest(status=status)
            for status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
        ]
        if not any(open_ones):
            return
        time.sleep(0.1)
