"""The way out of this installation: open networks, the mail server, models, and their secrets."""

from __future__ import annotations

import os
from pathlib import Path

from ebbtide.alerts.brief import Brief
from ebbtide.alerts.secrets import NAME_FORM, Secrets
from ebbtide.alerts.transport import Transport
from ebbtide.app.settings import Settings
from ebbtide.domain.errors import SettingsError
from ebbtide.egress.addresses import Reach, read_networks
from ebbtide.egress.http import HttpClient
from ebbtide.egress.mail import MailClient, read_mail_server
from ebbtide.egress.models import ModelClient
from ebbtide.egress.upstreams import Upstreams, read_upstreams

ENV_PREFIX = "EBBTIDE_SECRET_"
#: Where mail relays live. Only the settings name the mail server, so nobody else can aim at these.
_HOME = read_networks("127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7")
_SECRET_MAX_BYTES = 4096


def make_transport(settings: Settings) -> Transport:
    """Everything that an attempt at a delivery needs.

    Raises:
        SettingsError: a file of secrets cannot be read; names the file, not what is in it.
    """
    allowed = read_networks(settings.egress_allow)
    mail = None
    if settings.smtp_url is not None:
        server = read_mail_server(settings.smtp_url.get_secret_value())
        mail = MailClient(server, allowed + _HOME)
    return Transport(HttpClient(Reach(allowed)), mail, settings.mail_from, _secrets(settings))


def make_models(settings: Settings) -> ModelClient:
    """What calls models, at the upstreams of the operator's file; without one it has none.

    Raises:
        SettingsError: the file or a secret that it names cannot be used.
    """
    if settings.upstreams is None:
        return ModelClient(Upstreams())
    return ModelClient(read_upstreams(settings.upstreams, _secrets(settings).get))


def _secrets(settings: Settings) -> Secrets:
    """Those of files, and over them those of the environment."""
    found = {} if settings.secrets_dir is None else _from_files(settings.secrets_dir)
    for name, value in os.environ.items():
        if name.startswith(ENV_PREFIX) and NAME_FORM.fullmatch(name.removeprefix(ENV_PREFIX)):
            found[name.removeprefix(ENV_PREFIX)] = value.strip()
    return Secrets(found)


def _from_files(folder: Path) -> dict[str, str]:
    try:
        files = [one for one in folder.iterdir() if NAME_FORM.fullmatch(one.name)]
        return {one.name: _read(one) for one in files}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a file is no text"
        raise SettingsError(f"EBBTIDE_SECRETS_DIR: cannot read {folder}: {reason}") from error


def _read(file: Path) -> str:
    with file.open(encoding="utf-8") as stream:
        return stream.read(_SECRET_MAX_BYTES).strip()


def write_brief_page(brief: Brief, *, is_simulated: bool) -> str:
    """The brief as the console shows it, for a mail; the job itself cannot know the console."""
    from ebbtide.console.brief import write_mail  # once a day, and templates take a while to load

    return write_mail(brief, is_simulated=is_simulated)
