"""Turns what users ask to be started into commands.

Every problem of input, config and options is told at once, before anything is written.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

import attrs

from mainspring.hosts.execution.payloads import Payloads
from mainspring.hosts.execution.registry import Served
from mainspring.kernel.commands.run_create import MAX_KEY_LENGTH, CreateRun
from mainspring.ports.clock import Ids
from mainspring.ports.errors import InvalidValueError, Problem
from mainspring.ports.names import Payload, RunId

PRIORITIES = range(-32_768, 32_768)
MAX_TAGS = 50
MOST_PROBLEMS = 50
LONGEST = timedelta(days=36_500)
LAST_YEAR = 9_000  # so that a deadline can be reckoned with
MAX_TAG_LENGTH = 200


class SharedOptions(TypedDict, total=False):
    """What a start of one run or of many may say beside its input."""

    config: Mapping[str, Any] | None  #: ``{stage id: config}`` for stages that take one
    priority: int | None  #: higher first, -32,768 to 32,767; default: the workflow's
    tags: Sequence[str]  #: texts to find it by
    metadata: Any  #: anything the codec takes, kept with the run
    start_at: datetime | None  #: not before this moment (aware)
    timeout: timedelta | None  #: of the whole run; it then fails as ``timed_out``


class Options(SharedOptions, total=False):
    """What a start may say beside its input."""

    key: str | None  #: the same key starts one run of the workflow, ever; ``handle.created`` tells which


@attrs.frozen(kw_only=True)
class StartOptions:
    """``Options``, with their defaults."""

    key: str | None = None
    config: Mapping[str, Any] | None = None
    priority: int | None = None
    tags: Sequence[str] = ()
    metadata: Any = None
    start_at: datetime | None = None
    timeout: timedelta | None = None


@attrs.frozen(kw_only=True)
class _Shared:
    """What every start of one call has alike, made once."""

    tags: tuple[str, ...]
    config: Payload | None  #: of each stage that takes one, defaults filled in
    given: Payload  #: the config as it was given
    metadata: Payload | None


@attrs.frozen(kw_only=True)
class Checked:
    """Many starts of one workflow whose inputs are right, kept as text: many objects would weigh on the collector."""

    served: Served
    texts: list[Payload]
    keys: Sequence[str | None] | None
    options: StartOptions
    shared: _Shared


class Requests:
    """Makes ``CreateRun`` commands."""

    def __init__(self, payloads: Payloads, ids: Ids) -> None:
        self._payloads = payloads
        self._ids = ids

    async def create(self, served: Served, value: Any, options: StartOptions) -> CreateRun:
        """The command that starts this run.

        Raises:
            InvalidValueError: input, config or an option is wrong; every problem with its path.
        """
        check_options(options)
        shared = self._shared(served, options)
        return await self._command(served, self._input(served, value), options.key, options, shared=shared)

    def checked(
        self, served: Served, values: Sequence[Any], keys: Sequence[str | None] | None, options: StartOptions
    ) -> Checked:
        """Many starts, checked before any of them is written.

        Raises:
            InvalidValueError: with the place of each wrong value, ``$[3].price``, up to 50 problems.
        """
        check_options(options)
        texts: list[Payload] = []
        problems: list[Problem] = []
        for place, value in enumerate(values):
            try:
                if keys is not None:
                    _refuse(_key_problems(keys[place]))
                texts.append(self._input(served, value))
            except InvalidValueError as error:
                problems += [Problem(f"$[{place}]{found.path[1:]}", found.message) for found in error.problems]
                if len(problems) >= MOST_PROBLEMS:
                    break
        if problems:
            raise InvalidValueError(f"inputs of workflow {served.plan.workflow}", tuple(problems[:MOST_PROBLEMS]))
        return Checked(served=served, texts=texts, keys=keys, options=options, shared=self._shared(served, options))

    async def commands(self, checked: Checked, places: range) -> list[CreateRun]:
        """The commands of some of the starts."""
        keys, options = checked.keys, checked.options
        return [
            await self._command(
                checked.served,
                checked.texts[place],
                options.key if keys is None else keys[place],
                options,
                shared=checked.shared,
            )
            for place in places
        ]

    async def _command(
        self, served: Served, text: Payload, key: str | None, options: StartOptions, *, shared: _Shared
    ) -> CreateRun:
        # of what was asked for: defaults that a later version fills in differently must not make it another request
        content_hash = hashlib.sha256(f"{text}\x1f{shared.given}".encode()).hexdigest()
        run_id: RunId | None = None
        stored, elements = text, None
        mapped = _takes_apart(served)
        if mapped or not self._payloads.is_small(text):
            run_id = self._ids.new_run_id()
        if run_id is not None and not self._payloads.is_small(text):
            stored = await self._payloads.spill(text, run_id, "input")
        if run_id is not None and mapped:
            decoded = self._payloads.codec.decode(text, list[Any], self._subject(served))
            elements = await self._payloads.stored_elements(decoded, run_id, "input", self._subject(served))
        return CreateRun(
            plan=served.plan,
            input=stored,
            elements=elements,
            config=shared.config,
            key=key,
            priority=options.priority,
            tags=shared.tags,
            metadata=shared.metadata,
            start_at=options.start_at,
            timeout=options.timeout,
            run_id=run_id,
            content_hash=content_hash,
        )

    def _shared(self, served: Served, options: StartOptions) -> "_Shared":
        encode = self._payloads.codec.encode
        return _Shared(
            tags=tuple(options.tags),
            config=self._config(served, options.config),
            given=encode(dict(options.config or {}), "config"),
            metadata=None if options.metadata is None else encode(options.metadata, "metadata"),
        )

    def _subject(self, served: Served) -> str:
        return f"input of workflow {served.plan.workflow}"

    def _input(self, served: Served, value: Any) -> Payload:
        codec, subject = self._payloads.codec, self._subject(served)
        text = codec.encode(value, subject)
        kind = served.definition.input_type
        if kind is not Any:
            codec.decode(text, kind, subject)
        if _takes_apart(served):
            self._payloads.elements(codec.decode(text, list[Any], subject), subject)
        return text

    def _config(self, served: Served, given: Mapping[str, Any] | None) -> Payload | None:
        """Each stage's config with its defaults filled in; None if no stage takes any."""
        wanted = served.definition.config_types
        problems: list[Problem] = []
        whole: dict[str, Any] = {}
        for stage in given or {}:
            if stage not in wanted:
                known = ", ".join(sorted(wanted)) or "none"
                problems.append(Problem(f"$.{stage}", f"no stage of that id takes a config; stages that do: {known}"))
        codec = self._payloads.codec
        for stage, kind in wanted.items():
            try:
                part = codec.encode((given or {}).get(stage, {}), "config")
                whole[stage] = codec.decode(part, kind, "config")
            except InvalidValueError as error:
                problems += [
                    Problem(f"$.{stage}{found.path.removeprefix('$')}", found.message) for found in error.problems
                ]
        if problems:
            subject = f"config of workflow {served.plan.workflow}"
            raise InvalidValueError(subject, tuple(problems[:MOST_PROBLEMS]))
        return codec.encode(whole, "config") if whole else None


