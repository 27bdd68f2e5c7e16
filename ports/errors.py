"""Every error Mainspring raises, sorted by who must act.

``CommandError``: the request is wrong; asking again will not help. ``PortError``: the world failed; the dispatch may
be repeated. A stage that fails is data (``records.Failure``), never an exception of the kernel.
"""

import attrs


class MainspringError(Exception):
    """Base of all errors raised by Mainspring."""


# -- the request is wrong ------------------------------------------------------------------------------------------


class CommandError(MainspringError):
    """The request is wrong as it stands: never retried."""


class NotFoundError(CommandError):
    """What was asked for does not exist (run, workflow, stage)."""


class ConflictError(CommandError):
    """The same key was used before with other content."""


class FinishedError(CommandError):
    """The run has reached its final status; nothing can change it."""


class UnfinishedError(CommandError):
    """What was asked for needs something to have ended that has not: a run, or a stage before the one named."""


class DefinitionError(CommandError):
    """A workflow's definition cannot run; the message names the place and the cure."""


class SettingsError(CommandError):
    """A setting or URL is wrong; the message names it and what it may be."""


@attrs.frozen
class Problem:
    """One thing wrong with a value."""

    #: Where: ``$`` is the value itself, ``$.items[0].price`` a place in it.
    path: str
    #: What was expected and what was found.
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidValueError(CommandError):
    """A value does not fit its type or its limits; every problem is listed with its path (up to 50)."""

    def __init__(self, subject: str, problems: tuple[Problem, ...]) -> None:
        self.subject = subject
        self.problems = problems
        super().__init__(subject, problems)

    def __str__(self) -> str:
        return f"invalid {self.subject}: " + "; ".join(map(str, self.problems))


class LeaseLostError(CommandError):
    """The attempt's lease is gone (reaped, cancelled or taken over): nothing of it was written."""


# -- the world failed ----------------------------------------------------------------------------------------------


class PortError(MainspringError):
    """The world failed; the same dispatch may be repeated."""


class StaleChange(PortError):  # noqa: N818  a verdict the kernel expects, not a mishap
    """A guard did not hold: nothing of the Change was written. Load and decide again."""


class ContendedError(PortError):
    """A command without a lease lost its race 20 times; ask again later."""


class UnknownOutcomeError(PortError):
    """The connection was lost while committing: the Change was written whole, or not at all."""


class UnavailableError(PortError):
    """The store or service cannot be reached or is busy for too long; it may come back."""


class ReadOnlyError(PortError):
    """The store refuses writes (file or directory read-only, standby)."""


class StoreFullError(PortError):
    """No space is left: nothing was written; free some and go on."""


class SchemaError(PortError):
    """The store's schema is missing, older or newer than this code; the message says what to run."""


class BlobNotFoundError(PortError):
    """No blob is stored under that key."""


class BlobCorruptError(PortError):
    """A blob's bytes are not the ones that were put."""
