"""Keys in a bucket and in a directory: both stores take the same ones, and none leads out of the prefix."""

from hypothesis import example, given
from hypothesis import strategies as st

from mainspring.adapters.aws.s3_place import s3_place
from mainspring.adapters.filesystem.keys import segments
from mainspring.ports.errors import InvalidValueError
from mainspring.ports.names import BlobKey

ALPHABET = st.sampled_from("aZ09._~%-/") | st.characters()
KEYS = st.text(ALPHABET, max_size=20) | st.text("a/", min_size=150, max_size=1100)


@given(KEYS)
@example("")
@example("..")
@example("a/./b")
@example("a" * 200)
@example("a" * 201)
@example("a\n")
@example("/".join(["a" * 127] * 8))
@example("/".join(["a" * 127] * 8) + "a")
def test_a_key_is_taken_in_a_bucket_where_it_is_in_a_directory(key: str) -> None:
    try:
        segments(BlobKey(key))
    except InvalidValueError:
        taken = False
    else:
        taken = True
    for url in ("s3://bucket", "s3://bucket/a/prefix"):
        place = s3_place(url)
        try:
            name = place.name_of(BlobKey(key))
        except InvalidValueError:
            assert not taken or len(place.prefix + key) > 1024
            continue
        assert taken
        assert name.startswith(place.prefix)
        assert place.key_of(name) == key


@given(KEYS)
def test_what_is_no_key_below_the_prefix_is_nobodys(name: str) -> None:
    place = s3_place("s3://bucket/a/prefix")
    key = place.key_of(name)
    assert key is None or place.name_of(key) == name
