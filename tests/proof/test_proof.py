"""The proof is honest: generated from what stands on the tests, complete for today, silent about nothing."""

from pathlib import Path

import pytest

from tests.proof.document import DOCUMENT, current, marks, render
from tests.proof.entries import Entry
from tests.proof.faults import FAULTS, UNPROVED
from tests.proof.figures import FIGURES, Figures, record, recorded
from tests.proof.promises import PROMISES
from tests.proof.scan import Found, Scan, scan

FOUND = marks()
ENTRIES = [*PROMISES.values(), *FAULTS.values()]
CAMPAIGN: Figures = {
    "date": "2026-01-31",
    "processor": "2 shared cores",
    "seeds": 20_000,
    "schedules": 60_000,
    "virtual_seconds": 86_400 * 90,
    "machine_seconds": 5_400,
    "crashes": 100_001,
    "freezes": 4_862,
    "invariants": 4_200_000,
    "violations": 0,
    "sometimes": {"zombie refused": 433, "commit of unknown outcome": 1_178},
    "mutants": {"no_fence": {"seeds": 37, "faults": 2}, "check_then_act": {"seeds": 3, "faults": 1}},
}


def test_the_document_is_the_generated_one() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == current(), "run `make proof`"


def test_every_promise_of_today_has_a_test() -> None:
    assert [number for number, entry in PROMISES.items() if not entry.later and not FOUND.promises.get(number)] == []


def test_every_fault_in_scope_has_a_test() -> None:
    bare = {number for number, entry in FAULTS.items() if not entry.later and not FOUND.faults.get(number)}
    assert bare <= UNPROVED, "mark the tests that cover them, or write those tests"


def test_no_fault_that_has_a_test_or_comes_later_is_called_unproved() -> None:
    assert {number for number in UNPROVED if FOUND.faults.get(number) or FAULTS[number].later} == set()


def test_no_mark_names_an_unknown_number() -> None:
    assert set(FOUND.promises) - set(PROMISES) == set()
    assert set(FOUND.faults) - set(FAULTS) == set()


def test_no_mark_stands_where_it_proves_nothing() -> None:
    assert FOUND.strays == (), "put the mark on the test, or into a parameter of it"


def test_the_numbers_are_those_of_the_fault_table() -> None:
    assert list(PROMISES) == list(range(1, 14))
    assert list(FAULTS) == [*range(1, 109), *(f"S{number}" for number in range(1, 23))]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_an_entry_says_what_happens_and_is_either_later_or_lacking(entry: Entry) -> None:
    assert entry.title
    assert entry.text
    assert not (entry.later and entry.lacking)
    assert all(not text or len(text) >= 5 for text in (entry.later, entry.lacking)), "name what brings it"
    assert "|" not in entry.title + entry.text + entry.later + entry.lacking, "it would break the table"


def scanned(folder: Path, source: str, name: str = "test_it.py") -> Scan:
    (folder / "tests" / "unit").mkdir(parents=True, exist_ok=True)
    file = folder / "tests" / "unit" / name
    file.write_text(source)
    return scan([file], folder)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("@pytest.mark.fault(7)\ndef test_a(): ...", ["test_a"]),
        ("@pytest.mark.fault(3)\n@pytest.mark.fault(7, 8)\nasync def test_a(): ...", ["test_a"]),
        ("@pytest.mark.fault(7)\nclass TestA:\n  def test_b(self): ...", ["TestA"]),
        ("class TestA:\n  pytestmark = pytest.mark.fault(7)\n  def test_b(self): ...", ["TestA"]),
        ("class TestA:\n  @pytest.mark.fault(7)\n  def test_b(self): ...", ["TestA::test_b"]),
        ("class TestA:\n  seven = pytest.mark.fault(7)\n  @seven\n  def test_b(self): ...", ["TestA::test_b"]),
        ("pytestmark = [pytest.mark.slow, pytest.mark.fault(7)]\ndef test_a(): ...", ["test_a"]),
        ("@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.fault(7))])\ndef test_a(): ...", ["test_a"]),
        (
            "X = [pytest.param(marks=[pytest.mark.fault(7)])]\n@pytest.mark.parametrize('x', X)\ndef test_a(): ...",
            ["test_a"],
        ),
        ("seven = pytest.mark.fault(7)\n@seven\ndef test_a(): ...\n@seven\ndef test_b(): ...", ["test_a", "test_b"]),
    ],
)
def test_a_mark_is_found_wherever_pytest_would_see_it(source: str, names: list[str], tmp_path: Path) -> None:
    found = scanned(tmp_path, source)
    assert found.faults[7] == tuple(Found("tests/unit/test_it.py", name) for name in names)
    assert (found.promises, found.strays) == ({}, ())


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.fault(7)\ndef helper(): ...",
        "@pytest.mark.promise(7)\nclass Suite: ...",
        "ROWS = [pytest.param(1, marks=pytest.mark.fault(7))]\ndef test_a(): ...",
        "def test_a(request):\n  request.applymarker(pytest.mark.fault(7))",
    ],
)
def test_a_mark_elsewhere_is_a_stray(source: str, tmp_path: Path) -> None:
    found = scanned(tmp_path, source)
    assert (found.faults, found.promises, len(found.strays)) == ({}, {}, 1)


