"""Quarantine on both engines: nothing is dropped, nothing is doubled, everything can be found."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.domain.errors import NotFound
from ebbtide.domain.quarantine import (
    QuarantineEntry,
    QuarantineFilter,
    QuarantineStatus,
    ReleaseResult,
    to_raw,
)
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.quarantine import LISTED_RAW_BYTES

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def entry(
    raw: bytes = b"{}", reason: str = "missing_timestamp", **fields: object
) -> QuarantineEntry:
    made = QuarantineEntry(AT, "http", reason, raw)
    return replace(made, **fields)  # type: ignore[arg-type]


RAW = {
    "NUL": b'{"a":"\0"}',
    "lone surrogate": to_raw('{"a":"\ud800"}'),
    "not UTF-8": b"\xff\xfe\x00{",
    "empty": b"",
    "emoji": '{"a":"\U0001f30a"}'.encode(),
    "1 MB": b"x" * 1_000_000,
    "all bytes": bytes(range(256)),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_every_byte_comes_back(store: StateStore, raw: bytes) -> None:
    store.quarantine.add([entry(raw)])
    (row,) = store.quarantine.list_pending()
    assert row.entry == entry(raw)
    assert row.entry.raw == raw
    assert base64.b64decode(row.raw_base64) == raw
    assert row.raw_text is None or row.raw_text.encode() == raw
    assert store.quarantine.get(row.id) == row


def test_text_is_told_from_bytes(store: StateStore) -> None:
    store.quarantine.add(
        [entry(RAW["emoji"]), entry(RAW["not UTF-8"]), entry(RAW["lone surrogate"])]
    )
    texts = [row.raw_text for row in store.quarantine.list_pending()]
    assert texts == ['{"a":"\U0001f30a"}', None, None]


def test_a_foreign_word_never_keeps_an_event_out(store: StateStore) -> None:
    poison = "a\0b\ud800c" + "x" * 5000
    bad = entry(reason=f"unknown_field:{poison}", tenant_id=poison, file=poison, door="\0door")
    store.quarantine.add([bad])
    (row,) = store.quarantine.list_pending()
    assert row.entry.reason.startswith("unknown_field:a\\x00b\\ud800cxxx")
    assert row.entry.tenant_id is None
    assert row.entry.file is not None
    assert row.entry.file.startswith("a\\x00b")
    store.quarantine.settle([ReleaseResult(row.id, reason=f"invalid_{poison}")], AT)
    assert store.quarantine.get(row.id).entry.reason.startswith("invalid_a\\x00b\\ud800")


def test_an_imported_row_keeps_its_id_and_the_name_of_its_newest_mapping(
    store: StateStore,
) -> None:
    first = entry(file="a.csv", line=2, event_id="id-1", mapping="shop")
    other = replace(first, event_id="id-2")  # the file has another content now
    store.quarantine.add([first, other, replace(first, mapping="mended")])
    rows = store.quarantine.list_pending()
    assert [(row.entry.event_id, row.entry.mapping, row.num_seen) for row in rows] == [
        ("id-1", "mended", 2), ("id-2", "shop", 1),
    ]  # fmt: skip
    assert [row.fallback_event_id for row in rows] == ["id-1", "id-2"]
    store.quarantine.add([first])
    assert store.quarantine.get(rows[0].id).entry.mapping == "shop"


def test_the_same_thing_sent_again_is_one_row_seen_more_often(store: StateStore) -> None:
    store.quarantine.add([entry(key_id="one"), entry(key_id="one")])
    later = AT + SECOND
    store.quarantine.add([entry(reason="unmapped_event", received_at=later, key_id="two")])
    (row,) = store.quarantine.list_pending()
    assert row.num_seen == 3
    assert (row.entry.received_at, row.last_seen_at) == (AT, later)
    assert (row.entry.reason, row.entry.key_id) == ("unmapped_event", "one")


DIFFERENT = {
    "raw": {"raw": b"[]"},
    "door": {"door": "segment"},
    "tenant": {"tenant_id": "globex"},
    "file": {"file": "a.csv"},
    "line": {"file": "a.csv", "line": 7},
}


@pytest.mark.parametrize("fields", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_may_be_another_fact_is_another_row(
    store: StateStore, fields: dict[str, object]
) -> None:
    store.quarantine.add([entry(), entry(**fields)])
    assert [row.num_seen for row in store.quarantine.list_pending()] == [1, 1]


def test_equal_lines_of_a_file_are_rows_and_a_resumed_import_adds_none(store: StateStore) -> None:
    lines = [entry(b"a,b", door="import", file="a.csv", line=n) for n in (1, 2, 3)]
    store.quarantine.add(lines)
    store.quarantine.add(lines[1:])
    rows = store.quarantine.list_pending()
    assert [(row.entry.line, row.num_seen) for row in rows] == [(1, 1), (2, 2), (3, 2)]


def test_what_is_settled_may_come_again(store: StateStore) -> None:
    for _ in range(2):
        store.quarantine.add([entry()])
        (row,) = store.quarantine.list_pending()
        store.quarantine.settle([ReleaseResult(row.id, outcome="stored")], AT)
    store.quarantine.add([entry()])
    statuses = [row.status for row in store.quarantine.list_newest()]
    assert statuses == ["pending", "released", "released"]


def test_nothing_added_is_nothing_kept(store: StateStore) -> None:
    store.quarantine.add([])
    assert store.quarantine.list_newest() == []
    assert store.quarantine.count_by_reason() == {}
    with pytest.raises(NotFound):
        store.quarantine.get(1)


def test_pages_newest_first_meet_every_row_once(store: StateStore) -> None:
    store.quarantine.add([entry(b"%d" % n) for n in range(25)])
    seen: list[bytes] = []
    before = None
    while page := store.quarantine.list_newest(before=before, limit=10):
        seen += [row.entry.raw for row in page]
        before = page[-1].id
    assert seen == [b"%d" % n for n in reversed(range(25))]


def test_chunks_to_release_are_oldest_first_and_end_although_rows_stay(store: StateStore) -> None:
    store.quarantine.add([entry(b"%d" % n) for n in range(25)])
    tried: list[bytes] = []
    after = 0
    while chunk := store.quarantine.list_pending(after=after, limit=10):
        tried += [row.entry.raw for row in chunk]
        store.quarantine.settle([ReleaseResult(r.id, reason="still_bad") for r in chunk], AT)
        after = chunk[-1].id
    assert tried == [b"%d" % n for n in range(25)]
    assert store.quarantine.count_by_reason() == {"still_bad": 25}
    assert {row.num_attempts for row in store.quarantine.list_pending()} == {1}


def test_a_listing_cuts_long_raw_bytes_and_says_so(store: StateStore) -> None:
    raw = bytes(range(256)) * 1000
    store.quarantine.add([entry(raw)])
    (listed,) = store.quarantine.list_newest()
    assert listed.is_cut
    assert listed.entry.raw == raw[:LISTED_RAW_BYTES]
    assert listed.raw_bytes == len(raw)
    whole = store.quarantine.get(listed.id)
    assert not whole.is_cut
    assert whole.entry.raw == raw
    assert whole.fallback_event_id == listed.fallback_event_id


def test_filters_narrow_listing_counting_and_releasing(store: StateStore) -> None:
    uuid = "6F1F4F4E-9C5B-5D0E-8F0A-2B7D3C9A1E55"
    store.quarantine.add(
        [
            entry(b"1", "invalid_metadata:current", tenant_id=uuid),
            entry(b"2", "invalid_metadata:limit", tenant_id=uuid.lower()),
            entry(b"3", "invalid_metadata_else"),
            entry(b"4", "conflict", door="segment"),
            entry(b"5", "conflict"),
        ]
    )

    def found(**fields: object) -> str:
        meant = QuarantineFilter(**fields)  # type: ignore[arg-type]
        newest = "".join(row.entry.raw.decode() for row in store.quarantine.list_newest(meant))
        pending = "".join(row.entry.raw.decode() for row in store.quarantine.list_pending(meant))
        assert sorted(newest) == sorted(pending)
        assert sum(store.quarantine.count_by_reason(meant).values()) == len(newest)
        return pending

    assert found() == "12345"
    assert found(reason="invalid_metadata") == "12"
    assert found(reason="invalid_metadata:limit") == "2"
    assert found(reason="INVALID_METADATA") == ""
    assert found(reason="invalid%") == ""
    assert found(reason="a\0b\ud800") == ""
    assert found(tenant_id=uuid) == "12"
    assert found(tenant_id="acme") == ""
    assert found(door="segment") == "4"
    assert found(door="segment", reason="invalid_metadata") == ""
    assert found(status=QuarantineStatus.PENDING) == "12345"
    ids = [row.id for row in store.quarantine.list_pending()]
    assert found(ids=frozenset(ids[1:3])) == "23"
    assert found(ids=frozenset()) == ""
    assert store.quarantine.count_by_reason() == {
        "conflict": 2,
        "invalid_metadata:current": 1,
        "invalid_metadata:limit": 1,
        "invalid_metadata_else": 1,
    }


def test_more_row_numbers_than_a_query_takes_are_found_in_order(store: StateStore) -> None:
    store.quarantine.add([entry(b"%d" % n) for n in range(6)])
    (first, *_, last) = store.quarantine.list_pending()
    many = frozenset({first.id, last.id, *range(1_000_000, 1_025_000)})
    meant = QuarantineFilter(ids=many)
    assert [row.id for row in store.quarantine.list_pending(meant)] == [first.id, last.id]
    assert [row.id for row in store.quarantine.list_newest(meant)] == [last.id, first.id]
    assert [row.id for row in store.quarantine.list_newest(meant, limit=1)] == [last.id]
    assert store.quarantine.discard(meant, AT) == 2


def test_release_is_written_once(store: StateStore) -> None:
    store.quarantine.add([entry(b"1"), entry(b"2")])
    one, two = store.quarantine.list_pending()
    results = [ReleaseResult(one.id, outcome="stored"), ReleaseResult(two.id, reason="conflict")]
    assert store.quarantine.settle(results, AT) == 1
    released = store.quarantine.get(one.id)
    assert (released.status, released.released_at) == (QuarantineStatus.RELEASED, AT)
    assert (released.released_outcome, released.num_attempts) == ("stored", 1)
    again = [ReleaseResult(one.id, outcome="duplicate")]
    assert store.quarantine.settle(again, AT + SECOND) == 0
    assert store.quarantine.get(one.id) == released
    assert store.quarantine.get(two.id).entry.reason == "conflict"
    assert [row.id for row in store.quarantine.list_pending()] == [two.id]


def test_a_row_number_is_never_used_again(store: StateStore) -> None:
    store.quarantine.add([entry(tenant_id="acme")])
    (erased,) = store.quarantine.list_pending()
    store.erase_tenant("acme", AT)
    store.quarantine.add([entry()])
    (row,) = store.quarantine.list_pending()
    assert row.id > erased.id


def test_a_release_has_one_result() -> None:
    for fields in ({}, {"outcome": "stored", "reason": "conflict"}):
        with pytest.raises(ValueError, match="either an outcome or a reason"):
            ReleaseResult(1, **fields)


def test_discarded_rows_stay_listed_and_released_ones_are_not_discarded(store: StateStore) -> None:
    store.quarantine.add([entry(b"1"), entry(b"2", "conflict"), entry(b"3", "conflict")])
    (first, *_) = store.quarantine.list_pending()
    store.quarantine.settle([ReleaseResult(first.id, outcome="stored")], AT)
    assert store.quarantine.discard(QuarantineFilter(reason="conflict"), AT) == 2
    assert store.quarantine.discard(QuarantineFilter(), AT) == 0
    discarded = QuarantineFilter(status=QuarantineStatus.DISCARDED)
    assert [row.entry.raw for row in store.quarantine.list_newest(discarded)] == [b"3", b"2"]


def test_a_failing_batch_keeps_none_of_its_entries(store: StateStore) -> None:
    class Broken(QuarantineEntry):
        @property
        def raw_sha256(self) -> str:
            return None  # type: ignore[return-value]

    with pytest.raises(Exception, match=r"(?i)null"):
        store.quarantine.add([entry(b"1"), Broken(AT, "http", "x", b"2")])
    assert store.quarantine.list_newest() == []
