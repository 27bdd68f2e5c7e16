"""The command line in this process, on a store of the test's own."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import structlog
from typer.testing import CliRunner, Result

from mainspring import Mainspring, Workflow
from mainspring.hosts.cli.app import app
from tests.hosts.cli import flows

T = TypeVar("T")


@attrs.frozen
class CommandLine:
    """Runs commands, and looks at the store they work on."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/runs.db"

    def __call__(self, *arguments: str, input: str | None = None, **environment: str) -> Result:
        said = {"MAINSPRING_DATABASE": self.url, "FLOWS": str(self.folder), "COLUMNS": "200", **environment}
        return CliRunner(env=said).invoke(app, arguments, input=input)

    def document(self, *arguments: str, code: int = 0) -> Any:
        """The JSON document that a command prints with ``--json``."""
        result = self(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def ask(self, use: Callable[[Mainspring], Coroutine[Any, Any, T]]) -> T:
        """Use the store through the library."""

        async def main() -> T:
            workflows: list[Workflow[Any, Any]] = [flows.greeting, flows.graph, flows.failing, flows.waiting]
            async with Mainspring(self.url, workflows=workflows, worker=False) as engine:
                return await use(engine)

        return asyncio.run(main())


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(tmp_path)
    structlog.reset_defaults()
