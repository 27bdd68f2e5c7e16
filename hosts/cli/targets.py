"""Targets: ``module:name`` or ``path/to/file.py[:name]`` to the workflows they name.

Rule: only what the user typed is imported, never a name that came out of a store.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from mainspring.kernel.definition import Workflow
from mainspring.kernel.stage import Stage
from mainspring.ports.errors import CommandError, DefinitionError

AnyWorkflow = Workflow[Any, Any]

_WANTED = "expected module:name or path/to/file.py[:name]"


class TargetError(CommandError):
    """What was named cannot be found, imported, or is no workflow; the message says what there is."""


@attrs.frozen
class Target:
    """A module or file, and perhaps a name in it."""

    place: str
    name: str | None

    @property
    def is_file(self) -> bool:
        """Whether it names a file."""
        return self.place.endswith(".py") or "/" in self.place


def parse(text: str) -> Target:
    """Take a target apart.

    Raises:
        TargetError: it is none.
    """
    place, colon, name = text.rpartition(":") if ":" in text else (text, "", "")
    if not place or (colon and not all(part.isidentifier() for part in name.split("."))):
        raise TargetError(f"{text!r} is no target; {_WANTED}")
    return Target(place, name or None)


def one(text: str) -> AnyWorkflow:
    """The workflow that a target names; without a name, the only one there.

    Raises:
        TargetError: there is none, or several.
    """
    target = parse(text)
    module = _imported(target)
    if target.name is not None:
        return _named(module, target.name, target.place)
    found = _workflows(module)
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise TargetError(_nothing_in(module, target.place))
    several = ", ".join(f"{target.place}:{name}" for name in found)
    raise TargetError(f"{target.place} holds {len(found)} workflows; name one of: {several}")


def every(text: str) -> list[AnyWorkflow]:
    """The workflow that a target names; without a name, all there are.

    Raises:
        TargetError: there is none.
    """
    target = parse(text)
    module = _imported(target)
    if target.name is not None:
        return [_named(module, target.name, target.place)]
    found = list(_workflows(module).values())
    if not found:
        raise TargetError(_nothing_in(module, target.place))
    return found


def _imported(target: Target) -> ModuleType:
    try:
        return _from_file(target.place) if target.is_file else _from_module(target.place)
    except TargetError:
        raise
    except DefinitionError as error:
        raise TargetError(f"{target.place} defines a workflow that cannot run: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and (target.place == error.name or target.place.startswith(error.name + ".")):
            raise TargetError(f"there is no module {error.name!r} here or installed; {_WANTED}") from error
        raise TargetError(_told(target.place, error)) from error
    except (Exception, SystemExit) as error:  # the module is the user's: it may raise whatever it likes
        raise TargetError(_told(target.place, error)) from error


def _told(place: str, error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({frame.filename}, line {frame.lineno})" for frame in last)
    return f"{place} cannot be imported: {type(error).__name__}: {error}{where}"


def _from_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is neither a module nor a file that ends in .py; {_WANTED}")
    _see(Path.cwd())
    return importlib.import_module(name)


def _from_file(place: str) -> ModuleType:
    path = Path(place).absolute()
    if not path.is_file():
        raise TargetError(f"there is no file {place}; {_WANTED}")
    _see(path.parent)
    name = path.stem
    if name in sys.stdlib_module_names or not name.isidentifier() or _is_another(name, path):
        name = f"_mainspring_target_{abs(hash(str(path)))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{place} is no Python file; {_WANTED}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where annotations of its classes are looked up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_another(name: str, path: Path) -> bool:
    """Whether the name already stands for a module that is not this file."""
    known = sys.modules.get(name)
    return known is not None and getattr(known, "__file__", None) != str(path)


def _see(folder: Path) -> None:
    """Let the folder's own modules be imported, as ``python file.py`` does."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _workflows(module: ModuleType) -> dict[str, AnyWorkflow]:
    found: dict[str, AnyWorkflow] = {}
    for name, value in vars(module).items():
        if isinstance(value, Workflow) and value.stages and not any(value is known for known in found.values()):
            found[name] = value
    return found


def _nothing_in(module: ModuleType, place: str) -> str:
    stages = [name for name, value in vars(module).items() if isinstance(value, Stage)]
    if not stages:
        return f"{place} holds no workflow; decorate a function with @workflow, or draw a Workflow(…) at its top level"
    chain = "".join(f".pipe({name})" for name in stages)
    return f'{place} holds stages but no workflow; put them together: Workflow("{module.__name__}", version="1"){chain}'


def _named(module: ModuleType, name: str, place: str) -> AnyWorkflow:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            there = ", ".join(_workflows(module)) or "none"
            raise TargetError(f"{place} has no {name!r}; its workflows: {there}")
        value = getattr(value, part)
    if isinstance(value, Workflow):
        return value  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Stage):
        raise TargetError(f'{place}:{name} is a stage; draw it: Workflow("{name}", version="1").pipe({name})')
    there = ", ".join(_workflows(module)) or "none"
    raise TargetError(f"{place}:{name} is no workflow but of type {type(value).__name__}; its workflows: {there}")
