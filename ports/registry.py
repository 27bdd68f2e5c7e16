"""Registry: what this process can execute. Its values are kernel definitions; here only what stores must know."""

from collections.abc import Collection
from typing import Protocol, TypeVar

from mainspring.ports.names import Fingerprint, Route, Version, WorkflowId

W_co = TypeVar("W_co", covariant=True)


class Registry(Protocol[W_co]):
    """Definitions by name and version. Never an import of a name that arrives in a message."""

    def workflow(self, workflow: WorkflowId, version: Version | None = None) -> W_co:
        """The definition; without a version, the one registered last.

        Raises:
            NotFoundError: this process does not know it; names those it knows.
        """
        ...

    def by_fingerprint(self, workflow: WorkflowId, version: Version, fingerprint: Fingerprint) -> W_co | None:
        """The definition if its shape is this very one, else None."""
        ...

    def routes(self) -> Collection[Route]:
        """The routes this process serves."""
        ...