def test_a_mark_in_a_file_that_holds_no_tests_is_a_stray(tmp_path: Path) -> None:
    found = scanned(tmp_path, "@pytest.mark.fault(7)\ndef test_a(): ...", "parts.py")
    assert (found.faults, found.strays) == ({}, ("tests/unit/parts.py:1",))


def test_a_number_that_is_not_written_out_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tests/unit/test_it\.py:2: .*found SEVEN"):
        scanned(tmp_path, "SEVEN = 7\n@pytest.mark.fault(SEVEN)\ndef test_a(): ...")


def test_the_order_of_the_files_does_not_matter_and_the_widest_proof_comes_first(tmp_path: Path) -> None:
    files: list[Path] = []
    for folder in ("unit", "simulation", "contract", "unit"):
        place = tmp_path / "tests" / folder
        place.mkdir(parents=True, exist_ok=True)
        files.append(place / f"test_{len(files)}.py")
        files[-1].write_text("@pytest.mark.fault(7)\ndef test_b(): ...\n@pytest.mark.fault(7)\ndef test_a(): ...")
    forwards, backwards = scan(files, tmp_path), scan(reversed(files), tmp_path)
    assert forwards == backwards
    assert [(test.file.split("/")[1], test.name) for test in forwards.faults[7]] == [
        (folder, name) for folder in ("simulation", "contract", "unit", "unit") for name in ("test_a", "test_b")
    ]


def test_every_link_leads_to_a_file() -> None:
    text = current()
    targets = {part.partition(")")[0] for part in text.split("](")[1:]}
    assert targets
    assert [target for target in sorted(targets) if not (DOCUMENT.parent / target).is_file()] == []


def test_a_fault_shows_three_links_and_how_many_more() -> None:
    tests = tuple(Found("tests/unit/test_it.py", f"test_number_{number}") for number in range(5))
    text = render(Scan(faults={1: tests}, promises={}, strays=()), None)
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert row.count("](../tests/unit/test_it.py)") == 3
    assert row.endswith("· and 2 more |")
    assert "| 5 |" in row


def test_without_a_campaign_the_document_says_so() -> None:
    assert "No campaign recorded yet." in render(FOUND, None)


def test_the_figures_of_a_campaign_are_kept_and_shown(tmp_path: Path) -> None:
    file = tmp_path / FIGURES.name
    assert recorded(file) is None
    record(CAMPAIGN, file)
    assert recorded(file) == CAMPAIGN
    text = render(FOUND, recorded(file))
    assert "| virtual time | 90.0 days |" in text
    assert "| machine time | 1.50 hours of 2 shared cores |" in text
    assert "| `check_then_act` | 3 | 1 |\n| `no_fence` | 37 | 2 |" in text
    assert "| commit of unknown outcome | 1,178 |\n| zombie refused | 433 |" in text


def test_a_figure_that_is_missing_or_unknown_is_refused(tmp_path: Path) -> None:
    wrong = {**CAMPAIGN, "luck": 1}
    del wrong["crashes"]
    with pytest.raises(ValueError, match="crashes, luck"):
        record(wrong, tmp_path / FIGURES.name)
    assert recorded(tmp_path / FIGURES.name) is None
