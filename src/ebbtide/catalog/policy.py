"""Reads versions of policies, one text each: what is checked on which side, and what follows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any

from ebbtide.catalog.definition import Definition
from ebbtide.domain.errors import CatalogError
from ebbtide.domain.policy import DEFAULT, OFF, Stage

ACTIONS = ("block", "warn")
#: Recognisers that a rule may name, each with the sides that it can look at.
DETECTORS: Mapping[str, tuple[Stage, ...]] = MappingProxyType(
    {
        "content_accuracy": (Stage.OUTPUT,),
        "safety": (Stage.INPUT, Stage.OUTPUT),
        "pii": (Stage.INPUT, Stage.OUTPUT),
        "prompt_injection": (Stage.INPUT,),
        "budget": (Stage.OUTPUT,),
    }
)
TEXT_MAX_CHARS = 20_000  # of a definition: nobody reads a longer one before it decides over calls
RULES_MAX = 20
EXPRESSION_MAX_CHARS = 1_000

_DEPTH_MAX = 10
_DIGITS_MAX = 15
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # controls, lone surrogates
_ID = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class RuleText:
    """One thing that a policy looks for: an expression, or a recogniser by name.

    Attributes:
        when: expression in CEL that is true where the rule fires; None with a detector.
        detector: which recogniser; None with an expression.
        options: settings of the recogniser, JSON values; numbers are exact.
        says: what it means when it fires, for a person.
        action, severity: of this rule, where they are other than the policy's.
    """

    name: str
    says: str
    action: str
    severity: int
    when: str | None = None
    detector: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version of a policy; its digest stands for all that it says.

    Attributes:
        text: the definition as it was written.
        digest: SHA-256 of its content as canonical JSON, so that layout and comments do not count.
    """

    policy_id: str
    version: str
    title: str
    meaning: str
    stages: tuple[Stage, ...]
    action: str
    severity: int
    rules: tuple[RuleText, ...]
    text: str = field(repr=False, compare=False)
    digest: str

    def __hash__(self) -> int:
        """By digest, which is quick, and equal where all else is."""
        return hash(self.digest)


