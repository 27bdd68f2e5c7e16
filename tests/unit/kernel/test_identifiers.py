"""Ids, versions, queues, priorities and time-outs: what is taken, and how the rest is refused."""

from datetime import timedelta
from typing import Any

import pytest

from mainspring.kernel import identifiers
from mainspring.ports.errors import DefinitionError


@pytest.mark.parametrize("id", ["a", "9", "document-analysis", "a.b_c-d", "x" * 100])
def test_an_id_has_letters_digits_underscores_dots_and_hyphens(id: str) -> None:
    assert identifiers.stage_id(id) == id
    assert identifiers.workflow_id(id) == id
    assert identifiers.queue_name(id, "workflow 'x'") == id


@pytest.mark.parametrize("id", ["", "-a", "_a", ".a", "a b", "a/b", "a@b", "a#b", "ä", "a\n", "x" * 101, 3, None])
def test_any_other_id_is_refused(id: Any) -> None:
    for read in (identifiers.stage_id, identifiers.workflow_id):
        with pytest.raises(DefinitionError, match="1 to 100 of the characters"):
            read(id)


@pytest.mark.parametrize("id", ["input", "~undo", "__fork"])
def test_reserved_stage_ids_are_refused_as_reserved(id: str) -> None:
    with pytest.raises(DefinitionError, match="reserved"):
        identifiers.stage_id(id)


def test_a_workflow_may_be_called_input() -> None:
    assert identifiers.workflow_id("input") == "input"


@pytest.mark.parametrize("version", ["1", "2024.05", "1.0.0-rc.1+build_7", "v3"])
def test_a_version_may_also_have_a_plus(version: str) -> None:
    assert identifiers.version_text(version, "workflow 'x'") == version


@pytest.mark.parametrize("version", ["", "+1", "1@2", "1#2", "1/2", "v" * 101, 1, None])
def test_any_other_version_is_refused_naming_the_workflow(version: Any) -> None:
    with pytest.raises(DefinitionError, match="workflow 'x': version"):
        identifiers.version_text(version, "workflow 'x'")


@pytest.mark.parametrize("priority", [0, 8, -32_768, 32_767])
def test_a_priority_is_a_small_integer(priority: int) -> None:
    assert identifiers.checked_priority(priority, "workflow 'x'") == priority


@pytest.mark.parametrize("priority", [32_768, -32_769, 1.0, True, "high"])
def test_any_other_priority_is_refused(priority: Any) -> None:
    with pytest.raises(DefinitionError, match="priority"):
        identifiers.checked_priority(priority, "workflow 'x'")


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), 30])
def test_a_timeout_is_positive(timeout: Any) -> None:
    with pytest.raises(DefinitionError, match="positive timedelta"):
        identifiers.checked_timeout(timeout, "stage 'x'")
