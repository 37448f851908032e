"""Recognises personal data and secret keys in a text, and takes them out of it.

Email addresses, telephone numbers, bank accounts (IBAN, by its check digits), cards (by Luhn's
check digit and the ranges of the issuers) and keys by their prefix. Every search is bounded in
what it reads from one place, so that the time goes up with the length of a text and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Finding, Stage
from ebbtide.guard.detectors.detector import Options, Seen, text_of

KINDS = ("key", "email", "iban", "card", "phone")
#: Characters that :func:`redact` reads; the rest of a longer text is dropped, not passed on.
REDACT_MAX_CHARS = 1_000_000
_SAID = {
    "key": "a secret key",
    "email": "an email address",
    "iban": "a bank account",
    "card": "a card number",
    "phone": "a telephone number",
}

_MARK = re.compile(rf"\[({'|'.join(KINDS)})\]")

# Signs that look like a blank or a hyphen, each as one character, so that places stay the same.
_PLAIN = {
    **dict.fromkeys([0xA0, 0x2002, 0x2003, 0x2007, 0x2009, 0x200A, 0x202F, 0x3000], " "),
    **dict.fromkeys(range(0x2010, 0x2016), "-"),
    0xFF0B: "+",
    0xFF20: "@",
    **{0xFF10 + digit: str(digit) for digit in range(10)},
}


@dataclass(frozen=True, slots=True)
class Span:
    """Where something was found: ``text[start:end]``."""

    kind: str
    start: int
    end: int


class PiiDetector:
    """Looks for personal data.

    Args:
        options: ``kinds``, a list, all when it is not set.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = Options(options)
        self._kinds = given.words("kinds", KINDS)
        given.close()

    def look(self, call: Call, stage: Stage) -> Seen:
        """Look at one side of a call."""
        text, unknown = text_of(call, stage)
        if text is None:
            return Seen((), unknown)
        spans: Sequence[Span] = find(text)
        if call.is_redacted:
            # What was taken out left its mark, and so a later look says what the first one said.
            marks = (Span(mark[1], mark.start(), mark.end()) for mark in _MARK.finditer(text))
            spans = sorted([*spans, *marks], key=lambda one: one.start)
        findings = tuple(
            Finding(one.kind, _SAID[one.kind], one.start, one.end)
            for one in spans
            if one.kind in self._kinds
        )
        return Seen(findings, unknown)


def redact(text: str) -> tuple[str, dict[str, int]]:
    """Take personal data and keys out of a text.

    Args:
        text: any; of more than :data:`REDACT_MAX_CHARS` characters the rest is dropped.

    Returns:
        The text with ``[email]``, ``[phone]`` and so on in their place, and how many of each
        kind there were; ``cut`` counts characters that were dropped unread. Empty when nothing was.

    Example:
        >>> redact("Write to ada@example.com.")
        ('Write to [email].', {'email': 1})
    """
    dropped = len(text) - REDACT_MAX_CHARS
    if dropped > 0:
        text = text[:REDACT_MAX_CHARS]
    parts: list[str] = []
    counts: dict[str, int] = {}
    at = 0
    for one in find(text):
        parts += (text[at : one.start], f"[{one.kind}]")
        counts[one.kind] = counts.get(one.kind, 0) + 1
        at = one.end
    parts.append(text[at:])
    if dropped > 0:
        parts.append(f"[cut: {dropped:,} characters]")
        counts["cut"] = dropped
    return "".join(parts), counts


@lru_cache(maxsize=4)  # rules of one policy look at the same text
def find(text: str) -> tuple[Span, ...]:
    """Everything that is personal or secret, in the order of the text, none over another."""
    if not text.isascii():
        text = text.translate(_PLAIN)
    taken: list[Span] = []
    has_number = _DIGITS_7.search(text) is not None
    searches = (_keys, _emails, _ibans, _cards, _phones) if has_number else (_keys, _emails)
    for search in searches:
        found = [one for one in search(text) if not _overlaps(one, taken)]
        if found:
            taken = sorted([*taken, *found], key=lambda one: one.start)
    return tuple(taken)


