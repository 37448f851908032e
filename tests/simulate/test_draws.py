"""The building blocks of the simulator: streams, quotas, times and ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import exp
from statistics import NormalDist
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.time import EPOCH, parse_instant
from ebbtide.simulate.draws import LOGNORMAL_PERMILLE, Draws, Quota, Weighted
from ebbtide.simulate.rhythm import event_id, instant_text, to_us, weekday

MOMENTS_US = st.integers(0, to_us(datetime(2100, 1, 1, tzinfo=UTC)))


def test_a_stream_is_known_by_its_name() -> None:
    """These numbers must never change: every stored digest and demo hangs on them."""
    draws = Draws(7, 0, "script")
    assert [draws.below(1000) for _ in range(5)] == [147, 973, 124, 990, 395]
    assert Draws(7, 0, "script").unit() != Draws(7, 0, "traffic").unit()
    assert Draws(7, 1, "script").unit() != Draws(7, 11, "script").unit()


@given(st.integers(), st.floats(0.01, 5), st.integers(1, 300))
def test_a_quota_stays_close_to_its_rate(seed: int, rate: float, num_steps: int) -> None:
    quota = Quota(Draws(seed))
    total = sum(quota.take(rate) for _ in range(num_steps))
    assert 0.8 * rate * num_steps - 1 <= total <= 1.2 * rate * num_steps + 1


@given(st.floats(0, 1, exclude_max=True))
def test_a_weighted_choice_follows_its_weights(unit: float) -> None:
    choice = Weighted({"never": 0, "rare": 1, "often": 3})
    assert choice.at(unit) == ("rare" if unit < 0.25 else "often")


def test_the_lognormal_table_does_not_hang_on_the_last_bit_of_exp() -> None:
    size = len(LOGNORMAL_PERMILLE)
    exact = [1000 * exp(0.5 * NormalDist().inv_cdf((i + 0.5) / size)) for i in range(size)]
    assert all(abs(value % 1 - 0.5) > 1e-6 for value in exact)
    assert LOGNORMAL_PERMILLE[size // 2] == 1001
    assert list(LOGNORMAL_PERMILLE) == sorted(LOGNORMAL_PERMILLE)


@given(MOMENTS_US)
def test_instants_read_back_to_the_microsecond(moment_us: int) -> None:
    moment = parse_instant(instant_text(moment_us))
    assert moment == EPOCH + timedelta(microseconds=moment_us)
    assert moment.weekday() == weekday(moment_us)
    assert to_us(moment) == moment_us


@given(MOMENTS_US, MOMENTS_US)
def test_text_order_is_time_order(one_us: int, other_us: int) -> None:
    assert (instant_text(one_us) < instant_text(other_us)) == (one_us < other_us)


@given(MOMENTS_US, st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
def test_event_ids_are_uuids_of_version_7(moment_us: int, one: int, other: int) -> None:
    text = event_id(moment_us, one)
    uuid = UUID(text)
    assert str(uuid) == text
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == moment_us // 1000
    assert (event_id(moment_us, other) == text) == (one == other)
