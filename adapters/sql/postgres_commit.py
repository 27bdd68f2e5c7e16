"""The one statement that writes a batch of Changes into PostgreSQL, put together from the parts that the batch needs.

How it works. ``ok`` are the Changes all of whose guards were found; only their rows pass into the writes. The answer is
the numbers of the others: normally no row at all. The parts themselves stand in :mod:`postgres_parts`.

Two forms say the same. A batch travels as one array per column: its text does not depend on how many rows there are. A
Change that is alone, as it is wherever somebody waits for one run, travels value by value: a third of the time, because
nothing is taken apart and no list is joined.
"""

# ruff: noqa: S608  texts are put together from constants of this package, never from input

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from mainspring.adapters.sql.postgres_arrays import ids, numbers, one_id, texts
from mainspring.adapters.sql.postgres_parts import AFTER, PARTS, WITHOUT, Part
from mainspring.adapters.sql.rows import Row

Rows: TypeAlias = Mapping[str, Sequence[Row]]
Parameters: TypeAlias = list[str | None]

#: How a column of a batch travels.
_ARRAYS: dict[str, Callable[[Sequence[Any]], str]] = {
    "int": numbers,
    "bigint": numbers,
    "bool": numbers,
    "uuid": ids,
    "text": texts,
}
#: How a value that is not null travels; all as texts of no type, so that one statement serves them all. (What else is
#: a text, a member of an enumeration say, travels as the text it is.)
_VALUES: dict[str, Callable[[Any], str]] = {
    "int": int.__repr__,
    "bigint": int.__repr__,
    "bool": str,
    "uuid": one_id,
    "text": str.__str__,
}

MOST_APART = 4
"""A Change with more rows in one part travels as a batch: each count of rows is a text, and a plan, of its own."""

_TOLD = frozenset({"runs_new", "runs_set"})
_EVENTS_WRITTEN = "select exists (select 1 from sinks) as written"
_ENTRIES = Part("c int, need int", "")


def statement(batch: Rows) -> tuple[bytes, Parameters]:
    """The text and the parameters that write a batch: its rows by part; ``entries`` says how many guards each needs."""
    parts = tuple(name for name in PARTS if batch.get(name))
    if len(batch["entries"]) == 1 and all(len(batch[name]) <= MOST_APART for name in parts):
        return _alone(parts, batch)
    parameters: Parameters = []
    for name in ("entries", *parts):
        part = _ENTRIES if name == "entries" else PARTS[name]
        for kind, column in zip(part.types, zip(*batch[name], strict=True), strict=True):
            parameters.append(_ARRAYS[kind](column))
    return _batch_text(parts), parameters


def _alone(parts: tuple[str, ...], batch: Rows) -> tuple[bytes, Parameters]:
    parameters: Parameters = [str(batch["entries"][0][1])]
    for name in parts:
        converted = _conversions(name)
        for row in batch[name]:
            for value, convert in zip(row, converted, strict=True):
                if convert is not None:
                    parameters.append(None if value is None else convert(value))
    return _lone_text(tuple((name, len(batch[name])) for name in parts)), parameters


@lru_cache(maxsize=len(PARTS))
def _conversions(name: str) -> tuple[Callable[[Any], str] | None, ...]:
    """Per column; None for the number of the Change, which is not sent."""
    part = PARTS[name]
    return tuple(None if column == "c" else _VALUES[kind] for column, kind in zip(part.names, part.types, strict=True))


@lru_cache(maxsize=512)
def _batch_text(parts: tuple[str, ...]) -> bytes:
    number = 0

    def rows(part: Part) -> str:
        nonlocal number
        columns: list[str] = []
        for kind in part.types:
            number += 1
            columns.append(f"unnest(${number}::{kind}[])")
        return f"rows from ({', '.join(columns)}) as u({', '.join(part.names)})"

    entries = rows(_ENTRIES)
    given = {name: rows(PARTS[name]) for name in parts}
    guards, others = _conditions(parts)
    found = f" left join (select c, count(*) as n from ({guards}) g group by c) f using (c)" if guards else ""
    ok = f"select u.c from {entries}{found} where {'u.need = coalesce(f.n, 0)' if guards else 'true'}{others}"
    return _assembled(
        given, ok, "u.c in (select c from ok)", f"select u.c from {entries} where u.c not in (select c from ok)"
    )


@lru_cache(maxsize=512)
def _lone_text(counts: tuple[tuple[str, int], ...]) -> bytes:
    number = 1

    def row(part: Part) -> str:
        nonlocal number
        values: list[str] = []
        for name, kind in zip(part.names, part.types, strict=True):
            number += name != "c"
            values.append("0" if name == "c" else f"${number}::{kind}")
        return ", ".join(values)

    def rows(part: Part, count: int) -> str:
        return f"(values {', '.join(f'({row(part)})' for _ in range(count))}) as u({', '.join(part.names)})"

    given = {name: rows(PARTS[name], count) for name, count in counts}
    guards, others = _conditions(tuple(given))
    found = f"(select count(*) from ({guards}) g)" if guards else "0"
    ok = f"select 0 as c from (values ({found})) as u(n) where u.n = $1::int{others.replace('u.c', '0')}"
    return _assembled(given, ok, "exists (select 1 from ok)", "select 0 as c where not exists (select 1 from ok)")


def _conditions(parts: Sequence[str]) -> tuple[str, str]:
    """The guards that are found, and what else a Change must fulfil."""
    guards = " union all ".join(
        f"select c from {name}{' where must' * (name == 'rg')}" for name in parts if PARTS[name].guards
    )
    others = "".join(f" and (select n from {name}) >= 0" for name in parts if PARTS[name].first)
    return guards, others + "".join(f" and u.c not in (select c from {name})" for name in parts if PARTS[name].bars)


def _assembled(given: Mapping[str, str], ok: str, is_ok: str, answer: str) -> bytes:
    """The statement of these parts: their rows, what is ``ok``, how a row asks for it, and what is answered."""
    pieces: list[str] = []
    writes: list[str] = []
    for name, rows in given.items():
        part = PARTS[name]
        text = part.text.replace("{rows}", rows).replace("{ok}", is_ok)
        for absent, instead in WITHOUT.items():
            if absent not in given:
                for looked_at, other in instead.items():
                    text = text.replace(looked_at, other)
        if part.checks:
            pieces.append(f"{name} as materialized ({text})")
            continue
        writes.append(f"{name} as ({text})")
        if name in AFTER:
            writes.append(f"{name}_after as ({AFTER[name]})")
    if _TOLD.intersection(given):
        pieces.append(f"ev as materialized ({_EVENTS_WRITTEN})")
    pieces.append(f"ok as materialized ({ok})")
    return f"with {', '.join(pieces + writes)} {answer}".encode()