def _overlaps(one: Span, taken: list[Span]) -> bool:
    low, high = 0, len(taken)  # taken is in order, and its spans lie apart
    while low < high:
        middle = (low + high) // 2
        if taken[middle].end <= one.start:
            low = middle + 1
        else:
            high = middle
    return low < len(taken) and taken[low].start < one.end


# -- keys ------------------------------------------------------------------------------------

_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?:proj-|ant-|live-|svcacct-|or-)?[A-Za-z0-9_-]{20,200}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,200}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}"
    r"|github_pat_[A-Za-z0-9_]{22,255}"
    r"|glpat-[A-Za-z0-9_-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}"
    r"|AIza[A-Za-z0-9_-]{30,45}"
    r"|whsec_[A-Za-z0-9+/=]{20,128}"
    r"|hf_[A-Za-z0-9]{30,64}"
    r"|npm_[A-Za-z0-9]{36}"
    r"|pypi-[A-Za-z0-9_-]{50,255}"
    r"|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"
    r"|ebb_[a-z2-7]{12}_[a-z2-7]{52}"
    r"|eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000}"
    r")(?![A-Za-z0-9])"
)
_KEY_WORDS = (
    "sk-", "_live_", "_test_", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
    "github_pat_", "glpat-", "xox", "AIza", "whsec_", "hf_", "npm_", "pypi-", "SG.", "ebb_", "eyJ",
)  # fmt: skip
_BLOCK = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_BLOCK_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")
_BLOCK_MAX_CHARS = 10_000
_PASSWORD = re.compile(r"://[^\s/:@]{1,100}:([^\s/@]{3,200})@")
#: What stands in examples in the place of a password, or is a mark or a variable.
_NO_PASSWORD = re.compile(
    r"(?:pass|pass_?word|passwd|pwd|secret|your_?password|my_?password|changeme|x+|\*+|\.+)"
    r"|[<\[{$%].*",
    re.IGNORECASE,
)


def _keys(text: str) -> Iterator[Span]:
    if any(word in text for word in _KEY_WORDS):
        for match in _KEY.finditer(text):
            # Names made of words have no digits; a random key of twenty letters nearly always has.
            if any(sign.isdigit() for sign in match[0][4:]):
                yield Span("key", match.start(), match.end())
    if "PRIVATE KEY" in text:
        at = 0
        while block := _BLOCK.search(text, at):
            end = _BLOCK_END.search(text, block.end(), block.end() + _BLOCK_MAX_CHARS)
            at = end.end() if end else min(block.end() + _BLOCK_MAX_CHARS, len(text))
            yield Span("key", block.start(), at)
    if "://" in text:
        for match in _PASSWORD.finditer(text):
            if _NO_PASSWORD.fullmatch(match[1]) is None:
                yield Span("key", match.start(1), match.end(1))


# -- email -----------------------------------------------------------------------------------

_LOCAL_MAX = 64
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^{|}~-]")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}([^\W\d_]{2,24})(?![\w@])")
_SPELT = re.compile(
    r"(?<![\w.])[\w.+-]{1,64} ?(?:\[at\]|\(at\)|\{at\}|<at>| at ) ?"
    r"[\w-]{1,63}(?: ?(?:\[dot\]|\(dot\)|\{dot\}|<dot>| dot |\.) ?[a-zA-Z][\w-]{0,62}){1,4}",
    re.IGNORECASE,
)
_SPELT_WORDS = ("[at]", "(at)", "{at}", "<at>", " dot ")
_FILES = frozenset(
    "png jpg jpeg gif svg webp css js ts py rs go rb java json yaml yml toml md txt pdf csv html "
    "zip exe sh lock ico woff mp3 mp4".split()
)


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        if domain is not None and domain[1].lower() not in _FILES:
            start = at
            floor = max(0, at - _LOCAL_MAX)
            while start > floor and _LOCAL.match(text, start - 1):
                start -= 1
            start = _trim_local(text, start, at)
            is_remote = text.startswith(":", domain.end()) and text[start:at] == "git"
            if start < at and not is_remote and not _is_password(text, at):
                yield Span("email", start, domain.end())
        at = text.find("@", at + 1)
    lowered = text.lower()
    if any(word in lowered for word in _SPELT_WORDS):
        for match in _SPELT.finditer(text):
            said = match[0].lower()
            if "at]" in said or "at)" in said or "at}" in said or "at>" in said or " dot " in said:
                yield Span("email", match.start(), match.end())


