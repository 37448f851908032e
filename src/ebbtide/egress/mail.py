"""Mail to a mail server that the settings name: over TLS, in bounded time."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ebbtide.egress.addresses import Network, Reach
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.line import Bounds, Errand, errand

_MAILBOX_MAX_CHARS = 254
_MAILBOX_FORM = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in.

    ``scheme`` is ``smtps`` (TLS from the first byte) or ``smtp`` (TLS after STARTTLS, without which
    nothing is sent). ``is_plain``: no TLS at all, for a server on the own network.
    """

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    is_plain: bool = False


def read_mail_server(url: str) -> MailServer:
    """Read ``smtps://user:password@host:465``, ``smtp://host:587`` or ``smtp://host:25?tls=off``.

    Raises:
        ValueError: it is written otherwise; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("its port cannot be read") from error
    options = parse_qs(parts.query, keep_blank_values=True)
    is_plain = options == {"tls": ["off"]} and parts.scheme == "smtp"
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("it starts with smtps:// or smtp:// and names a host")
    if options and not is_plain:
        raise ValueError("its only option is ?tls=off, with smtp://")
    if is_plain and parts.password is not None:
        raise ValueError("a password is not sent without TLS")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return MailServer(
        parts.scheme,
        parts.hostname,
        port or _PORTS[parts.scheme],
        user,
        password,
        is_plain,
    )


def check_mailbox(text: str) -> str:
    """An address that mail goes to or comes from, as it stands.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    if len(text) > _MAILBOX_MAX_CHARS or not _MAILBOX_FORM.fullmatch(text):
        raise ValueError("a mail address is name@host, in ASCII and without a display name")
    return text


class MailClient:
    """Hands mail in; from any thread.

    The host comes from the settings alone, so it may lie on the own network, as mail relays do.
    """

    def __init__(
        self,
        server: MailServer,
        own_networks: Sequence[Network],
        *,
        bounds: Bounds | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._reach = Reach(tuple(own_networks))
        self._bounds = bounds or Bounds()
        self._tls = tls

    def send(self, message: EmailMessage, sender: str, recipients: Sequence[str]) -> None:
        """Hand in one message for all recipients.

        Raises:
            EgressFailed: it was not taken: ``mail_refused_<code>``, ``mail_login``, ``tls``, or as
                :meth:`Errand.connect` says.
        """
        with errand(self._bounds) as way:
            self._tls = self._tls or ssl.create_default_context()
            try:
                smtp = _Session(way, self._server, self._reach, self._tls)
                smtp.ehlo()
                if self._server.scheme == "smtp" and not self._server.is_plain:
                    smtp.begin_tls()
                    smtp.ehlo()
                if self._server.user is not None:
                    smtp.login(self._server.user, self._server.password or "")
                refused = smtp.send_message(message, sender, list(recipients))
                with suppress(OSError, smtplib.SMTPException):
                    smtp.quit()  # it was taken, whatever is said to our leaving
            except smtplib.SMTPAuthenticationError as error:
                raise EgressFailed("mail_login") from error
            except smtplib.SMTPRecipientsRefused as error:
                code = min(code for code, _ in error.recipients.values())
                raise EgressFailed(f"mail_refused_{code}") from error
            except smtplib.SMTPResponseException as error:
                raise EgressFailed(f"mail_refused_{error.smtp_code}") from error
            except (OSError, smtplib.SMTPException) as error:
                is_late = way.is_over or isinstance(error, TimeoutError)
                raise EgressFailed("timeout" if is_late else "mail_server") from error
            if refused:
                # Some have it. Sent again, those would have it twice, and the others still not.
                raise EgressFailed("mail_refused_some")


class _Session(smtplib.SMTP):
    """A session over a checked line."""

    def __init__(self, way: Errand, server: MailServer, reach: Reach, tls: ssl.SSLContext) -> None:
        self._way, self._server, self._reach, self._tls = way, server, reach, tls
        # Our own machine's name is nobody's business.
        super().__init__(server.host, server.port, local_hostname="ebbtide")

    def begin_tls(self) -> None:
        """Go on with TLS, or not at all."""
        if not self.has_extn("starttls") or self.docmd("STARTTLS")[0] != 220:
            raise EgressFailed("tls")
        assert self.sock is not None  # it has just answered
        self.sock = self._way.wrap(self.sock, self._server.host, self._tls)
        # What was said before is forgotten: anybody may have put it there.
        self.file = None
        self.ehlo_resp = self.helo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        line, _ = self._way.connect(host, port, self._reach)
        if self._server.scheme == "smtps":
            return self._way.wrap(line, host, self._tls)
        return line
