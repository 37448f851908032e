"""``ebbtide verify``: whether a file of evidence is genuine, without asking anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ebbtide.cli.output import AS_JSON, console, inert, print_json
from ebbtide.domain.errors import ImportFailed

EXIT_VALID, EXIT_INVALID, EXIT_CANNOT_SAY = 0, 1, 2
FILE_MAX_BYTES = 100 * 1024 * 1024
KEYS_MAX_BYTES = 1024 * 1024


def verify(
    file: Path = typer.Argument(help="A file of evidence, JSON or PDF."),
    keys: Path | None = typer.Option(
        None,
        "--keys",
        help="Public keys of the issuer, saved from /.well-known/ebbtide-keys.json.",
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Check a file of evidence offline: was it changed, and who signed it?

    Nothing is asked and nobody is told. The exit code is 0 when it is genuine, 1 when it was
    changed or is no evidence, 2 when that cannot be said: no keys were given, its key is none of
    them or was revoked, or a PDF lost its signature.

    Example: ebbtide verify cert_4f10.pdf --keys ebbtide-keys.json
    """
    import json

    from ebbtide.replay.evidence.keys import read_key_set
    from ebbtide.replay.evidence.sign import Says, TrustedKey, check, digest_of

    try:
        content = _read(file, FILE_MAX_BYTES)
        known: dict[str, TrustedKey] = {}
        if keys is not None:
            known = read_key_set(json.loads(_read(keys, KEYS_MAX_BYTES)))
    except (ImportFailed, ValueError, RecursionError) as error:
        of_keys = not isinstance(error, ImportFailed)
        text = f"{keys} holds no public keys: {error}" if of_keys else str(error)
        _say(as_json, "cannot_say", text, {})
        raise typer.Exit(EXIT_CANNOT_SAY) from None
    found = check(content, known)
    body = found.evidence if found.says is not Says.INVALID else None
    facts: dict[str, object] = {"certificate_id": found.certificate_id, "key_id": found.key_id}
    if body is not None:
        facts |= {
            "about": body.get("about"),
            "incident_id": _incident_of(body),
            "tenant_id": body.get("tenant_id"),
            "issued_at": body.get("issued_at"),
            "is_simulated": body.get("is_simulated"),
            "digest": digest_of(body),
        }
    if found.says is Says.VALID:
        _say(as_json, "valid", found.text, facts)
        raise typer.Exit(EXIT_VALID)
    if found.says is Says.INVALID:
        _say(as_json, "invalid", found.text, facts)
        raise typer.Exit(EXIT_INVALID)
    hint = "" if keys is not None or found.says is Says.UNSIGNED else "; give --keys"
    _say(as_json, "cannot_say", found.text + hint, facts)
    raise typer.Exit(EXIT_CANNOT_SAY)


_WORDS = {"valid": "Genuine", "invalid": "Not genuine", "cannot_say": "Cannot say"}


def _say(as_json: bool, result: str, text: str, facts: dict[str, object]) -> None:
    if as_json:
        print_json({"result": result, "text": text, **facts})
        return
    console.print(inert(f"{_WORDS[result]}: {text}."))
    for name, value in facts.items():
        if value is not None:
            # What a stranger signed may pretend to be a line of ours.
            line = str(value).replace("\n", " ")
            console.print(inert(f"  {name.replace('_', ' '):15} {line}"))


def _incident_of(body: dict[str, Any]) -> object:
    incident = body.get("incident")
    return incident.get("incident_id") if isinstance(incident, dict) else None


def _read(path: Path, most: int) -> bytes:
    """A whole file of bounded size.

    Raises:
        ImportFailed: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ImportFailed(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise ImportFailed(f"{path} is larger than {most // 1024**2} MB")
    return content
