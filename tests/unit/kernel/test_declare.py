"""``@stage`` and ``@workflow``: what they make of functions and options."""

from datetime import timedelta
from typing import Any

import pytest

from mainspring.kernel.context import Context
from mainspring.kernel.declare import stage, workflow
from mainspring.kernel.retry import Retry
from mainspring.ports.errors import DefinitionError
from tests.unit.kernel.bodies import Document, Limits, Text, announce, count, extract

MINUTE = timedelta(minutes=1)


def test_a_stage_is_called_as_its_function_and_knows_its_types() -> None:
    assert (extract.id, extract.input_type, extract.output_type, extract.is_async) == ("extract", Document, Text, True)
    assert (count.config_type, count.is_async) == (Limits, False)


def test_a_stage_keeps_its_function() -> None:
    assert count.body(None, Text("four")) == 4


def test_a_stage_without_input_says_so() -> None:
    assert not announce.takes_input


def test_a_stage_takes_an_id_a_retry_policy_and_a_timeout() -> None:
    @stage(id="take-note", retry=Retry(max_attempts=5), timeout=MINUTE)
    def note(ctx: Context, text: Text) -> None:
        pass

    assert (note.id, note.retry.max_attempts, note.timeout) == ("take-note", 5, MINUTE)


def test_a_stage_may_be_named_again_and_the_first_stays() -> None:
    again = count.named("count-again")
    assert (again.id, again.body, count.id) == ("count-again", count.body, "count")


def test_options_that_are_left_out_stay() -> None:
    patient = count.with_options(retry=Retry(max_attempts=9), timeout=MINUTE)
    assert patient.with_options(retry=Retry(max_attempts=1)).timeout == MINUTE
    assert patient.with_options(timeout=None).timeout is None
    assert patient.with_options(timeout=None).retry.max_attempts == 9


def test_a_workflow_of_one_stage_is_called_as_its_function() -> None:
    @workflow
    async def checkout(ctx: Context, document: Document) -> Text:
        return Text(document.path)

    assert (checkout.workflow_id, checkout.version, list(checkout.stages)) == ("checkout", "1", ["checkout"])
    assert (checkout.input_type, checkout.output_type) == (Document, Text)


def test_a_workflow_of_one_stage_takes_every_option() -> None:
    retry = Retry(max_attempts=1)

    @workflow(version="2", id="shop", queue="fast", priority=8, retry=retry, timeout=2 * MINUTE, attempt_timeout=MINUTE)
    def checkout(ctx: Context) -> None:
        pass

    plan = checkout.plan
    assert (plan.workflow, plan.version, plan.queue, plan.priority, plan.timeout) == (
        "shop", "2", "fast", 8, 2 * MINUTE,
    )  # fmt: skip
    (only,) = plan.stages.values()
    assert (only.id, only.retry, only.timeout) == ("checkout", retry, MINUTE)
    assert checkout.input_type is type(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "a b"}, "stage id 'a b' must have 1 to 100"),
        ({"id": "input"}, "stage id 'input' is reserved"),
        ({"retry": 3}, r"stage 'count': retry must be a Retry\(…\), not 3"),
        ({"timeout": 3}, "stage 'count': timeout 3 must be a positive timedelta"),
    ],
)
def test_a_wrong_option_of_a_stage_is_refused_naming_it(options: dict[str, Any], message: str) -> None:
    make: Any = stage
    with pytest.raises(DefinitionError, match=message):
        make(**options)(count.body)


def test_a_lambda_needs_an_id() -> None:
    with pytest.raises(DefinitionError, match=r"'<lambda>' .*give one with id=…"):
        stage(lambda _ctx: None)
    assert stage(id="nothing")(lambda _ctx: None).id == "nothing"
