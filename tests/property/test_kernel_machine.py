"""Nothing is lost, nothing happens twice, everything ends: whatever comes in between, and wherever a process dies."""

from collections import Counter

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.kernel_machine import KernelMachine


def test_x() -> None:
    run_state_machine_as_test(KernelMachine, settings=settings(max_examples=100, stateful_step_count=40))
