"""Parts that cannot be opened: a wrong URL leaves nothing open behind it."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mainspring.ports.clock import Clock
from mainspring.ports.errors import SettingsError
from mainspring.wiring import open_parts


@pytest.mark.parametrize("part", ["transport", "blobs", "scheduler", "sinks"])
def test_a_wrong_url_beside_the_store_s_opens_no_store(part: str, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    wrong: dict[str, Any] = {part: "audit=nowhere://x" if part == "sinks" else "nowhere://x"}
    with pytest.raises(SettingsError):
        open_parts(f"sqlite:///{tmp_path}/runs.db", **wrong)
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) == before


def test_a_scheduler_goes_by_the_store_s_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Clock] = []

    def opened(_: str, clock: Clock) -> None:
        given.append(clock)

    monkeypatch.setattr("mainspring.wiring.open_scheduler", opened)
    parts = open_parts("memory://", scheduler="scheduler://any")
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(_: Clock) -> datetime:
        return moment

    monkeypatch.setattr(type(parts.clock), "now", now)
    assert given[0].now() == moment
