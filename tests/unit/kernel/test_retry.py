"""Retry policies: delays, bounds, and which failures end the retries."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.retry import LONGEST, NO_RETRY, NonRetryable, Retry
from mainspring.ports.errors import DefinitionError

SECOND = timedelta(seconds=1)

policies = st.builds(
    Retry,
    initial=st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=1)),
    maximum=st.timedeltas(min_value=timedelta(hours=1), max_value=LONGEST),
    factor=st.floats(1.0, 1000.0),
    jitter=st.floats(0.0, 1.0),
)
draws = st.floats(0.0, 1.0, exclude_max=True)


def test_without_jitter_delays_grow_by_the_factor() -> None:
    retry = Retry(initial=timedelta(milliseconds=200), jitter=0.0)
    assert [retry.delay(attempt, 0.5) for attempt in (1, 2, 3)] == [
        timedelta(milliseconds=200),
        timedelta(milliseconds=400),
        timedelta(milliseconds=800),
    ]


def test_delays_stop_growing_at_the_maximum() -> None:
    retry = Retry(initial=SECOND, maximum=timedelta(seconds=5), jitter=0.0)
    assert retry.delay(4, 0.0) == timedelta(seconds=5)
    assert retry.delay(1_000_000, 0.0) == timedelta(seconds=5)


@pytest.mark.fault(101, 103)
def test_full_jitter_draws_from_zero_to_the_bound() -> None:
    retry = Retry(initial=timedelta(seconds=8))
    assert retry.delay(1, 0.0) == timedelta(seconds=8)
    assert retry.delay(1, 0.75) == timedelta(seconds=2)


def test_half_jitter_never_halves_more_than_once() -> None:
    retry = Retry(initial=timedelta(seconds=8), jitter=0.5)
    assert retry.delay(1, 0.999_999) >= timedelta(seconds=4)


def test_no_initial_delay_is_no_delay_ever() -> None:
    assert Retry(initial=timedelta(0), factor=1000.0).delay(1_000_000, 0.0) == timedelta(0)


@given(policies, st.integers(1, 1_000_000), draws)
def test_a_delay_is_never_negative_and_never_over_the_maximum(retry: Retry, attempt: int, random: float) -> None:
    assert timedelta(0) <= retry.delay(attempt, random) <= retry.maximum


@given(policies, st.integers(1, 999_999), draws)
def test_the_same_draw_never_waits_less_after_a_later_attempt(retry: Retry, attempt: int, random: float) -> None:
    assert retry.delay(attempt, random) <= retry.delay(attempt + 1, random)


def test_non_retryable_ends_the_retries() -> None:
    assert Retry().refuses(NonRetryable("no such order"))


def test_listed_exceptions_and_their_subclasses_end_the_retries() -> None:
    retry = Retry(non_retryable=(LookupError,))
    assert retry.refuses(KeyError("order"))
    assert not retry.refuses(OSError("disk"))


def test_no_retry_is_one_attempt() -> None:
    assert NO_RETRY.max_attempts == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 1_000_001),
        ("max_attempts", 2.5),
        ("initial", timedelta(seconds=-1)),
        ("factor", 0.9),
        ("factor", 1001.0),
        ("factor", float("nan")),
        ("maximum", timedelta(milliseconds=1)),
        ("jitter", -0.1),
        ("jitter", 1.1),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused_by_the_name_of_its_field(field: str, value: object) -> None:
    options = {field: value}
    with pytest.raises(DefinitionError, match=rf"Retry\({field}="):
        Retry(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"non_retryable": ValueError},
        {"non_retryable": (ValueError, "KeyError")},
        {"initial": timedelta.max, "maximum": timedelta.max},
        {"initial": 1},
        {"factor": "2"},
    ],
)
def test_a_policy_of_the_wrong_types_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"Retry\("):
        Retry(**wrong)


def test_a_group_is_refused_when_any_of_its_members_is() -> None:
    policy = Retry(non_retryable=(KeyError,))
    nested = ExceptionGroup("outer", [ValueError(), ExceptionGroup("inner", [KeyError()])])
    assert policy.refuses(nested)
    assert not policy.refuses(ExceptionGroup("outer", [ValueError()]))
