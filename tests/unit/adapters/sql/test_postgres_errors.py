"""The server's errors by their states: whose they are, whether asking again helps, and what a caller is told."""

import psycopg
import pytest
from psycopg import errors

from mainspring.adapters.sql.postgres_connections import LostError
from mainspring.adapters.sql.postgres_errors import is_of_a_row, is_repeatable, translate
from mainspring.ports.errors import (
    InvalidValueError,
    PortError,
    ReadOnlyError,
    SchemaError,
    SettingsError,
    StoreFullError,
    UnavailableError,
)

SHOWN = "postgresql://user@host/orders"
CANARY = "c4n4ry"
STATES: set[str] = {
    kind.sqlstate
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, psycopg.Error) and isinstance(kind.sqlstate, str)
}


def of(state: str) -> psycopg.Error:
    return errors.lookup(state)(CANARY)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("22003", InvalidValueError),  # a number out of range
        ("22021", InvalidValueError),  # a text the encoding does not know
        ("22P02", InvalidValueError),  # no uuid
        ("54000", InvalidValueError),  # too large for an index
        ("23502", PortError),
        ("23505", PortError),
        ("25006", ReadOnlyError),
        ("28P01", SettingsError),
        ("28000", SettingsError),
        ("3D000", SettingsError),
        ("3F000", SchemaError),
        ("42501", ReadOnlyError),
        ("42703", SchemaError),
        ("42P01", SchemaError),
        ("42883", SchemaError),
        ("53100", StoreFullError),
        ("53200", UnavailableError),
        ("53300", UnavailableError),
        ("40001", UnavailableError),
        ("40P01", UnavailableError),
        ("55P03", UnavailableError),
        ("57014", UnavailableError),
        ("57P01", UnavailableError),
        ("57P03", UnavailableError),
        ("08006", UnavailableError),
        ("XX001", UnavailableError),
    ],
)
@pytest.mark.fault(52, 54, 57, 58, 68)
def test_each_state_of_the_server_becomes_one_of_the_ports_errors(state: str, kind: type[Exception]) -> None:
    told = translate(of(state), SHOWN)
    assert type(told) is kind
    assert CANARY not in str(told), "the driver's text may quote a row"


def test_a_missing_table_is_told_with_the_command_to_run() -> None:
    assert "mainspring migrate" in str(translate(of("42P01"), SHOWN))


@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("utf-8", f"{CANARY}\udcff", 6, 7, "surrogates not allowed"),
        OverflowError(CANARY),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    ],
    ids=repr,
)
def test_what_the_driver_itself_cannot_send_is_a_value_of_a_row(error: Exception) -> None:
    assert is_of_a_row(error)
    told = translate(error, SHOWN)
    assert type(told) is InvalidValueError
    assert CANARY not in str(told)


def test_an_error_of_the_port_comes_back_as_it_is() -> None:
    error = LostError("told already")
    assert translate(error, SHOWN) is error


@pytest.mark.fault(57)
def test_only_races_that_wrote_nothing_are_asked_again() -> None:
    races = {"40001", "40P01", "55P03"}
    assert {state for state in STATES if is_repeatable(of(state))} == races
    assert not is_repeatable(LostError("nobody knows whether it ran"))
    assert not is_repeatable(UnavailableError("40001"))


def test_only_errors_of_values_and_constraints_part_a_batch() -> None:
    states = {state for state in STATES if is_of_a_row(of(state))}
    assert {state[:2] for state in states} - {"54", "21", "P0"} == {"22", "23"}
    assert not any(is_of_a_row(of(state)) for state in ("57014", "57P01", "53100", "42P01", "25006", "40P01"))
    assert not is_of_a_row(ValueError())
    assert not is_of_a_row(psycopg.OperationalError("the connection is closed"))
