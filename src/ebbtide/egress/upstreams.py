"""Where models are called: the operator's file of upstreams, and nothing that a request says.

A file names each upstream by an id, with its address, the *name* of the secret that opens it and
the models that are called there::

    [[upstream]]
    id       = "openai"
    base_url = "https://api.openai.com/v1"
    secret   = "OPENAI_KEY"
    models   = ["gpt-*", "text-embedding-3-small"]
    default  = true
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebbtide.domain.errors import SettingsError
from ebbtide.domain.nearest import did_you_mean
from ebbtide.egress.addresses import Reach, read_networks
from ebbtide.egress.http import Target, read_url

SETTING = "EBBTIDE_UPSTREAMS"
KINDS = ("openai",)
MODEL_MAX_CHARS = 200
#: As providers name models: also ``vendor/model:tag`` and ``ft:model@date``, but never a way up.
MODEL_FORM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_:@+/-]|\.(?!\.)){0,199}")
TIMEOUT_S, TIMEOUT_MAX_S = 120.0, 3600.0
ANSWER_MAX_MB = 16

_ID_FORM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SECRET_NAME_FORM = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_VISIBLE = re.compile(r"[!-~]+")
_HOME = read_networks("127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7")
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "base_url": str,
    "kind": str,
    "secret": str,
    "models": list,
    "default": bool,
    "allow_private": bool,
    "stream_usage": bool,
    "prices": str,
    "timeout_s": (int, float),
    "answer_max_mb": int,
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One provider of models, or a server of one's own that speaks like one.

    Attributes:
        upstream_id: as requests and events name it.
        target: its address in parts; ``path`` is what every path begins with.
        kind: how it is spoken to.
        secret_name: name of its secret; None for a server that asks for none.
        models: names of models, or how they begin with ``*`` at the end.
        is_default: whether it is called for models that no upstream names.
        is_private: whether it may lie on an own network, and be spoken to without TLS there.
        has_stream_usage: whether it counts tokens at the end of a stream when asked to.
        prices: whose prices its models have, as the price table names the provider; None looks
            a model up by its name alone.
        timeout_s: how long one call may take from its first byte to its last.
        answer_max_bytes: how long an answer may be.
    """

    upstream_id: str
    target: Target
    kind: str = "openai"
    secret_name: str | None = None
    models: tuple[str, ...] = ()
    is_default: bool = False
    is_private: bool = False
    has_stream_usage: bool = True
    timeout_s: float = TIMEOUT_S
    answer_max_bytes: int = ANSWER_MAX_MB * 1024 * 1024
    secret: str | None = field(default=None, repr=False)
    prices: str | None = None

    @property
    def reach(self) -> Reach:
        """Which addresses it may have."""
        return Reach(_HOME) if self.is_private else Reach()

    @property
    def host(self) -> str:
        """Its host and port, as the header names them."""
        target = self.target
        host = f"[{target.host}]" if ":" in target.host else target.host
        usual = {"http": 80, "https": 443}[target.scheme]
        return host if target.port == usual else f"{host}:{target.port}"

    def fit(self, model: str) -> int:
        """How well a model's name fits: the number of characters that are named; -1: not."""
        fits = [-1]
        for name in self.models:
            if name == model:
                fits.append(MODEL_MAX_CHARS + 1)
            elif name.endswith("*") and model.startswith(name[:-1]):
                fits.append(len(name) - 1)
        return max(fits)


class Upstreams:
    """All upstreams of an installation; without a file there are none."""

    def __init__(self, upstreams: tuple[Upstream, ...] = ()) -> None:
        self._by_id = {one.upstream_id: one for one in upstreams}

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, upstream_id: str) -> Upstream | None:
        """The one of an id; None when the file names none."""
        return self._by_id.get(upstream_id)

    def of_model(self, model: str) -> Upstream | None:
        """Where a model is called: the closest name, else the default; None for neither."""
        best = max(self._by_id.values(), key=lambda one: one.fit(model), default=None)
        if best is not None and best.fit(model) >= 0:
            return best
        return next((one for one in self._by_id.values() if one.is_default), None)


