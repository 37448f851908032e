"""Bodies in every shape: the fast reader and the careful one agree, and nothing is lost."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.errors import BadRequest, BodyTooLarge, UnsupportedEncoding
from ebbtide.ingest.decode import decode_events, decode_record, decompress

EVENT = {"event_id": "e-1", "event_type": "LOGIN", "metadata": {"source": "guard"}}

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(
    st.text(st.characters(codec="utf-8")).filter(lambda key: key != "events"),
    JSON_VALUES,
    max_size=5,
)


@pytest.mark.parametrize(
    "body",
    [EVENT, [EVENT], {"events": [EVENT]}],
    ids=["one event", "a list", "a wrapper"],
)
def test_the_three_shapes_give_the_same_record(body: object) -> None:
    records = decode_events(json.dumps(body).encode())
    assert [record.fields for record in records] == [EVENT]


@given(st.lists(OBJECTS, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_any_objects_come_out_as_they_went_in(
    objects: list[dict[str, object]], ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(objects, ensure_ascii=ascii_only, indent=indent).encode()
    assert [record.fields for record in decode_events(body)] == objects


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.integers(0, 3))
def test_a_repeated_key_is_found_wherever_it_stands(
    objects: list[dict[str, object]], at: int
) -> None:
    texts = [json.dumps(item) for item in objects]
    at %= len(texts)
    texts[at] = '{"deep": [{"twice": 1, "twice": 2}], "x": "\\":"}'
    records = decode_events(("[" + ",".join(texts) + "]").encode())
    reasons = [record.reason for record in records]
    assert reasons == ["duplicate_key" if i == at else None for i in range(len(texts))]
    assert records[at].raw.decode() == texts[at]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "number_out_of_range"),
        ('{"a": -Infinity}', "number_out_of_range"),
        ('{"a": 1e400}', "number_out_of_range"),
        ('{"a": ' + "9" * 5000 + "}", "number_out_of_range"),
        ('{"a": "\\ud800"}', "lone_surrogate"),
        ('{"\\udfff": 1}', "lone_surrogate"),
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "too_deep"),
        ("5", "not_an_object"),
        ("null", "not_an_object"),
        ('"text"', "not_an_object"),
    ],
)
def test_a_bad_record_waits_and_its_neighbours_do_not(text: str, reason: str) -> None:
    good = json.dumps(EVENT)
    for body in (f"[{good}, {text} ,{good}]", f'{{"events": [{good}, {text} ,{good}]}}'):
        records = decode_events(body.encode())
        assert [record.reason for record in records] == [None, reason, None]
        assert records[0].fields == records[2].fields == EVENT
        if records[1].text:
            assert records[1].text.decode("utf-8", "surrogatepass") == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"no json",
        b"[1,",
        b"[{}] extra",
        b'{"events": 5}',
        b"5",
        b'"text"',
        b"\xff\xfe[\x00]\x00",
        b'[{"a": "\xff"}]',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_list_of_records_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_events(body)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode_events(b"\xef\xbb\xbf" + json.dumps(EVENT).encode())[0].fields == EVENT


@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_a_clear_refusal(body: bytes) -> None:
    try:
        records = decode_events(body)
    except BadRequest:
        return
    assert all((record.fields is None) == (record.reason is not None) for record in records)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
    ],
)
def test_encodings_are_undone(encoding: str | None, compress: object) -> None:
    assert decompress(compress(b"hello" * 100), encoding) == b"hello" * 100  # type: ignore[operator]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip,zstd", "x"])
def test_other_encodings_are_named_unsupported(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        decompress(b"x", encoding)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(b"\0" * 50_000_000)),
        ("zstd", zstandard.ZstdCompressor().compress(b"\0" * 50_000_000)),
    ],
)
def test_a_bomb_stops_at_the_limit(encoding: str, bomb: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        decompress(bomb, encoding, limit=1_000_000)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"hello" * 100, mtime=0)[:-9]),
        ("gzip", b"no gzip"),
        ("gzip", zlib.compress(b"hello")),
        ("zstd", zstandard.ZstdCompressor().compress(b"hello" * 100)[:-4]),
        ("zstd", b"no zstd at all"),
    ],
)
def test_a_broken_stream_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        decompress(body, encoding)


@pytest.mark.parametrize(
    "text",
    [
        '{"twice": 1, "twice" : 2}',
        '{"twice" : 1, "twice": 2, "x": 3}',
        '{"twice"\n: 1, "twice"\t:2}',
        r'{"twice": 1, "twic\u0065": 2}',
        '{"twice": ":", "twice" : 2}',
    ],
)
def test_spaces_and_escapes_hide_no_repeated_key(text: str) -> None:
    assert [one.reason for one in decode_events(text.encode())] == ["duplicate_key"]
    assert decode_record(text.encode()).reason == "duplicate_key"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**19 + 2**64, 10**4000])
def test_a_number_is_judged_alike_by_both_readers(number: int) -> None:
    plain = b'{"a": {"b": [%s]}}' % str(number).encode()
    odd = b'[{"x": "\\ud800"}, ' + plain + b"]"
    assert decode_events(plain)[0].reason == "number_out_of_range"
    assert decode_events(odd)[1].reason == "number_out_of_range"


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_64_bits_are_kept(number: int) -> None:
    text = b'{"a": %s}' % str(number).encode()
    assert decode_events(text)[0].fields == {"a": number}
    assert decode_events(b'[{"x": "\\ud800"}, ' + text + b"]")[1].fields == {"a": number}


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_every_record_can_be_had_as_it_came(objects: list[dict[str, object]], indent: int) -> None:
    texts = [json.dumps(item, indent=indent) for item in objects]
    records = decode_events(("[" + " , ".join(texts) + "\n]").encode())
    assert [record.text.decode() for record in records] == texts
