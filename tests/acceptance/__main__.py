"""The acceptance matrix: ``python -m tests.acceptance`` runs every whole-workflow test on every deployment.

Prints the table that the README shows; exits as pytest does.
"""

import sys
from collections import Counter

import pytest

from tests.acceptance.deployments import DEPLOYMENTS

SUITES = ("tests/acceptance/test_workflows.py", "tests/acceptance/test_waiting_and_reruns.py")


class Matrix:
    """Counts outcomes by deployment."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pytest's hook: one phase of one test has ended."""
        deployment = _deployment(report.nodeid)
        if deployment is None:
            return
        if report.failed or (report.skipped and report.when == "setup"):
            self.failed[deployment] += 1
        elif report.passed and report.when == "call":
            self.passed[deployment] += 1

    def table(self) -> str:
        """The outcomes as a Markdown table."""
        rows = ["| deployment | whole workflows that pass |", "| --- | --- |"]
        for deployment in DEPLOYMENTS:
            total = self.passed[deployment] + self.failed[deployment]
            rows.append(f"| {deployment} | {self.passed[deployment]} of {total} |")
        return "\n".join(rows)


def _deployment(nodeid: str) -> str | None:
    chosen = nodeid.partition("[")[2]
    fitting = [name for name in DEPLOYMENTS if chosen == f"{name}]" or chosen.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)


def main() -> int:
    """Run the matrix; pytest's exit code."""
    matrix = Matrix()
    code = pytest.main(["-q", *SUITES, *sys.argv[1:]], plugins=[matrix])
    print(f"\n{matrix.table()}")  # noqa: T201  the table is what this is for
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
