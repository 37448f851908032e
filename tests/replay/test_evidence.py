"""Files of evidence: one text for equal contents, signatures that hold, pages that show all."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_cases import CALL, HOSTILE, ISSUE, REPLAY, STORY, UNRECORDED
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.domain.call import Message
from ebbtide.replay.evidence.canonical import canonical, settle
from ebbtide.replay.evidence.contents import GONE, NOT_RECORDED, of_incident, of_replay
from ebbtide.replay.evidence.keys import read_key_set
from ebbtide.replay.evidence.pdf import TEXT_MAX_CHARS, render_pdf, show
from ebbtide.replay.evidence.sign import (
    PDF_LINE,
    Says,
    TrustedKey,
    check,
    public_bytes,
    sign_json,
    sign_pdf,
    thumbprint,
    to_base64url,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
KEYS = {thumbprint(public_bytes(KEY)): TrustedKey(public_bytes(KEY))}
REVOKED = {thumbprint(public_bytes(KEY)): TrustedKey(public_bytes(KEY), is_revoked=True)}
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)

json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


# -- the text ----------------------------------------------------------------------------------


@given(value=json_values)
@settings(max_examples=60, deadline=None)
def test_settled_values_have_one_text_and_it_reads_back(value: object) -> None:
    settled = settle(value)
    text = canonical(settled)
    assert json.loads(text) == settled
    assert canonical(json.loads(json.dumps(settled, indent=3))) == text


def test_keys_are_sorted_as_rfc_8785_sorts_them() -> None:
    # The example of its section 3.2.3, whose order differs from that of code points.
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    order = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names, 0)))) == order
    assert canonical({"b": [1, "\x07\n\u2028", None], "a": True}) == (
        '{"a":true,"b":[1,"\\u0007\\n\u2028",null]}'.encode()
    )


@pytest.mark.parametrize("value", [0.5, {"a": 1e300}, [float("nan")], {1, 2}, 2**53, b"x"])
def test_what_has_no_one_text_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


def test_the_key_id_is_that_of_rfc_8037() -> None:
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"  # its appendix A.2 and A.3
    (key_id,) = read_key_set({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
    assert key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


# -- the signature -----------------------------------------------------------------------------


def a_pdf(evidence: dict[str, Any]) -> bytes:
    return sign_pdf(render_pdf(evidence, sign_json(evidence, KEY)), evidence, KEY)


INCIDENT_JSON = sign_json(of_incident(STORY, ISSUE), KEY)
REPLAY_PDF = a_pdf(of_replay(STORY, REPLAY, ISSUE))


@pytest.mark.parametrize("content", [INCIDENT_JSON, REPLAY_PDF], ids=["json", "pdf"])
def test_a_signature_says_what_the_keys_allow(content: bytes) -> None:
    assert check(content, KEYS).says is Says.VALID
    assert check(content, {}).says is Says.UNKNOWN_KEY
    assert check(content, REVOKED).says is Says.REVOKED_KEY
    stranger = {key_id: TrustedKey(public_bytes(OTHER)) for key_id in KEYS}
    assert check(content, stranger).says is Says.UNKNOWN_KEY
    found = check(content, KEYS)
    assert found.certificate_id == ISSUE.certificate_id
    assert found.evidence is not None and found.evidence["incident"]["incident_id"] == "inc_1"


@pytest.mark.parametrize("content", [INCIDENT_JSON, REPLAY_PDF], ids=["json", "pdf"])
def test_no_byte_of_a_file_can_be_changed(content: bytes) -> None:
    for place in range(0, len(content), len(content) // 150):
        changed = bytearray(content)
        changed[place] ^= 1
        assert check(bytes(changed), KEYS).says is not Says.VALID, place
    assert check(content[:-1], KEYS).says is not Says.VALID
    assert check(content + b" x", KEYS).says is not Says.VALID


def test_a_json_may_be_laid_out_anew_but_not_changed() -> None:
    file = json.loads(INCIDENT_JSON)
    assert check(json.dumps(file, indent=2).encode(), KEYS).says is Says.VALID
    file["evidence"]["incident"]["severity"] = 1
    assert check(json.dumps(file).encode(), KEYS).says is Says.INVALID
    for spoiled in (
        INCIDENT_JSON.replace(b'"severity":4', b'"severity":1,"severity":4', 1),
        INCIDENT_JSON.replace(b'"severity":4', b'"severity":4.0', 1),
        INCIDENT_JSON.replace(b'"alg":"Ed25519"', b'"alg":"none"', 1),
        b"", b"null", b"[]", b'{"evidence":[],"signature":[]}', b"[" * 100_000, b"\xff\xfe",
        b"%PDF-", b'%PDF-{"evidence":\nendstream',
    ):  # fmt: skip
        assert check(spoiled, KEYS).says in (Says.INVALID, Says.UNSIGNED)


def test_another_may_sign_but_not_in_our_name() -> None:
    evidence = of_incident(STORY, ISSUE)
    forged = json.loads(sign_json(evidence, OTHER))
    assert check(canonical(forged), KEYS).says is Says.UNKNOWN_KEY
    ours = json.loads(INCIDENT_JSON)["signature"]
    forged["signature"] |= {name: ours[name] for name in ("key_id", "public_key")}
    assert check(canonical(forged), KEYS).says is Says.INVALID


def test_a_pdf_without_its_last_line_says_that_its_pages_are_not_signed() -> None:
    bare = REPLAY_PDF[: REPLAY_PDF.rindex(PDF_LINE)]
    found = check(bare, KEYS)
    assert found.says is Says.UNSIGNED
    attached = bare[bare.index(b'{"evidence":') :]
    assert check(attached[: attached.index(b"\nendstream")], KEYS).says is Says.VALID
    # The line of one file does not sign another.
    line = REPLAY_PDF[REPLAY_PDF.rindex(PDF_LINE) :]
    other = a_pdf(of_incident(UNRECORDED, ISSUE))
    assert check(other[: other.rindex(PDF_LINE)] + line, KEYS).says is Says.INVALID


def test_keys_of_other_kinds_are_passed_over_and_nonsense_is_refused() -> None:
    x = to_base64url(public_bytes(KEY))
    ours = {"kty": "OKP", "crv": "Ed25519", "x": x, "status": "revoked"}
    assert read_key_set({"keys": [{"kty": "RSA"}, ours]}) == REVOKED
    nonsense: object
    for nonsense in (None, [], {}, {"keys": {}}, {"keys": [1]}, {"keys": [ours | {"x": 5}]},
                     {"keys": [ours | {"x": "#"}]}):  # fmt: skip
        with pytest.raises(ValueError):
            read_key_set(nonsense)


# -- the contents ------------------------------------------------------------------------------


def test_an_incident_that_was_not_recorded_says_so() -> None:
    evidence = of_incident(UNRECORDED, ISSUE)
    assert evidence["original"] == {"is_recorded": False, "reason": NOT_RECORDED, "call": None}
    assert evidence["policy_versions"] == [
        {
            "policy_id": "CONTENT_ACCURACY",
            "policy_version": "v12",
            "result": "blocked",
            "reason": "a claim about null",
        }
    ]
    assert NOT_RECORDED.split(":")[0] in text_of(render_pdf(evidence, sign_json(evidence, KEY)))


def test_texts_are_left_out_where_a_person_says_so() -> None:
    quiet = replace(ISSUE, include={"timeline": False, "raw_output": False})
    for evidence in (of_incident(STORY, quiet), of_replay(STORY, REPLAY, quiet)):
        content = canonical(evidence).decode()
        assert "alert(1)" not in content and "renewed" not in content and "do not" not in content
        assert "left out" in text_of(render_pdf(evidence, sign_json(evidence, KEY)))
        assert evidence["timeline"].keys() == {"left_out"}


def test_a_replay_tells_both_sides_and_the_deltas() -> None:
    evidence = of_replay(STORY, REPLAY, ISSUE)
    first, second = evidence["replay"]["samples"]
    assert first["comparison"]["cost_usd"] == {
        "original": "0.0023", "replay": "0.0019", "change": "-0.0004",
    }  # fmt: skip
    assert first["comparison"]["severity"]["change"] == "-3"
    assert first["comparison"]["latency_ms"]["change"] is None
    assert first["comparison"]["determinism"]["similarity"] == "0.83"
    assert first["call"]["output"] == "I do not know."
    assert (second["error_type"], second["call"]) == ("timeout", None)
    assert evidence["original"]["call"]["output"].startswith("Yes. <script>")
    assert evidence["original"]["call"]["parameters"] == {"temperature": "0.2"}
    shown = text_of(render_pdf(evidence, sign_json(evidence, KEY)))
    for said in ("0.0023 -> 0.0019", "4 -> 1 (-3)", "semantic", "v11", "timeout"):
        assert said in shown, said
    gone = of_replay(STORY, replace(REPLAY, baseline=None, samples=()), ISSUE)
    assert gone["original"]["reason"] == GONE


# -- the pages ---------------------------------------------------------------------------------


def text_of(pdf: bytes) -> str:
    """The texts that the pages of a PDF of ours draw."""
    drawn = []
    for stream in re.findall(rb"/FlateDecode.*?stream\n(.*?)\nendstream", pdf, re.DOTALL):
        drawn += re.findall(rb"\(((?:\\.|[^()\\])*)\) Tj", zlib.decompress(stream), re.DOTALL)
    text = b" ".join(drawn).decode("cp1252")
    return re.sub(r"\\(.)", r"\1", text)


def test_equal_evidence_is_equal_bytes() -> None:
    evidence = of_replay(STORY, REPLAY, ISSUE)
    signed = sign_json(evidence, KEY)
    assert render_pdf(evidence, signed) == render_pdf(evidence, signed)
    assert a_pdf(of_replay(STORY, REPLAY, ISSUE)) == REPLAY_PDF


def test_no_character_vanishes_or_pretends() -> None:
    assert show("a\x00\t\x1b\u202e\u200b\xad\xa0\ud83d\n\u20ac\u201c\xe9") == (
        "a<U+0000><U+0009><U+001B><U+202E><U+200B><U+00AD><U+00A0><U+D83D>\n\u20ac\u201c\xe9"
    )
    assert show("<U+0041> < U") == "<U+003C>U+0041> < U"
    shown = text_of(REPLAY_PDF).replace(" ", "")
    for said in (
        "{nb}**b**",
        "1/3",
        "<U+202E>",
        "<U+200B>",
        "<U+00AD>",
        "<U+4E2D><U+6587>",
        "<U+1F600>",
        "<U+001B>",
    ):
        assert said in shown, said
    assert (
        HOSTILE.partition("\ud83d")[0]
        in check(REPLAY_PDF, KEYS).evidence["original"]["call"][  # type: ignore[index]
            "output"
        ]
    )


def test_nothing_in_a_pdf_can_act() -> None:
    for word in (b"/URI", b"/JS", b"/JavaScript", b"/Launch", b"/Annots", b"/AA"):
        assert word not in REPLAY_PDF, word


def test_a_line_of_five_megabytes_is_bounded() -> None:
    turns = tuple(Message("user", "x" * 3000) for _ in range(70))
    long = replace(CALL, output="<b>" * 1_700_000, messages=turns, provider="p" * 5000)
    evidence = of_incident(replace(STORY, call=long), ISSUE)
    signed = sign_json(evidence, KEY)
    pages = render_pdf(evidence, signed).replace(signed, b"")
    assert len(pages) < 50_000
    shown = text_of(pages)
    assert "10 more messages in the attached JSON" in shown
    assert f"[... {5_100_000 - TEXT_MAX_CHARS:,} more" in shown
