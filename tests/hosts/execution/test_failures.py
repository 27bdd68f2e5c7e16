"""Failures: whatever was raised becomes a bounded, harmless record."""

import pytest

from mainspring.hosts.execution.failures import MAX_MESSAGE, MAX_TRACEBACK, failure_of, redacted


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  any kind
        return caught


@pytest.mark.fault(80)
def test_a_huge_message_and_traceback_are_cut() -> None:
    failure = failure_of(raised(ValueError("x" * 100_000)))
    assert len(failure.message) == MAX_MESSAGE
    assert failure.traceback is not None
    assert len(failure.traceback) <= MAX_TRACEBACK


@pytest.mark.fault(80)
def test_an_exception_that_cannot_print_itself_is_recorded() -> None:
    failure = failure_of(raised(UnprintableError()))
    assert failure.message == "<its message cannot be printed: RuntimeError>"
    assert failure.type is not None
    assert failure.type.endswith("UnprintableError")


def test_text_that_no_store_takes_is_made_harmless() -> None:
    failure = failure_of(raised(ValueError("a\x00b\ud800c")))
    assert failure.message == "a\\x00b?c"
    failure.message.encode()


@pytest.mark.fault(80, "S6")
@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://ada:hunter2@host/db",
        "password=hunter2",
        "{'api_key': 'hunter2'}",
        "Authorization: Bearer hunter2",
        "token = hunter2;",
        'SECRET="hunter2"',
    ],
)
def test_secrets_are_redacted(secret: str) -> None:
    assert "hunter2" not in redacted(f"could not reach {secret} today")
    failure = failure_of(raised(ConnectionError(secret)))
    assert "hunter2" not in failure.message
    assert "hunter2" not in (failure.traceback or "")


def test_a_deep_recursion_is_recorded() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    failure = failure_of(caught.value)
    assert failure.type == "RecursionError"
    assert len(failure.traceback or "") <= MAX_TRACEBACK