def _takes_apart(served: Served) -> bool:
    return any(stage.mapped for stage in served.plan.sources)


def check_options(options: StartOptions) -> None:
    """Raises ``InvalidValueError``: an option cannot be followed; all of them told."""
    problems = [*_key_problems(options.key), *_tag_problems(options.tags)]
    priority = options.priority
    if priority is not None and (type(priority) is not int or priority not in PRIORITIES):
        most = f"must be between {PRIORITIES[0]} and {PRIORITIES[-1]}, found {priority!r}"
        problems.append(Problem("$.priority", most))
    problems += _time_problems(options)
    _refuse(problems)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        subject = "options of a start"
        raise InvalidValueError(subject, tuple(problems))


def check_texts(subject: str, **texts: str | None) -> None:
    """Raises ``InvalidValueError``: a text is empty, too long, or holds what a terminal or a store would not take."""
    problems = [
        problem
        for name, text in texts.items()
        if text is not None
        for problem in _text_problems(f"$.{name}", text, MAX_KEY_LENGTH)
    ]
    if problems:
        raise InvalidValueError(subject, tuple(problems))


def _time_problems(options: StartOptions) -> list[Problem]:
    problems: list[Problem] = []
    start_at: Any = options.start_at  # of whatever type, where no checker looked
    timeout: Any = options.timeout
    if start_at is not None and not isinstance(start_at, datetime):
        problems.append(Problem("$.start_at", f"must be an aware datetime, found {start_at!r}"))
    elif isinstance(start_at, datetime) and start_at.tzinfo is None:
        problems.append(Problem("$.start_at", "must have a time zone; found a naive datetime"))
    elif isinstance(start_at, datetime) and start_at.year > LAST_YEAR:
        problems.append(Problem("$.start_at", f"must not lie after the year {LAST_YEAR}, found {start_at}"))
    if timeout is not None and not (isinstance(timeout, timedelta) and timedelta(0) < timeout <= LONGEST):
        problems.append(Problem("$.timeout", f"must be a timedelta, positive, at most 100 years; found {timeout!r}"))
    return problems


def _key_problems(key: str | None) -> list[Problem]:
    if key is None:
        return []
    return _text_problems("$.key", key, MAX_KEY_LENGTH)


def _tag_problems(tags: Sequence[str]) -> list[Problem]:
    found: Any = tags
    if isinstance(found, str) or not isinstance(found, Sequence):
        return [Problem("$.tags", f"must be a list of texts, found {found!r}")]
    if len(tags) > MAX_TAGS:
        return [Problem("$.tags", f"at most {MAX_TAGS} tags, found {len(tags)}")]
    return [
        problem for place, tag in enumerate(tags) for problem in _text_problems(f"$.tags[{place}]", tag, MAX_TAG_LENGTH)
    ]


def _text_problems(path: str, text: object, limit: int) -> list[Problem]:
    if not isinstance(text, str) or not text:
        return [Problem(path, f"must be a non-empty text, found {text!r}")]
    if len(text) > limit:
        return [Problem(path, f"at most {limit} characters, found {len(text)}")]
    if not text.isprintable():
        return [Problem(path, "must not contain control characters or lone surrogates")]
    return []
