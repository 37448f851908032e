"""``ebbtide freeze``: stop a customer or a key, see who is stopped, and let them go on."""

from __future__ import annotations

import json

import pytest
from command import Command


@pytest.mark.parametrize("ebbtide", ["beside a server"], indirect=True)
def test_somebody_is_stopped_and_goes_on(ebbtide: Command) -> None:
    assert ebbtide("freeze", "list") == "Nobody is frozen.\n"
    said = ebbtide("freeze", "tenant", "gamma-inc", "--reason", "Spend rose.")
    assert said.startswith("Frozen: gamma-inc. Let it go on with: ebbtide freeze lift frz_")
    assert said.endswith("Nothing was known of that customer before: is the name right?\n")
    again = ebbtide("freeze", "tenant", "gamma-inc", "--reason", "Spend rose.")
    assert "is the name right" not in again
    key_id = json.loads(ebbtide("keys", "create", "k", "--scope", "llm:call", "--json"))["key_id"]
    made = json.loads(ebbtide("freeze", "key", key_id, "--reason", "It leaked.", "--json"))
    assert made["scope"] == "key" and made["is_active"]
    listed = ebbtide("freeze", "list")
    assert "gamma-inc" in listed and key_id in listed and "Spend rose." in listed
    lifted = ebbtide("freeze", "lift", made["freeze_id"], "--reason", "It did not.")
    assert lifted == f"Lifted: key {key_id} may call models again.\n"
    assert key_id not in ebbtide("freeze", "list")
    everything = json.loads(ebbtide("freeze", "list", "--all", "--json"))["items"]
    assert {one["lift_reason"] for one in everything} == {None, "It did not."}