def read_upstreams(file: Path, secret: Callable[[str], str | None]) -> Upstreams:
    """Read the operator's file.

    Args:
        secret: the value of a secret by its name; None when the operator gave none.

    Raises:
        SettingsError: it cannot be read or used; the message names the entry and never a secret.
    """
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"{SETTING}: cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{SETTING}: {file} is no TOML: {error}") from error
    tables = content.get("upstream")
    if set(content) - {"upstream"} or not isinstance(tables, list) or not tables:
        raise SettingsError(f"{SETTING}: {file} has [[upstream]] tables and nothing else")
    found: list[Upstream] = []
    for number, table in enumerate(tables, start=1):
        try:
            found.append(_upstream(table, secret))
        except ValueError as error:
            raise SettingsError(f"{SETTING}: upstream {number} of {file}: {error}") from error
    _check_together(found)
    return Upstreams(tuple(found))


def check_model(model: object) -> str:
    """A model's name as a request gives it.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    if not isinstance(model, str) or not MODEL_FORM.fullmatch(model):
        raise ValueError(
            f"model is a name of at most {MODEL_MAX_CHARS} letters, digits and . _ : @ + / -"
        )
    return model


def _upstream(table: Any, secret: Callable[[str], str | None]) -> Upstream:
    if not isinstance(table, dict):
        raise ValueError("it is no table")
    for name, value in table.items():
        if name not in _KEYS:
            raise ValueError(f"{name} is not known{did_you_mean(name, tuple(_KEYS))}")
        is_right = isinstance(value, _KEYS[name])
        if not is_right or (isinstance(value, bool) and _KEYS[name] is not bool):
            raise ValueError(f"{name} is of another kind")
    upstream_id = table.get("id", "")
    if not _ID_FORM.fullmatch(upstream_id):
        raise ValueError("id has lower case letters, digits, - and _")
    kind = table.get("kind", KINDS[0])
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    try:
        target = read_url(table.get("base_url", "").rstrip("/"))
    except ValueError as error:
        raise ValueError(f"base_url: {error}") from error
    if "?" in target.path or "/." in target.path:
        raise ValueError("base_url: it has a plain path, without a query")
    is_private = table.get("allow_private", False)
    if target.scheme != "https" and not is_private:
        raise ValueError("base_url: plain http is for own networks: say allow_private = true")
    models = tuple(table.get("models", ()))
    for name in models:
        if not isinstance(name, str) or not MODEL_FORM.fullmatch(name.removesuffix("*") or "x"):
            raise ValueError("models are names, or how they begin with * at the end")
    timeout_s = float(table.get("timeout_s", TIMEOUT_S))
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise ValueError(f"timeout_s lies above 0 and at most at {TIMEOUT_MAX_S:g}")
    answer_max_mb = table.get("answer_max_mb", ANSWER_MAX_MB)
    if not 1 <= answer_max_mb <= 1024:
        raise ValueError("answer_max_mb is from 1 to 1024")
    name = table.get("secret")
    value = None
    if name is not None:
        if not _SECRET_NAME_FORM.fullmatch(name):
            raise ValueError("secret is the NAME of a secret, in upper case, never the secret")
        value = secret(name)
        if value is None:
            raise ValueError(f"there is no secret named {name}")
        if not _VISIBLE.fullmatch(value):
            raise ValueError(f"the secret {name} has characters that no header carries")
    return Upstream(
        upstream_id,
        Target(target.scheme, target.host, target.port, target.path.rstrip("/")),
        kind,
        name,
        models,
        table.get("default", False),
        is_private,
        table.get("stream_usage", True),
        timeout_s,
        answer_max_mb * 1024 * 1024,
        value,
        table.get("prices"),
    )


def _check_together(found: list[Upstream]) -> None:
    ids = [one.upstream_id for one in found]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise SettingsError(f"{SETTING}: {twice} is there twice")
    if sum(one.is_default for one in found) > 1:
        raise SettingsError(f"{SETTING}: one upstream at most is the default")
    hosts: dict[str, str] = {}
    for one in found:
        if one.secret is None:
            continue
        # A key belongs to one host. Who moves an upstream gives it a key of its own again.
        if hosts.setdefault(one.secret, one.host) != one.host:
            raise SettingsError(f"{SETTING}: {one.upstream_id} uses the secret of another host")
