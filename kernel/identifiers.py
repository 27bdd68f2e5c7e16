"""What ids, versions, queues, priorities and durations of a definition may look like, with errors that say so.

Imported by the modules that read definitions. Ids become parts of routes, blob keys and command lines: hence
ASCII only.
"""

import re
from datetime import timedelta
from typing import Any

from mainspring.kernel.retry import LONGEST
from mainspring.ports.errors import DefinitionError
from mainspring.ports.names import StageId, Version, WorkflowId

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
NAME_RULE = "1 to 100 of the characters A-Z a-z 0-9 _ . - and begin with a letter or digit"

#: Taken by Mainspring itself: ``input`` names the run's input; ``~`` and ``__`` begin the names of internal stages.
RESERVED = frozenset({"input"})
RESERVED_PREFIXES = ("~", "__")

#: Priorities fit a small integer of every store.
PRIORITIES = range(-32_768, 32_768)


def workflow_id(id: Any) -> WorkflowId:
    """The id of a workflow.

    Raises:
        DefinitionError: it is not made as ``NAME_RULE`` says.
    """
    return WorkflowId(_name(id, "workflow id"))


def queue_name(queue: Any, place: str) -> str:
    """The name of a queue.

    Raises:
        DefinitionError: it is not made as ``NAME_RULE`` says.
    """
    return _name(queue, f"{place}: queue")


def stage_id(id: Any) -> StageId:
    """The id of a stage.

    Raises:
        DefinitionError: it is not made as ``NAME_RULE`` says, or is reserved.
    """
    if isinstance(id, str) and (id in RESERVED or id.startswith(RESERVED_PREFIXES)):
        raise DefinitionError(
            f"stage id {id!r} is reserved ('input', and names that begin with '~' or '__'); "
            "give another: @stage(id=…) or stage.named(…)"
        )
    return StageId(_name(id, "stage id"))


def version_text(version: Any, place: str) -> Version:
    """The version of a workflow.

    Raises:
        DefinitionError: it is empty, too long, or has other characters than ``NAME_RULE`` and ``+``.
    """
    if isinstance(version, str) and VERSION.fullmatch(version):
        return Version(version)
    raise DefinitionError(f'{place}: version {version!r} must be a string like "3" or "1.2.0+eu": {NAME_RULE} (and +)')


def checked_priority(priority: Any, place: str) -> int:
    """A priority; higher goes first.

    Raises:
        DefinitionError: it is no int, or out of range.
    """
    if isinstance(priority, int) and not isinstance(priority, bool) and priority in PRIORITIES:
        return priority
    raise DefinitionError(
        f"{place}: priority {priority!r} must be an int from {PRIORITIES.start} to {PRIORITIES.stop - 1} (higher first)"
    )


def checked_timeout(timeout: Any, place: str) -> timedelta | None:
    """A time-out; None is none.

    Raises:
        DefinitionError: it is no timedelta, not positive, or longer than a hundred years.
    """
    if timeout is None or (isinstance(timeout, timedelta) and timedelta(0) < timeout <= LONGEST):
        return timeout
    expected = "a positive timedelta of at most 100 years, or None for none"
    raise DefinitionError(f"{place}: timeout {timeout!r} must be {expected}")


def _name(text: Any, subject: str) -> str:
    if isinstance(text, str) and NAME.fullmatch(text):
        return text
    raise DefinitionError(f"{subject} {text!r} must have {NAME_RULE}; give one with id=…")