def _is_password(text: str, at: int) -> bool:
    """Whether an at sign stands behind ``scheme://user:password`` and not behind a name."""
    before = text[max(0, at - 300) : at]
    begin = before.rfind("://")
    user = before[begin + 3 :]
    return begin >= 0 and ":" in user and re.search(r"[\s/]", user) is None


def _trim_local(text: str, start: int, at: int) -> int:
    """Leave out what stands before an address without a blank: a quote, ``mailto=``, a path."""
    for sign in "='/|{&?":
        cut = text.rfind(sign, start, at)
        if cut >= 0 and (sign != "'" or cut == start):
            start = cut + 1
    while start < at and text[start] in ".'*#!%^~-+":
        start += 1
    return start


# -- bank accounts ---------------------------------------------------------------------------

#: Length of an IBAN by country.
_IBAN_CHARS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31,
    "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[ -]?[0-9]{2}")


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN_START.finditer(text):
        wanted = _IBAN_CHARS.get(match[1].upper())
        if wanted is None:
            continue
        signs: list[str] = []
        at = match.start()
        while at < len(text) and len(signs) < wanted:
            sign = text[at]
            if sign.isascii() and sign.isalnum():
                signs.append(sign)
            elif sign not in " -." or text[at - 1] in " -.":
                break
            at += 1
        is_whole = at == len(text) or not text[at].isalnum()
        if len(signs) == wanted and is_whole and _has_check_digits("".join(signs).upper()):
            yield Span("iban", match.start(), at)


def _has_check_digits(iban: str) -> bool:
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


# -- cards -----------------------------------------------------------------------------------

# In one piece or in groups of three digits and more; none begins with another digit than these.
_CARD_RUN = re.compile(
    r"(?<![A-Za-z0-9+])[2-6](?:[0-9]{12,18}|[0-9]{2,5}(?:[ .-][0-9]{3,6}){2,7})(?![A-Za-z0-9])"
)
_GROUP = re.compile(r"[0-9]+")
_CARD_WORD = re.compile(r"visa|card|karte|carte|\bcc\b|\bpan\b", re.IGNORECASE)


def _cards(text: str) -> Iterator[Span]:
    for run in _CARD_RUN.finditer(text):
        groups = [(one.start() + run.start(), one[0]) for one in _GROUP.finditer(run[0])]
        first = 0
        while first < len(groups):
            digits, last = "", first
            end = None
            while last < len(groups) and len(digits) < 19:
                start, group = groups[last]
                digits += group
                last += 1
                if _is_card(digits) and (len(digits) > 13 or _is_named_card(text, start)):
                    end = start + len(group)
                    break
            if end is None or _goes_on(text, end):
                first += 1
            else:
                yield Span("card", groups[first][0], end)
                first = last


def _is_named_card(text: str, start: int) -> bool:
    """Whether a word before says so; cards of 13 digits are old, and articles have as many."""
    return _CARD_WORD.search(text[max(0, start - _BEFORE_CHARS) : start]) is not None


def _goes_on(text: str, end: int) -> bool:
    """Whether a number is only the beginning of one in more groups, with hyphens or points."""
    return text[end : end + 1] in ("-", ".") and text[end + 1 : end + 2].isdigit()


def _is_card(digits: str) -> bool:
    return 13 <= len(digits) <= 19 and _is_issued(digits) and _is_luhn(digits)


def _is_issued(digits: str) -> bool:
    """Whether an issuer has numbers that begin so, with this many digits."""
    two, three, four, length = int(digits[:2]), int(digits[:3]), int(digits[:4]), len(digits)
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two == 36 or two == 38 or two == 39 or 300 <= three <= 305:
        return length == 14
    if four == 6011 or two == 65 or 644 <= three <= 649 or two == 62:
        return 16 <= length <= 19
    if 3528 <= four <= 3589:
        return length == 16
    return four in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763) and length >= 16


