"""Whether Stripe signed a request with a secret of ours: exactly these bytes, and lately."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from ebbtide.domain.errors import WrongSignature
from ebbtide.domain.time import EPOCH

TOLERANCE_S = 300  # an older signature may have been listened to and sent again
SIGNATURES_MAX = 16  # one per secret in use; more only cost time
_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)


def check_signature(
    header: str, body: bytes, secrets: Sequence[bytes], received_at: datetime
) -> None:
    """Refuse what Stripe did not sign.

    Args:
        header: ``Stripe-Signature``: ``t=<seconds>,v1=<hex>``, with several ``v1`` while secrets
            are being exchanged; other schemes are passed over.
        body: as it came over the wire.
        secrets: of the endpoint, all that may be in use.
        received_at: UTC-aware.

    Raises:
        WrongSignature: none of the signatures is of any secret, or the time is more than
            :data:`TOLERANCE_S` away; the answer does not say which secret was tried.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    moments = [value for name, _, value in pairs if name == "t"]
    if len(moments) != 1 or not _TIME.fullmatch(moments[0]):
        raise WrongSignature("Stripe-Signature names no time")
    given = [value.encode("latin-1", "replace") for name, _, value in pairs if name == "v1"]
    if not given:
        raise WrongSignature("Stripe-Signature has no signature of scheme v1")
    signed = moments[0].encode() + b"." + body
    expected = [hmac.new(secret, signed, sha256).hexdigest().encode() for secret in secrets]
    # All are compared, each in constant time: how long it takes tells nothing about a secret.
    matches = [
        hmac.compare_digest(one, other) for one in expected for other in given[:SIGNATURES_MAX]
    ]
    if not any(matches):
        raise WrongSignature("the signature is not of these bytes and a secret of this endpoint")
    age_s = (received_at - EPOCH).total_seconds() - int(moments[0])
    if abs(age_s) > TOLERANCE_S:
        raise WrongSignature(f"the signature is more than {TOLERANCE_S} s away from our clock")
