"""The SAM template is translated as AWS does it, and what comes of it is what CloudFormation takes."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

REGION = "eu-central-1"
EXAMPLE = Path(__file__).parents[2] / "examples" / "lambda"

TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class Managed(dict):
    def load(self):
        return {name: f"arn:aws:iam::aws:policy/service-role/{name}" for name in sys.argv[2:]}

template = yaml_parse(open(sys.argv[1]).read())
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"  # as `sam package` leaves it
print(json.dumps(transform(template, {}, Managed())))
"""
MANAGED = ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSLambdaSQSQueueExecutionRole")


def translated(template: Path) -> dict[str, Any]:
    """The template as CloudFormation sees it."""
    command = [sys.executable, "-W", "ignore", "-c", TRANSLATE, str(template), *MANAGED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"AWS_DEFAULT_REGION": REGION})
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complaints(template: Path) -> str:
    """What cfn-lint says of it."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", REGION, "--", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout.strip()), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def resources() -> Mapping[str, Any]:
    found: Mapping[str, Any] = translated(EXAMPLE / "template.yaml")["Resources"]
    return found


def test_the_template_and_what_is_made_of_it_have_no_mistakes(tmp_path: Path) -> None:
    assert complaints(EXAMPLE / "template.yaml") == ""
    made = tmp_path / "made.json"
    made.write_text(json.dumps(translated(EXAMPLE / "template.yaml")))
    assert complaints(made) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("FunctionResponseTypes", "FunctionResponseTipes"),
        ("maxReceiveCount", "maxReceiveCounts"),
    ],
)
def test_a_mistake_would_be_told(tmp_path: Path, right: str, wrong: str) -> None:
    text = (EXAMPLE / "template.yaml").read_text()
    assert right in text
    bad, made = tmp_path / "bad.yaml", tmp_path / "made.json"
    bad.write_text(text.replace(right, wrong))

    def look() -> str:
        made.write_text(json.dumps(translated(bad)))
        return complaints(made)

    assert _told(look)


def _told(look: Callable[[], str]) -> str:
    try:
        return look()
    except AssertionError as error:  # the translation itself refused it
        return str(error)


def test_messages_that_fail_come_back_one_by_one_and_end_among_the_dead(resources: Mapping[str, Any]) -> None:
    mapping = resources["WorkJobs"]["Properties"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    redrive = resources["Jobs"]["Properties"]["RedrivePolicy"]
    assert redrive["maxReceiveCount"] >= 5
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadJobs", "Arn"]}


def test_a_message_stays_hidden_for_six_times_the_function_s_time(resources: Mapping[str, Any]) -> None:
    hidden = resources["Jobs"]["Properties"]["VisibilityTimeout"]
    assert hidden >= 6 * resources["Work"]["Properties"]["Timeout"]


def test_a_function_may_send_to_the_queue_that_calls_it(resources: Mapping[str, Any]) -> None:
    """Lambda would otherwise end a run that went through the queue some sixteen times."""
    assert resources["Work"]["Properties"]["RecursiveLoop"] == "Allow"


def test_upkeep_is_called_every_minute(resources: Mapping[str, Any]) -> None:
    assert resources["TickEveryMinute"]["Properties"]["ScheduleExpression"] == "rate(1 minute)"


def test_roles_may_do_what_is_needed_to_what_is_ours_and_nothing_else(resources: Mapping[str, Any]) -> None:
    for name in ("WorkRole", "TickRole", "DirectRole"):
        (policy,) = resources[name]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            said = json.dumps(statement["Resource"])
            assert "*" not in json.dumps(statement["Action"])
            assert said == json.dumps({"Fn::GetAtt": ["Jobs", "Arn"]}) or "${BlobBucket}" in said


def test_the_handlers_named_are_those_of_the_module(
    resources: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import runpy

    names = runpy.run_path(str(EXAMPLE / "app.py"))
    for name in ("Work", "Tick", "Direct"):
        module, _, handler = resources[name]["Properties"]["Handler"].partition(".")
        assert module == "app"
        assert callable(names[handler])
