import sqlite3
from pathlib import Path

import pytest

from mainspring.adapters.memory import ManualClock, SeededIds
from mainspring.adapters.sql import schema
from mainspring.adapters.sql.sqlite import open_sqlite
from mainspring.adapters.sql.sqlite_location import Location
from mainspring.adapters.sql.sqlite_open import connect
from mainspring.ports.errors import SchemaError, SettingsError, UnavailableError


def at(path: Path, *, allow_other_host: bool = False, migrate: bool = True, lock_timeout: float = 30) -> None:
    location = Location(path=path, allow_other_host=allow_other_host)
    connect(location, migrate=migrate, lock_timeout=lock_timeout).close()


def changed(path: Path, statement: str, *values: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_a_new_file_is_made_whole(tmp_path: Path) -> None:
    at(tmp_path / "new.db")
    at(tmp_path / "new.db", migrate=False)


def test_a_path_of_any_characters_is_that_very_file(tmp_path: Path) -> None:
    for name in ("a b.db", "100%.db", "what?.db", "ünïcode#1.db"):
        at(tmp_path / name)
        assert (tmp_path / name).exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    text = "Dear reader, this is no database. " * 100
    file.write_text(text)
    with pytest.raises(SettingsError, match="not a SQLite database"):
        at(file)
    assert file.read_text() == text


def test_a_missing_schema_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with pytest.raises(SchemaError, match=f"mainspring migrate --database sqlite:///{file}"):
        at(file, migrate=False)


def test_an_older_schema_is_refused_with_the_command_to_run(path: Path) -> None:
    changed(path, f"update {schema.VERSION_TABLE} set version_num = '0000'")
    with pytest.raises(SchemaError, match=f"is 0000, older than 0001.*mainspring migrate --database sqlite:///{path}"):
        at(path, migrate=False)


def test_a_newer_schema_is_refused_and_nothing_is_changed(path: Path) -> None:
    changed(path, f"update {schema.VERSION_TABLE} set version_num = '9999'")
    for migrate in (True, False):
        with pytest.raises(SchemaError, match="is 9999, newer than 0001 which this code knows; update Mainspring"):
            at(path, migrate=migrate)


@pytest.mark.fault(71)
def test_a_file_of_another_host_is_refused_unless_it_is_taken_over(path: Path) -> None:
    at(path)
    changed(path, "update settings set value = 'elsewhere' where name = 'host'")
    with pytest.raises(SettingsError, match=r"another host \(elsewhere, .*allow_other_host=true"):
        at(path)
    at(path, allow_other_host=True)
    at(path)  # it is this host's now


def test_the_url_takes_a_file_over_too(path: Path) -> None:
    at(path)
    changed(path, "update settings set value = 'elsewhere' where name = 'host'")
    clock = ManualClock()
    open_sqlite(f"sqlite:///{path}?allow_other_host=true", clock=clock, ids=SeededIds(clock, 1))
    at(path)


@pytest.mark.fault(69)
def test_a_file_that_stays_locked_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "locked.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(UnavailableError, match=r"locked\.db is locked"):
        at(file, lock_timeout=0.02)
    holder.close()


def test_a_damaged_file_says_so(path: Path) -> None:
    at(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match="damaged"):
        at(path)
