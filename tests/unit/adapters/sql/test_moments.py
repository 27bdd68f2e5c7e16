from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.sql.moments import from_micros, maybe_from_micros, span, to_micros

AWARE = st.datetimes(timezones=st.just(UTC))


@given(AWARE)
def test_a_moment_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(AWARE, AWARE)
def test_integers_are_in_the_order_of_their_moments(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) == (one < other)


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    there = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert from_micros(to_micros(there)) == there
    assert from_micros(to_micros(there)).utcoffset() == timedelta(0)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 3, 1))  # noqa: DTZ001  naive on purpose


def test_no_moment_stays_none() -> None:
    assert to_micros(None) is None
    assert maybe_from_micros(None) is None


@given(st.timedeltas())
def test_a_span_is_exact(duration: timedelta) -> None:
    assert timedelta(microseconds=span(duration)) == duration
