"""A seed says all: the same world comes to pass again, in this process or another, and from its recorded plan."""

import os
import subprocess
import sys

import pytest

from tests.simulation.campaign import digest, undisturbed
from tests.simulation.case import MIXED

SEEDS = range(40)


@pytest.fixture(scope="module")
def here() -> int:
    with undisturbed():
        return digest(SEEDS, MIXED)


def test_a_world_happens_again_exactly(here: int) -> None:
    with undisturbed():
        assert digest(SEEDS, MIXED) == here


def test_a_world_happens_again_from_the_faults_it_recorded(here: int) -> None:
    with undisturbed():
        assert digest(SEEDS, MIXED, replayed=True) == here


def test_other_seeds_make_other_worlds(here: int) -> None:
    with undisturbed():
        assert digest(range(40, 80), MIXED) != here


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345", "random"])
def test_another_process_with_other_hashes_sees_the_same_world(hash_seed: str, here: int) -> None:
    program = (
        "from tests.simulation.campaign import digest, settle_in; settle_in();"
        f" print(digest(range({SEEDS.start}, {SEEDS.stop}), {MIXED!r}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.stderr == ""
    assert int(ended.stdout) == here