_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}


def _is_luhn(digits: str) -> bool:
    doubled = sum(map(_DOUBLED.__getitem__, digits[-2::-2]))
    return (doubled + sum(map(int, digits[::-2]))) % 10 == 0


# -- telephone -------------------------------------------------------------------------------

_SEP = r"[ .\-/]{1,2}"
_PHONE = re.compile(
    r"(?<![\w.+#$€£-])(?:"
    # +49 (0)30 1234567, +14155552671
    r"\+[1-9][0-9]{0,3}(?:[ .\-/]{0,2}\(?[0-9]{1,12}\)?){1,6}"
    # 0049 30 1234567
    rf"|00[1-9][0-9]{{1,2}}(?:{_SEP}\(?[0-9]{{1,8}}\)?){{2,5}}"
    # 1-415-555-2671, (415) 555-2671
    rf"|(?:1[ .-])?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[ .-])[2-9][0-9]{{2}}[ .-][0-9]{{4}}"
    # 01 23 45 67 89
    r"|0[1-9](?:([ .-])[0-9]{2})(?:\1[0-9]{2}){3}"
    # 030 1234567, (0171) 234 5678, 020 7946 0958
    rf"|(?:\(0\) ?|\(?0)[1-9][0-9]{{1,4}}\)?(?:(?:{_SEP}|(?<=\)))[0-9]{{2,8}}){{1,4}}"
    r"(?:-[0-9]{1,2})?"
    r")(?![\w%€$£]|[.,:/-][0-9])"
)
#: Digits that only a word beside them makes a telephone number.
_NAMED = re.compile(
    r"\b(?:tele(?:ph|f)on\w{0,3}|phones?(?: number)?|tel|call(?:ing)?|mobile|cell(?:phone)?|fax"
    r"|whatsapp|sms|text me|texted|handy\w{0,9}|rufnummer|reach (?:me|us|him|her|them)|dial|ring"
    r"|contact number|hotline|móvil|téléphone|numéro)\b"
    r"[^0-9+\n]{0,25}(?P<number>\(?[0-9](?:[ .()/-]{0,2}[0-9]){6,14})(?![\w%]|[.,:/-][0-9])",
    re.IGNORECASE,
)
_DIGITS_7 = re.compile(r"[0-9](?:[ .()/-]{0,2}[0-9]){6}")
#: Words before a number which say that it is none of a telephone.
_OTHER = re.compile(
    r"\b(?:orders?|invoice|ticket|ref|reference|id|ids|sku|serial|tracking|versions?|case|isbn|ean"
    r"|part|model|build|transaction|customer|account|article|item|batch|lot|policy|claim|contract"
    r"|bestell\w{0,9}|rechnung\w{0,9}|auftrag\w{0,9}|kunden\w{0,9}|vertrag\w{0,9}|patent|license"
    r"|routing|parcel|shipment|booking|reservation|code|coordinates|ratio|score|vin|imei|ip|port)"
    r"\b[^0-9\n]{0,12}$",
    re.IGNORECASE,
)
_BEFORE_CHARS = 32


def _phones(text: str) -> Iterator[Span]:
    taken = -1
    for match in _PHONE.finditer(text):
        start, end = match.span()
        number = match[0]
        if number.endswith(")") and "(" not in number[1:]:
            end -= 1  # it closes what was opened before the number
            number = number[:-1]
        digits = sum(sign.isdigit() for sign in number)
        is_plus = number[0] == "+"
        if not (8 if is_plus else 9) <= digits <= (15 if is_plus else 16):
            continue
        if number.count("(") != number.count(")"):
            continue
        if not is_plus and _OTHER.search(text[max(0, start - _BEFORE_CHARS) : start]):
            continue
        if (
            not is_plus
            and text[start - 1 : start] in (" ", "-")
            and text[max(0, start - 2)].isdigit()
        ):
            continue  # the later groups of a longer number
        taken = end
        yield Span("phone", start, end)
    for match in _NAMED.finditer(text):
        start, end = match.span("number")
        if start >= taken and not _OTHER.search(text[max(0, start - _BEFORE_CHARS) : start]):
            yield Span("phone", start, end)
