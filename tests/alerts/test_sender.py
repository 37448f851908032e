"""Deliveries over real sockets: each bad receiver is shown for what it is, and delays no other."""

from __future__ import annotations

import base64
import hmac
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from alert_receivers import Receiver, closed_port, listening, receiving, receiving_mail
from ebbtide.alerts.retries import ATTEMPTS_MAX, PAUSES, next_pause
from ebbtide.alerts.secrets import Secrets
from ebbtide.alerts.sender import LEASE, Sender
from ebbtide.alerts.signature import read_keys
from ebbtide.alerts.transport import Result, Transport
from ebbtide.domain.alert import (
    AlertStatus,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryStatus,
    Matter,
    Message,
)
from ebbtide.egress.addresses import Reach, read_networks
from ebbtide.egress.http import HttpClient
from ebbtide.egress.line import Bounds
from ebbtide.egress.mail import MailClient, read_mail_server
from ebbtide.store.state.base import StateStore

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
LOOPBACK = read_networks("127.0.0.1")
QUICK = Bounds(connect_s=0.5, total_s=0.4)
KEY = bytes(range(32))
SIGNING = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Clock:
    now: datetime = T0

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Post:
    """A sender with its outbox and clock; ``secrets`` may be filled by a test."""

    state: StateStore
    clock: Clock = field(default_factory=Clock)
    secrets: dict[str, str] = field(default_factory=lambda: {"SIGNING": SIGNING})
    mail_url: str | None = None
    reach: Reach = field(default_factory=lambda: Reach(LOOPBACK))
    bounds: Bounds = field(default_factory=Bounds)

    def sender(self) -> Sender:
        mail = None
        if self.mail_url is not None:
            server = read_mail_server(self.mail_url)
            mail = MailClient(server, LOOPBACK, bounds=self.bounds)
        http = HttpClient(self.reach, bounds=self.bounds)
        transport = Transport(http, mail, "ebbtide@a.example", Secrets(self.secrets))
        return Sender(self.state.outbox, transport, self.clock)

    def channel(
        self,
        name: str,
        kind: ChannelKind = ChannelKind.WEBHOOK,
        url: str | None = None,
        secret: str | None = "SIGNING",
    ) -> None:
        to = ("ops@a.example", "cto@a.example") if kind is ChannelKind.EMAIL else ()
        self.state.outbox.add_channel(
            Channel(name, name, kind, url, to, secret, AlertStatus.WARNING, False, T0, "key k")
        )

    def put(self, channel: str, number: int = 1, body: str = '{"a":"\u00e4"}') -> str:
        name = f"msg_{channel}_{number}"
        self.state.outbox.put_now(Message(name, channel, Matter.ALERTS, body, self.clock.now))
        return name

    def run(self, sender: Sender | None = None) -> None:
        for thread in (sender or self.sender()).tick():
            thread.join()

    def standing(self) -> dict[str, tuple[str, str | None]]:
        found = [one for _, one in self.state.outbox.list_newest()]
        return {one.channel_id: (one.status.value, one.reason) for one in found}


