"""Makes one attempt at one delivery, over whichever kind of channel; says how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from ebbtide.alerts.secrets import Secrets
from ebbtide.alerts.signature import read_keys, sign
from ebbtide.domain.alert import Channel, ChannelKind, Delivery
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.http import HttpClient
from ebbtide.egress.mail import MailClient

GONE = 410  # the receiver is there no more and wants nothing more
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Ebbtide"}


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended.

    Attributes:
        reason: a stable word for how it failed; None when it was delivered.
        retry_after_s: what the receiver asked for.
        is_final: another attempt would end the same.
        is_gone: nothing more is to be sent over this channel.
    """

    reason: str | None = None
    retry_after_s: float | None = None
    is_final: bool = False
    is_gone: bool = False


class Transport:
    """Sends; from any thread.

    Args:
        mail: None when the settings name no mail server.
        sender: the address that mail comes from.
    """

    def __init__(
        self, http: HttpClient, mail: MailClient | None, sender: str | None, secrets: Secrets
    ) -> None:
        self.http = http
        self.secrets = secrets
        self._mail = mail
        self._sender = sender

    @property
    def has_mail(self) -> bool:
        """Whether mail can be sent at all."""
        return self._mail is not None and self._sender is not None

    def deliver(self, channel: Channel, delivery: Delivery, now: datetime) -> Result:
        """Make one attempt.

        Args:
            now: its moment, for the signature.
        """
        try:
            match channel.kind:
                case ChannelKind.EMAIL:
                    return self._post_mail(channel, delivery)
                case ChannelKind.SLACK:
                    url = self.secrets.get(channel.secret)
                    return self._post(url, delivery, {}, now)
                case ChannelKind.WEBHOOK:
                    text = self.secrets.get(channel.secret)
                    if text is None:
                        return Result("no_secret")
                    keys = read_keys(text)
                    body = delivery.body.encode()
                    signed = sign(keys, delivery.delivery_id, now, body)
                    return self._post(channel.url, delivery, signed, now)
        except EgressFailed as error:
            refused = error.reason.startswith(("mail_refused_5", "mail_refused_some"))
            return Result(error.reason, is_final=refused)
        except ValueError:
            return Result("bad_secret")

    def _post(
        self, url: str | None, delivery: Delivery, headers: Mapping[str, str], now: datetime
    ) -> Result:
        if url is None:
            return Result("no_secret")
        answer = self.http.post(url, delivery.body.encode(), _HEADERS | dict(headers))
        if 200 <= answer.status < 300:
            return Result()
        if 300 <= answer.status < 400:
            return Result("redirect")
        return Result(
            f"http_{answer.status}",
            answer.retry_after_s(now.timestamp()),
            is_final=answer.status == GONE,
            is_gone=answer.status == GONE,
        )

    def _post_mail(self, channel: Channel, delivery: Delivery) -> Result:
        if self._mail is None or self._sender is None:
            return Result("no_mail_server")
        said = json.loads(delivery.body)
        message = EmailMessage(policy=SMTP)
        message["Subject"] = said["subject"]
        message["From"] = self._sender
        message["To"] = ", ".join(channel.recipients)
        message["Date"] = format_datetime(delivery.created_at)
        # The same at every attempt: a mailbox that has it already can tell.
        message["Message-ID"] = f"<{delivery.delivery_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(said["text"])
        if "html" in said:
            message.add_alternative(said["html"], subtype="html")
        self._mail.send(message, self._sender, channel.recipients)
        return Result()
