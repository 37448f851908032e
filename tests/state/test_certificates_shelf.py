"""Keys of evidence, exports and certificates: what ends once, what stays, what goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.evidence import (
    Certificate,
    EvidenceKey,
    Export,
    ExportState,
    FileFormat,
    Subject,
)
from ebbtide.store.state.base import StateStore

T0 = datetime(2026, 3, 12, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
EXPORT = Export(
    "exp_1",
    "acme",
    Subject.INCIDENT,
    "inc_1",
    "inc_1",
    FileFormat.PDF,
    {"raw_output": False, "timeline": True},
    ExportState.STARTED,
    T0,
    "key",
)
CERTIFICATE = Certificate(
    "cert_1", "acme", Subject.INCIDENT, "inc_1", "USER_MISUSE", "ab", "k1", T0 + HOUR
)


def finish(store: StateStore, content: bytes = b"\0file") -> bool:
    return store.certificates.finish(
        "exp_1", CERTIFICATE, content, num_bytes=len(content), sealed_by="k"
    )


def test_one_key_signs_and_the_others_stay(store: StateStore) -> None:
    shelf = store.certificates
    assert shelf.keys() == []
    first = shelf.put_key(EvidenceKey("k1", "x1", T0))
    assert shelf.put_key(EvidenceKey("k1", "x1", T0 + HOUR)) == first
    second = shelf.put_key(EvidenceKey("k2", "x2", T0 + HOUR))
    assert shelf.keys() == [second, replace(first, retired_at=T0 + HOUR)]
    assert shelf.revoke_key("k1", T0 + HOUR).revoked_at == T0 + HOUR
    assert shelf.revoke_key("k1", T0 + 2 * HOUR).revoked_at == T0 + HOUR
    with pytest.raises(NotFound):
        shelf.revoke_key("k3", T0)
    # The operator's file may hold an earlier key again; what was revoked stays so.
    back = shelf.put_key(EvidenceKey("k1", "x1", T0 + 3 * HOUR))
    assert (back.retired_at, back.revoked_at) == (None, T0 + HOUR)
    assert [one.retired_at for one in shelf.keys()] == [None, T0 + 3 * HOUR]


def test_an_export_ends_once(store: StateStore) -> None:
    shelf = store.certificates
    shelf.start(EXPORT, most=1)
    assert shelf.find("exp_1") == EXPORT
    with pytest.raises(WrongState):
        shelf.start(replace(EXPORT, export_id="exp_2"), most=1)
    assert shelf.overdue(T0) == [] and shelf.overdue(T0 + HOUR) == [EXPORT]
    assert shelf.content("exp_1") is None
    assert finish(store)
    assert not finish(store)
    assert not shelf.give_up("exp_1", ExportState.ABORTED, T0, "late")
    assert shelf.content("exp_1") == (b"\0file", "k")
    (found,) = shelf.list_exports(tenant_id="acme", incident_id="inc_1")
    assert found == replace(
        EXPORT,
        state=ExportState.GENERATED,
        ended_at=T0 + HOUR,
        certificate_id="cert_1",
        num_bytes=5,
        is_kept=True,
    )
    assert shelf.find_certificate("cert_1") == CERTIFICATE
    assert shelf.list_exports(tenant_id="other") == shelf.list_exports(incident_id="other") == []


def test_what_was_given_up_leaves_no_certificate(store: StateStore) -> None:
    shelf = store.certificates
    shelf.start(EXPORT, most=1)
    assert shelf.give_up("exp_1", ExportState.ABORTED, T0, "closed_tab")
    assert not finish(store)
    assert shelf.find("exp_1").reason == "closed_tab"
    assert shelf.find_certificate("cert_1") is None
    with pytest.raises(NotFound):
        shelf.find("exp_2")


def test_files_go_and_certificates_stay_until_the_customer_is_erased(store: StateStore) -> None:
    shelf = store.certificates
    shelf.start(EXPORT, most=1)
    finish(store)
    assert shelf.forget_files(T0 + HOUR) == 0
    assert shelf.forget_files(T0 + 2 * HOUR) == 1
    assert shelf.content("exp_1") is None and not shelf.find("exp_1").is_kept
    assert shelf.find_certificate("cert_1") == CERTIFICATE
    store.erase_tenant("acme", T0)
    assert shelf.find_certificate("cert_1") is None
    assert shelf.list_exports() == []
