"""What of a replay is sealed and kept, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from ebbtide.domain.call import Call, Message
from ebbtide.domain.policy import Finding, Result, Stage, Verdict
from ebbtide.domain.replay import Comparison, Delta, Determinism, Match
from ebbtide.guard.recording import RecordingBroken, Vault

_FORM = b"ebbtide replay 1\0"


def seal(vault: Vault, plain: bytes, about: str) -> bytes:
    """Seal bytes as recorded calls are sealed; ``about`` is needed again to open them.

    Raises:
        WrongState: there is no key.
    """
    key_id, sealed = vault.seal(plain, _FORM + about.encode())
    return key_id.encode() + b"." + sealed


def unseal(vault: Vault, content: bytes | None, about: str) -> bytes | None:
    """What was sealed; None when it is not kept any more, or its key is not given any more."""
    if content is None:
        return None
    key_id, _, sealed = content.partition(b".")
    try:
        return vault.open(key_id.decode(), sealed, _FORM + about.encode())
    except RecordingBroken:
        return None


def pack_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    """Verdicts as bytes."""
    return msgspec.json.encode([asdict(one) for one in verdicts])


def unpack_verdicts(packed: bytes) -> tuple[Verdict, ...]:
    """What :func:`pack_verdicts` packed."""
    return _verdicts(msgspec.json.decode(packed))


def pack_sample(call: Call, comparison: Comparison) -> bytes:
    """A call with its comparison as bytes; the word diff is made again from the texts."""
    fields = {name: getattr(call, name) for name in Call.__dataclass_fields__}
    fields["messages"] = [asdict(one) for one in call.messages]
    fields["parameters"] = dict(call.parameters)
    fields["context"] = None if call.context is None else dict(call.context)
    told: dict[str, Any] = {
        name: asdict(getattr(comparison, name))
        for name in ("determinism", "severity", "cost_usd", "latency_ms")
    }
    told["baseline_verdicts"] = [asdict(one) for one in comparison.baseline_verdicts]
    told["candidate_verdicts"] = [asdict(one) for one in comparison.candidate_verdicts]
    return msgspec.json.encode({"call": fields, "comparison": told})


def unpack_sample(packed: bytes) -> tuple[Call, Comparison]:
    """What :func:`pack_sample` packed; without the word diff."""
    found = msgspec.json.decode(packed)
    call, told = found["call"], found["comparison"]
    call["at"] = datetime.fromisoformat(call["at"])
    call["messages"] = tuple(Message(**one) for one in call["messages"])
    call["parameters"] = MappingProxyType(call["parameters"])
    call["cost_usd"] = _money(call["cost_usd"])
    determinism = told["determinism"]
    return Call(**call), Comparison(
        determinism=Determinism(**determinism | {"level": Match(determinism["level"])}),
        diff=None,
        severity=_delta(told["severity"]),
        cost_usd=_delta(told["cost_usd"]),
        latency_ms=_delta(told["latency_ms"]),
        baseline_verdicts=_verdicts(told["baseline_verdicts"]),
        candidate_verdicts=_verdicts(told["candidate_verdicts"]),
    )


def _verdicts(found: Sequence[Mapping[str, Any]]) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(
            **{
                **one,
                "stage": Stage(one["stage"]),
                "result": Result(one["result"]),
                "findings": tuple(Finding(**finding) for finding in one["findings"]),
            }
        )
        for one in found
    )


def _delta(found: Mapping[str, str | None]) -> Delta:
    return Delta(_money(found["before"]), _money(found["after"]))


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
