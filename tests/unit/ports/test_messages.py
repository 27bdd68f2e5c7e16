"""Messages: exact round trips of what Mainspring writes, and a typed refusal of everything else."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.ports.messages import LONGEST_POINTER, InvalidMessageError, read_pointer, write_event, write_pointer
from mainspring.ports.names import RunId, StageId
from mainspring.ports.records import Event, Pointer

RUN = "019a0000-0000-7000-8000-000000000001"
GOOD = {"mainspring": 1, "run": RUN, "stage": "hello", "index": 0}

uuids = st.uuids().map(str)
stages = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", fullmatch=True)
pointers = st.builds(Pointer, run_id=uuids.map(RunId), stage=stages.map(StageId), index=st.integers(0, 9_999_999))


@given(pointers)
def test_a_pointer_comes_back_as_it_was_in_few_bytes(pointer: Pointer) -> None:
    message = write_pointer(pointer)
    assert read_pointer(message) == pointer
    assert read_pointer(message.encode()) == pointer
    assert len(message) <= LONGEST_POINTER
    assert message.isascii()


@pytest.mark.fault(51)
@given(st.one_of(st.binary(max_size=2000), st.text(max_size=2000)))
def test_whatever_else_comes_is_refused_and_not_repeated(message: str | bytes) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        read_pointer(message)
    shown = message if isinstance(message, str) else message.decode(errors="replace")
    assert len(shown) < 8 or shown not in str(caught.value)


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    "message",
    [
        "[" * 1000,
        json.dumps([GOOD]),
        json.dumps({**GOOD, "more": 1}),
        json.dumps({name: value for name, value in GOOD.items() if name != "index"}),
        json.dumps({**GOOD, "mainspring": 2}),
        json.dumps({**GOOD, "mainspring": True}),
        json.dumps({**GOOD, "run": RUN.upper()}),
        json.dumps({**GOOD, "run": "../../etc/passwd"}),
        json.dumps({**GOOD, "run": None}),
        json.dumps({**GOOD, "stage": ""}),
        json.dumps({**GOOD, "stage": "a b"}),
        json.dumps({**GOOD, "stage": "s\n"}),
        json.dumps({**GOOD, "stage": "s" * 300}),
        json.dumps({**GOOD, "index": -1}),
        json.dumps({**GOOD, "index": 1.0}),
        json.dumps({**GOOD, "index": True}),
        json.dumps({**GOOD, "index": 10**9}),
        '{"mainspring":1,"run":"' + RUN + '","stage":"a","index":0,"index":1}',
        json.dumps(GOOD) + " " * LONGEST_POINTER,
    ],
)
def test_what_is_nearly_a_pointer_is_refused(message: str) -> None:
    with pytest.raises(InvalidMessageError):
        read_pointer(message)


def test_an_event_is_a_cloud_event() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    event = Event(run_id=RunId(RUN), seq=7, type="run.completed", at=at, data='{"workflow":"grüße"}')
    text = write_event(event, source="orders")
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == {
        "specversion": "1.0",
        "id": f"{RUN}/7",
        "source": "orders",
        "type": "mainspring.run.completed",
        "subject": RUN,
        "time": "2026-01-02T03:04:05.000678Z",
        "datacontenttype": "application/json",
        "partitionkey": RUN,
        "sequence": "7",
        "data": {"workflow": "grüße"},
    }
