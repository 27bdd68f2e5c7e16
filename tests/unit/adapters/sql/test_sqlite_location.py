from pathlib import Path

import pytest

from mainspring.adapters.sql.sqlite_location import Location, check_place, file_system, host_id, locate
from mainspring.ports.errors import SettingsError


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("sqlite:///relative.db", Path("relative.db")),
        ("sqlite:///some/relative.db", Path("some/relative.db")),
        ("sqlite:////absolute/file.db", Path("/absolute/file.db")),
        ("plain.db", Path("plain.db")),
        ("/plain/file.db", Path("/plain/file.db")),
        (Path("a/path.db"), Path("a/path.db")),
    ],
)
def test_a_url_or_path_names_a_file(place: str | Path, path: Path) -> None:
    assert locate(place) == Location(path=path)


def test_a_url_may_take_over_a_file_of_another_host() -> None:
    assert locate("sqlite:///a.db?allow_other_host=true") == Location(path=Path("a.db"), allow_other_host=True)
    assert locate("sqlite:///a.db?allow_other_host=false") == Location(path=Path("a.db"))


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ("sqlite://", "memory://"),
        ("sqlite:///", "memory://"),
        ("sqlite:///:memory:", "memory://"),
        (":memory:", "memory://"),
        ("sqlite:///file:a.db", "expected sqlite:///relative.db"),
        ("sqlite://host/a.db", "four for an absolute one"),
        ("postgresql://u:canary@h/d", "not a SQLite URL"),
        ("sqlite:///a.db?mode=ro", "knows no option 'mode'"),
        ("sqlite:///a\0b.db", "NUL"),
    ],
)
def test_what_names_no_file_is_refused_with_advice_and_without_secrets(place: str, advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        locate(place)
    assert advice in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere; create it first"):
        check_place(tmp_path / "nowhere" / "a.db")


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a directory"):
        check_place(tmp_path)


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /srv/shared\\040files nfs4 rw 0 0
//host/share /srv/shared\\040files/deep cifs rw 0 0
tmpfs /srv/shared\\040files/local tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "system"),
    [
        ("/home/me", "ext4"),
        ("/srv/shared files", "nfs4"),
        ("/srv/shared files/x/y", "nfs4"),
        ("/srv/shared files/deep/x", "cifs"),
        ("/srv/shared files/local", "tmpfs"),
        ("/srv/shared filesystem", "ext4"),
    ],
)
def test_the_longest_mount_point_tells_the_file_system(tmp_path: Path, folder: str, system: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system(Path(folder), mounts) == system


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "no-such-file") is None


@pytest.mark.fault(71)
@pytest.mark.parametrize("system", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path} {system} rw 0 0\n")
    monkeypatch.setattr("mainspring.adapters.sql.sqlite_location._MOUNTS", mounts)
    with pytest.raises(SettingsError, match="network file system"):
        check_place(tmp_path / "a.db")


def test_a_host_is_named_by_a_hash_that_stays() -> None:
    assert host_id() == host_id()
    assert len(host_id()) == 16
    machine = Path("/etc/machine-id")
    if machine.exists():
        assert machine.read_text().strip() not in host_id()