def load_policies(folder: Traversable | None = None) -> tuple[PolicyVersion, ...]:
    """Read the policies of a folder, by id.

    Args:
        folder: None means those that come with Ebbtide.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    where = files("ebbtide.catalog").joinpath("policies") if folder is None else folder
    found = []
    for file in sorted(where.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml"):
            continue
        policy = read_policy(file.read_text(encoding="utf-8"), file.name)
        if file.name != f"{policy.policy_id.lower()}.toml":
            raise CatalogError(
                f"{file.name}: id: {policy.policy_id} belongs into a file named "
                f"{policy.policy_id.lower()}.toml"
            )
        found.append(policy)
    return tuple(found)


def read_policy(text: str, name: str = "policy") -> PolicyVersion:
    """Read one version, written in TOML or in JSON.

    Expressions are not looked at here: ``guard`` refuses those that it cannot evaluate.

    Args:
        text: the definition.
        name: of the file, or what else messages are to begin with.

    Raises:
        CatalogError: it is wrong; the message names the key.
    """
    if len(text) > TEXT_MAX_CHARS:
        raise CatalogError(f"{name}: longer than {TEXT_MAX_CHARS:,} characters")
    table = _parse(text, name)
    one = Definition(name, table)
    policy_id = _named(one, "id", _ID, "capital letters, digits and _")
    version = _named(one, "version", _VERSION, "letters, digits, points, _ and -")
    if version in (OFF, DEFAULT):
        raise one.error("version", f"{version!r} means something else in an assignment")
    action, severity = one.word("action", ACTIONS), _severity(one)
    policy = PolicyVersion(
        policy_id=policy_id,
        version=version,
        title=one.text("title"),
        meaning=one.text("meaning"),
        stages=_stages(one),
        action=action,
        severity=severity,
        rules=tuple(_rule(each, action, severity) for each in one.tables("rules")),
        text=text,
        digest=_digest(table),
    )
    one.close()
    _check_rules(one, policy)
    return policy


def _rule(one: Definition, action: str, severity: int) -> RuleText:
    has_expression = one.has("when")
    if has_expression is one.has("detector"):
        raise one.error("when", "a rule has an expression (when) or a detector, one of both")
    when = one.text("when") if has_expression else None
    if when is not None and len(when) > EXPRESSION_MAX_CHARS:
        raise one.error("when", f"longer than {EXPRESSION_MAX_CHARS:,} characters")
    rule = RuleText(
        name=_named(one, "name", _RULE_NAME, "small letters, digits and _"),
        says=one.text("says"),
        action=one.word("action", ACTIONS) if one.has("action") else action,
        severity=_severity(one) if one.has("severity") else severity,
        when=when,
        detector=None if has_expression else one.word("detector", tuple(DETECTORS)),
        options=one.values("options") if one.has("options") else MappingProxyType({}),
    )
    if has_expression and rule.options:
        raise one.error("options", "belong to a detector")
    one.close()
    return rule


def _check_rules(one: Definition, policy: PolicyVersion) -> None:
    names = [rule.name for rule in policy.rules]
    if len(names) > RULES_MAX:
        raise one.error("rules", f"more than {RULES_MAX}")
    if len(set(names)) < len(names):
        raise one.error("rules", "two have the same name")
    for rule in policy.rules:
        blind = set(policy.stages) - set(DETECTORS[rule.detector]) if rule.detector else set()
        if blind:
            raise one.error("stages", f"{rule.detector} cannot look at the {blind.pop().value}")


def _stages(one: Definition) -> tuple[Stage, ...]:
    words = one.texts("stages")
    unknown = [word for word in words if word not in tuple(Stage)]
    if unknown or len(set(words)) < len(words):
        raise one.error("stages", "input, output or both, each once")
    return tuple(stage for stage in Stage if stage in words)


def _severity(one: Definition) -> int:
    severity = one.whole("severity")
    if severity > 5:
        raise one.error("severity", "is 1 to 5")
    return severity


def _named(one: Definition, key: str, form: re.Pattern[str], allowed: str) -> str:
    value = one.text(key)
    if form.fullmatch(value) is None:
        raise one.error(key, f"must be {allowed}, 64 at most, and begin with a letter or digit")
    return value


def _parse(text: str, name: str) -> dict[str, Any]:
    is_json = text.lstrip().startswith("{")
    try:
        table: dict[str, Any] = (
            json.loads(text, parse_float=Decimal, object_pairs_hook=_once, parse_constant=_refuse)
            if is_json
            else Definition.parse(text, name).as_table()
        )
    except ValueError as error:
        raise CatalogError(f"{name}: not JSON: {error}") from error
    except RecursionError as error:
        raise CatalogError(f"{name}: nested too deeply") from error
    _check_values(table, name)
    return table


def _check_values(value: Any, name: str, depth: int = 0) -> None:
    """Refuse what JSON, a database or exact arithmetic cannot hold."""
    if depth > _DEPTH_MAX:
        raise CatalogError(f"{name}: nested too deeply")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(key, name, depth + 1)
            _check_values(inner, name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, name, depth + 1)
    elif isinstance(value, str):
        if _NO_TEXT.search(value):
            raise CatalogError(f"{name}: a text holds a character that no text has")
    elif isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _DIGITS_MAX:
            raise CatalogError(f"{name}: a number is out of range")
    elif isinstance(value, int):  # and bool
        if abs(value) > 10**_DIGITS_MAX:
            raise CatalogError(f"{name}: a number is out of range")
    else:
        raise CatalogError(f"{name}: a {type(value).__name__} has no place in a policy")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key is there twice")
    return table


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _digest(table: Mapping[str, Any]) -> str:
    # Defaults are not filled in: what was not said must not become a word of the version.
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    assert isinstance(value, Decimal)  # all else was refused
    exact = Fraction(value)
    return exact.numerator if exact.denominator == 1 else str(value.normalize())
