"""The chapter on simulation is true: its shop breaks as it says, its fix mends it, its other examples run."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mainspring.pytest_plugin import Simulated
from mainspring.testing import SimulationFailedError
from tests.acceptance.test_readme import ROOT, examples, module_of

CHAPTER = "docs/simulation.md"


def block(name: str) -> str:
    """A block of text that is no program."""
    text = (ROOT / CHAPTER).read_text()
    found = re.search(rf"<!-- {name} -->\n```text\n(.*?)```\n", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def tests_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The chapter's tests of a shop with this source."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(shop: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, "shop", raising=False)
        (tmp_path / "shop.py").write_text(shop)
        importlib.invalidate_caches()
        return module_of(examples(CHAPTER)["shop test"], "shop_test", tmp_path)

    return write


def test_every_python_block_is_a_named_example() -> None:
    assert (ROOT / CHAPTER).read_text().count("```python") == len(examples(CHAPTER))


@pytest.mark.parametrize(
    "test", ["test_an_order_is_charged_once", "test_an_order_is_charged_once_wherever_a_worker_dies"]
)
def test_the_shop_breaks_as_the_chapter_says_and_its_fix_mends_it(
    test: str, tests_of: Callable[[str], ModuleType]
) -> None:
    shop = examples(CHAPTER)["shop"]
    with pytest.raises(SimulationFailedError) as found:
        getattr(tests_of(shop), test)()
    told, at = str(found.value), 0
    for line in filter(None, block("failure").splitlines()):
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        match = re.compile(pattern).search(told, at)
        assert match is not None, f"{line!r} is not told, or not in this order:\n{told}"
        at = match.end()
    fixed = shop.replace("    await bank.charge(order.card, order.cents)\n", block("fix"))
    assert fixed != shop
    getattr(tests_of(fixed), test)()


def test_the_reminder_comes_after_a_month(tmp_path: Path, simulated: Simulated) -> None:
    module_of(examples(CHAPTER)["reminder test"], "reminder_test", tmp_path).test_a_reminder_comes_after_a_month(
        simulated
    )


async def test_the_adapter_s_suite_runs(tmp_path: Path) -> None:
    suite = module_of(examples(CHAPTER)["adapter test"], "adapter_test", tmp_path).TestMyPersistence()
    cases = [name for name in dir(suite) if name.startswith("test_")]
    assert len(cases) > 50
    for case in cases[:5]:
        await getattr(suite, case)()
        await suite.finish()
