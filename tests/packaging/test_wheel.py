"""What a user installs is what the repository holds."""

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.tree import FOLDERS, ROOT, shipped_files

# Imports every module from the folder given as argument, and fails if one came from anywhere else. Programs and
# migration scripts run when imported: they are only found.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import mainspring
names = [module.name for module in pkgutil.walk_packages(mainspring.__path__, "mainspring.")]
for name in names:
    if not (name.startswith("mainspring.migrations.") or name.endswith(".__main__")):
        module = importlib.import_module(name)
        assert module.__file__ and module.__file__.startswith(sys.argv[1]), (name, module.__file__)
print(*names)
"""


def build(source: Path, target: str, out: Path) -> Path:
    """The wheel or sdist of a source tree, built by the backend itself: nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


def modules(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_the_links_of_the_face_are_relative_and_lead_to_the_folders() -> None:
    for folder in FOLDERS:
        assert (ROOT / "src" / "mainspring" / folder).readlink() == Path("..", "..", folder)


def test_the_wheel_holds_every_shipped_file_once_and_nothing_else(wheel: Path) -> None:
    assert modules(wheel) == sorted(name for name, _ in shipped_files())


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    assert "mainspring/py.typed" in modules(wheel)


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert modules(build(source, "wheel", tmp_path / "wheel")) == modules(wheel)


def test_the_installed_wheel_can_be_imported_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, cwd=tmp_path)
    imported = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", IMPORT_ALL, str(site)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert imported.returncode == 0, imported.stderr
    assert {f"mainspring.{folder}" for folder in FOLDERS} <= set(imported.stdout.split())
