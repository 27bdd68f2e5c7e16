import asyncio
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from mainspring.errors import SettingsError
from mainspring.hosts.node_worker.watchdog import EXIT_DEAD_LOOP, DeadTime, Watchdog


def test_a_loop_that_beats_is_never_dead() -> None:
    state = DeadTime(every=1.0)
    for beats in range(1, 100):
        state = state.looked(beats, 1.0)
    assert state.dead == 0


def test_a_loop_that_does_not_beat_grows_more_dead_with_each_look() -> None:
    state = DeadTime(every=1.0).looked(1, 1.0)
    for _ in range(10):
        state = state.looked(1, 1.0)
    assert state.dead == 10


def test_a_stop_of_the_whole_process_is_no_sign_of_a_dead_loop() -> None:
    state = DeadTime(every=1.0).looked(1, 1.0).looked(1, 3600.0)
    assert state.dead == 2
    assert state.looked(2, 1.0).dead == 0


def test_it_ends_the_process_of_a_blocked_loop() -> None:
    ended = threading.Event()
    codes = list[int]()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    async def main() -> None:
        with Watchdog(asyncio.get_running_loop(), timedelta(milliseconds=50), end):
            assert ended.wait(30)  # blocks the loop

    asyncio.run(main())
    assert codes == [EXIT_DEAD_LOOP]


def test_it_leaves_a_loop_alone_that_runs() -> None:
    codes = list[int]()

    async def main() -> None:
        with Watchdog(asyncio.get_running_loop(), timedelta(milliseconds=50), codes.append):
            for _ in range(200):
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert not codes


def test_a_limit_of_nothing_is_refused() -> None:
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(SettingsError, match="must be positive"):
            Watchdog(loop, timedelta(0))
    finally:
        loop.close()


HOLDS_THE_INTERPRETER = """
import asyncio, re
from datetime import timedelta
from mainspring.hosts.node_worker import watchdog

watchdog._GIL_FACTOR, watchdog._GIL_MARGIN = 1, 0.5

async def main():
    with watchdog.Watchdog(asyncio.get_running_loop(), timedelta(seconds=0.2)):
        await asyncio.sleep(0.1)
        re.match(r"(a+)+$", "a" * 60 + "b")

asyncio.run(main())
"""


def test_c_code_that_never_gives_the_interpreter_back_is_ended_too() -> None:
    ended = subprocess.run([sys.executable, "-c", HOLDS_THE_INTERPRETER], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "re/__init__.py" in ended.stderr