@pytest.fixture
def post(state: StateStore) -> Post:
    return Post(state)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_a_webhook_arrives_signed_and_with_nothing_else_in_its_head(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    post.secrets["SIGNING"] = f"{SIGNING}, whsec_{base64.b64encode(b'b' * 24).decode()}"
    post.channel("ops", url=receiver.url)
    name = post.put("ops")
    post.run()
    assert post.standing() == {"ops": ("delivered", None)}
    (got,) = receiver.seen
    assert set(got.headers) == {
        "Host",
        "Content-Length",
        "Content-Type",
        "User-Agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    assert got.headers["webhook-id"] == name and json.loads(got.body) == {"a": "\u00e4"}
    assert got.headers["webhook-timestamp"] == str(int(T0.timestamp()))
    signed = f"{name}.{int(T0.timestamp())}.".encode() + got.body
    expected = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    words = got.headers["webhook-signature"].split(" ")
    assert words[0] == f"v1,{expected}" and len(words) == 2


def test_the_signature_is_that_of_the_standard() -> None:
    # Worked out by hand with: printf '%s' 'msg_1.1773316800.{}' | openssl dgst -sha256 -mac hmac
    from ebbtide.alerts.signature import sign

    (key,) = read_keys("whsec_" + base64.b64encode(b"k" * 24).decode())
    digest = hmac.new(b"k" * 24, b"msg_1.1773316800.{}", "sha256").digest()
    headers = sign([key], "msg_1", T0, b"{}")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    for wrong in ("whsec_", "whsec_????", "abc", "whsec_" + base64.b64encode(b"short").decode()):
        with pytest.raises(ValueError):
            read_keys(wrong)


def test_every_bad_receiver_is_shown_for_what_it_is_and_the_good_ones_get_theirs(
    post: Post, receiver: Receiver
) -> None:
    hold = Event()
    with (
        receiving() as slack,
        receiving() as lures,
        receiving() as inside,
        receiving() as hangs,
        receiving_mail() as mails,
    ):
        slack.status = 500
        lures.status, lures.headers = 302, {"Location": inside.url}
        hangs.hold = hold
        post.bounds = QUICK
        post.mail_url = f"smtp://127.0.0.1:{mails.port}?tls=off"
        post.secrets |= {"SLACK": slack.url}
        post.channel("slack", ChannelKind.SLACK, secret="SLACK")
        post.channel("lures", url=lures.url)
        post.channel("hangs", url=hangs.url)
        post.channel("down", url=f"http://127.0.0.1:{closed_port()}/")
        post.channel("unsigned", url=receiver.url, secret="NOBODY")
        post.channel("good", url=receiver.url)
        post.channel("mail", ChannelKind.EMAIL)
        for name in ("slack", "lures", "hangs", "down", "unsigned", "good"):
            post.put(name)
        post.put("mail", body='{"subject":"[Ebbtide] \u00fcber","text":"Line\\n.\\nend\\n"}')
        post.run()
        assert post.standing() == {
            "slack": ("pending", "http_500"),
            "lures": ("pending", "redirect"),
            "hangs": ("pending", "timeout"),
            "down": ("pending", "connection_failed"),
            "unsigned": ("pending", "no_secret"),
            "good": ("delivered", None),
            "mail": ("delivered", None),
        }
        assert inside.seen == [], "a redirect is not followed"
        (mail,) = mails.mails
        assert b"Message-ID: <msg_mail_1@a.example>" in mail and b"\r\n..\r\nend" in mail


def test_a_receiver_that_hangs_delays_nobody(post: Post, receiver: Receiver) -> None:
    with receiving() as hangs:
        hangs.hold = Event()
        post.channel("hangs", url=hangs.url)
        post.channel("good", url=receiver.url)
        for number in range(3):
            post.put("hangs", number)
            post.put("good", number)
        sender = post.sender()
        threads = {thread.name.rpartition("-")[2]: thread for thread in sender.tick()}
        threads["good"].join()
        assert threads["hangs"].is_alive() and len(receiver.seen) == 3
        post.put("good", 4)
        again = {thread.name.rpartition("-")[2]: thread for thread in sender.tick()}
        again["good"].join()
        assert len(receiver.seen) == 4
        assert again["hangs"] is threads["hangs"], "one attempt at a time"
        hangs.hold.set()
        threads["hangs"].join()
    assert Counter(one.status for _, one in post.state.outbox.list_newest()) == {
        DeliveryStatus.DELIVERED: 7
    }


def test_an_answer_that_drips_is_cut_off(post: Post) -> None:
    def drip(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            line.sendall(b"a")
            time.sleep(0.02)  # the far side's own pace, which no clock of ours can move

    def endless(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            line.sendall(b"X-More: " + b"a" * 1000 + b"\r\n")

    def babble(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(b"SSH-2.0-whatever\r\n")

    post.bounds = QUICK
    with listening(drip) as drips, listening(endless) as pours, listening(babble) as babbles:
        for name, port in (("drips", drips), ("pours", pours), ("babbles", babbles)):
            post.channel(name, url=f"http://127.0.0.1:{port}/")
            post.put(name)
        post.run()
    assert post.standing() == {
        "drips": ("pending", "timeout"),
        "pours": ("pending", "broken_answer"),
        "babbles": ("pending", "broken_answer"),
    }


def test_what_lies_inside_is_not_called(post: Post, receiver: Receiver) -> None:
    post.reach = Reach()
    post.channel("inside", url=receiver.url)
    post.channel("metadata", url="http://169.254.169.254/latest/meta-data/")
    post.channel("no-name", url="https://nobody.invalid/")
    for name in ("inside", "metadata", "no-name"):
        post.put(name)
    post.run()
    assert post.standing() == {
        "inside": ("pending", "blocked_address"),
        "metadata": ("pending", "blocked_address"),
        "no-name": ("pending", "dns"),
    }
    assert receiver.seen == []


def test_tls_is_not_given_up(post: Post, receiver: Receiver) -> None:
    with receiving_mail() as mails:
        post.mail_url = f"smtp://127.0.0.1:{mails.port}"  # it offers no STARTTLS
        post.channel("mail", ChannelKind.EMAIL)
        post.channel("web", url=receiver.url.replace("http:", "https:"))
        post.put("mail", body='{"subject":"s","text":"t"}')
        post.put("web")
        post.run()
        assert post.standing() == {"mail": ("pending", "tls"), "web": ("pending", "tls")}
        assert mails.mails == [] and receiver.seen == []


def test_mail_that_is_refused_for_good_is_given_up_and_a_server_that_is_down_is_waited_for(
    post: Post,
) -> None:
    with receiving_mail() as mails:
        mails.refusal = b"550 nobody of this name\r\n"
        post.mail_url = f"smtp://127.0.0.1:{mails.port}?tls=off"
        post.channel("mail", ChannelKind.EMAIL)
        post.put("mail", body='{"subject":"s","text":"t"}')
        post.run()
        assert post.standing() == {"mail": ("dead", "mail_refused_550")}
        mails.refusal = b"451 later\r\n"
        post.put("mail", 2, body='{"subject":"s","text":"t"}')
        post.run()
        assert post.standing()["mail"] == ("dead", "mail_refused_550")  # the newer one comes first
        assert post.state.outbox.get("msg_mail_2").reason == "mail_refused_451"
    post.mail_url = f"smtp://127.0.0.1:{closed_port()}?tls=off"
    post.clock.now += timedelta(minutes=1)
    post.run()
    waiting = post.state.outbox.get("msg_mail_2")
    assert (waiting.status, waiting.reason) == (DeliveryStatus.PENDING, "connection_failed")


def test_gone_switches_the_channel_off_and_patience_is_honoured(
    post: Post, receiver: Receiver
) -> None:
    post.channel("ops", url=receiver.url)
    post.put("ops")
    receiver.status, receiver.headers = 503, {"Retry-After": "600"}
    post.run()
    delivery = post.state.outbox.get("msg_ops_1")
    assert delivery.due_at == T0 + timedelta(minutes=10) and delivery.reason == "http_503"
    receiver.headers = {"Retry-After": "Thu, 12 Mar 2026 13:00:00 GMT"}
    post.clock.now = T0 + timedelta(minutes=10)
    post.run()
    assert post.state.outbox.get("msg_ops_1").due_at == T0 + timedelta(hours=1)
    receiver.status = 410
    post.put("ops", 2)
    post.run()
    (channel,) = post.state.outbox.channels()
    assert channel.disabled_reason == "http_410"
    assert [one.status for _, one in post.state.outbox.list_newest()] == [DeliveryStatus.DEAD] * 2
    assert len(receiver.seen) == 3


def test_a_dead_receiver_is_given_up_after_ten_attempts_in_a_little_more_than_three_days(
    post: Post, receiver: Receiver
) -> None:
    receiver.status = 500
    post.channel("ops", url=receiver.url)
    name = post.put("ops")
    while (delivery := post.state.outbox.get(name)).due_at is not None:
        post.clock.now = max(post.clock.now, delivery.due_at)
        post.run()
    assert (delivery.status, delivery.reason) == (DeliveryStatus.DEAD, "http_500")
    assert delivery.num_attempts == ATTEMPTS_MAX == 10 == len(receiver.seen)
    assert {request.headers["webhook-id"] for request in receiver.seen} == {name}
    assert timedelta(hours=75) < post.clock.now - T0 < timedelta(hours=84)


def test_pauses_grow_and_nobody_asks_for_too_much_patience() -> None:
    assert next_pause("a", ATTEMPTS_MAX) is None and next_pause("a", 99, 5) is None
    for number, pause in enumerate(PAUSES, 1):
        given = next_pause("a", number)
        assert given is not None and pause <= given <= 1.1 * pause
        assert next_pause("a", number, 1e12) == max(given, timedelta(hours=24))


class Killed(BaseException):
    """The process is gone at this very point."""


@pytest.mark.parametrize("seed", range(3))
def test_every_message_ends_however_often_the_process_is_killed(
    post: Post, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every point between an attempt's beginning and its end the process may die."""
    draw = random.Random(seed)
    arrived: Counter[str] = Counter()
    under_way: set[str] = set()

    def deliver(channel: Channel, delivery: Delivery, now: datetime) -> Result:
        assert delivery.delivery_id not in under_way, "two attempts at once"
        under_way.add(delivery.delivery_id)
        point = draw.random()
        try:
            if point < 0.2:
                raise Killed  # before it was sent
            if point < 0.7:
                arrived[delivery.delivery_id] += 1
            if point < 0.4:
                raise Killed  # after it was sent, before that was written down
            return Result() if point < 0.7 else Result("http_500")
        finally:
            under_way.discard(delivery.delivery_id)

    post.channel("ops", url="http://127.0.0.1:9/")
    names = [post.put("ops", number) for number in range(12)]
    while post.state.outbox.list_newest(status=DeliveryStatus.PENDING) or (
        post.state.outbox.list_newest(status=DeliveryStatus.SENDING)
    ):
        sender = post.sender()  # what was in memory is gone
        monkeypatch.setattr(sender.transport, "deliver", deliver)
        with suppress(Killed):
            sender._busy["ops"] = None  # type: ignore[assignment]
            sender._empty("ops")
        post.clock.now += LEASE
    ended = {name: post.state.outbox.get(name) for name in names}
    assert {one.status for one in ended.values()} <= {
        DeliveryStatus.DELIVERED,
        DeliveryStatus.DEAD,
    }
    for name, one in ended.items():
        assert one.num_attempts <= ATTEMPTS_MAX
        if one.status is DeliveryStatus.DELIVERED:
            assert arrived[name] >= 1
