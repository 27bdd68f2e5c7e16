"""URLs of PostgreSQL stores: what of them is ours, what libpq sees, and what may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from mainspring.adapters.sql.postgres_location import locate
from mainspring.ports.errors import SettingsError

CANARY = "c4n4ry"


def test_our_parameters_are_taken_out_and_all_others_are_libpqs() -> None:
    place = locate("postgresql://u@h:5433/d?schema=orders&sslmode=require&pgbouncer=transaction&application_name=a%20b")
    assert (place.schema, place.pgbouncer) == ("orders", True)
    assert conninfo_to_dict(place.conninfo) == {
        "user": "u",
        "host": "h",
        "port": "5433",
        "dbname": "d",
        "sslmode": "require",
        "application_name": "a b",
    }


def test_what_is_not_said_is_plain() -> None:
    place = locate("postgres:///orders")
    assert (place.schema, place.pgbouncer) == ("mainspring", False)
    assert conninfo_to_dict(place.conninfo) == {"dbname": "orders"}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}@h/d",
        f"postgresql://u:{CANARY}@h1:1,h2:2/d",
        f"postgresql://h/d?user=u&password={CANARY}",
        f"postgresql://h/d?sslpassword={CANARY}&passfile=/{CANARY}",
        f"postgresql://u:{CANARY}%40x@h/d?schema=s",
        f"postgresql://u:a@{CANARY}@h/d",
    ],
)
@pytest.mark.fault("S6")
def test_a_password_is_shown_nowhere_and_libpq_gets_it(url: str) -> None:
    try:
        place = locate(url)
    except SettingsError as error:
        assert CANARY not in f"{error} {error.__cause__} {error.__context__}"  # noqa: PT017  some are refused
        return
    assert CANARY not in place.shown + repr(place) + str(place)
    assert CANARY in place.conninfo


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h/d", "begins with postgresql://"),
        ("postgresql://h:port/d", "expected postgresql://"),
        ("postgresql://h:99999/d", "expected postgresql://"),
        ("postgresql://h/d?schema=Orders", "Orders"),
        ("postgresql://h/d?schema=a.b", "lower case"),
        ('postgresql://h/d?schema=a"b', "lower case"),
        ("postgresql://h/d?schema=" + "x" * 64, "at most 63"),
        ("postgresql://h/d?schema=", "lower case"),
        ("postgresql://h/d?schema=a%0A", "lower case"),
        ("postgresql://h/d?pgbouncer=session", "transaction"),
        ("postgresql://h/d?schema", "expected postgresql://"),
        ("postgresql://[h/d", "expected postgresql://"),
    ],
)
def test_a_wrong_url_is_told_what_it_may_be(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        locate(url)


@given(st.text(st.sampled_from("abc\"';-. \n$%\\/XYZ0123_"), max_size=70))
def test_no_schema_needs_quotes(name: str) -> None:
    from urllib.parse import quote

    try:
        place = locate(f"postgresql://h/d?schema={quote(name, safe='')}")
    except SettingsError:
        return
    assert place.schema == name
    assert set(name) <= set("abcxyz0123456789_")
