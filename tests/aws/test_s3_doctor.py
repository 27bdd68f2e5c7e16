"""Examining a bucket: each thing that can be wrong with it is told, with what to do."""

from typing import Any

import pytest

from mainspring.adapters.aws.s3_doctor import examine_bucket
from mainspring.ports.diagnosis import Check, Verdict
from mainspring.ports.errors import SettingsError
from tests.aws.buckets import bucket
from tests.aws.faulty import Faulty, Mishap, cut_before, fails
from tests.aws.servers import AwsServer

OK, WARNING, FAILURE = Verdict.OK, Verdict.WARNING, Verdict.FAILURE

EXPIRING = {"ID": "spring cleaning", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
LATER = {"NoncurrentDays": 1}


class Bench:
    def __init__(self, server: AwsServer) -> None:
        self.server = server
        self.client = server.client("s3")
        self.bucket = bucket(server)

    def rules(self, *rules: dict[str, Any]) -> None:
        self.client.put_bucket_lifecycle_configuration(
            Bucket=self.bucket, LifecycleConfiguration={"Rules": [{"ID": "a rule", **rule} for rule in rules]}
        )

    def version(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def examine(self, **mishaps: list[Mishap]) -> list[Check]:
        url = self.server.url("s3", f"{self.bucket}/below")
        return examine_bucket(url, client=Faulty(self.client, mishaps) if mishaps else None)

    def unsound(self, **mishaps: list[Mishap]) -> list[Check]:
        return [check for check in self.examine(**mishaps) if check.verdict is not OK]


@pytest.fixture(params=["moto", "ministack"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.getfixturevalue(request.param))


def test_a_sound_bucket_is_found_sound_and_left_as_it_was(bench: Bench) -> None:
    assert [check.verdict for check in bench.examine()] == [OK] * 4
    assert "Contents" not in bench.client.list_objects_v2(Bucket=bench.bucket)


def test_a_bucket_that_is_not_there_is_a_failure(bench: Bench) -> None:
    (check,) = examine_bucket(bench.server.url("s3", "no-such-bucket"))
    assert (check.verdict, check.found) == (FAILURE, "there is no bucket no-such-bucket")


def test_a_bucket_of_others_or_elsewhere_is_a_failure(bench: Bench) -> None:
    for code, told in (("403", "may not be looked at"), ("301", "another region")):
        (check,) = bench.examine(head_bucket=[fails(code)])
        assert check.verdict is FAILURE
        assert told in check.found


def test_a_service_that_cannot_be_reached_is_a_failure(bench: Bench) -> None:
    (check,) = bench.examine(head_bucket=[cut_before])
    assert check.verdict is FAILURE
    assert "cannot be reached" in check.found


@pytest.mark.parametrize(
    ("operation", "word"), [("put_object", "written"), ("get_object", "read"), ("delete_object", "deleted")]
)
def test_what_may_not_be_done_is_a_failure(bench: Bench, operation: str, word: str) -> None:
    (check,) = bench.unsound(**{operation: [fails("AccessDenied", 403)]})
    assert check.verdict is FAILURE
    assert f"cannot be {word}: AccessDenied" in check.found


def test_a_rule_that_deletes_payloads_is_warned_of(bench: Bench) -> None:
    bench.rules(EXPIRING)
    (check,) = bench.unsound()
    assert check.verdict is WARNING
    assert "spring cleaning" in check.found


@pytest.mark.parametrize("limits", [{"Prefix": "below/run"}, {"Prefix": "be"}, {"Prefix": "below/"}])
def test_a_rule_for_a_part_or_more_than_the_prefix_is_warned_of(bench: Bench, limits: dict[str, Any]) -> None:
    bench.rules({**EXPIRING, "Filter": limits})
    assert [check.verdict for check in bench.unsound()] == [WARNING]


@pytest.mark.parametrize(
    "rule",
    [
        {"Status": "Disabled"},
        {"Filter": {"Prefix": "elsewhere/"}},
        {"Filter": {"Tag": {"Key": "temporary", "Value": "yes"}}},
        {"Filter": {"And": {"Prefix": "below/", "Tags": [{"Key": "temporary", "Value": "yes"}]}}},
    ],
)
def test_a_rule_that_meets_no_payload_is_fine(bench: Bench, rule: dict[str, Any]) -> None:
    bench.rules({**EXPIRING, **rule})
    assert bench.unsound() == []


def test_a_rule_that_puts_payloads_away_is_warned_of(bench: Bench) -> None:
    cold = {"Days": 90, "StorageClass": "GLACIER"}
    bench.rules({"Status": "Enabled", "Filter": {"Prefix": ""}, "Transitions": [cold]})
    (check,) = bench.unsound()
    assert "cannot be read at once" in check.found


def test_versions_that_stay_for_ever_are_warned_of(bench: Bench) -> None:
    bench.version()
    (check,) = bench.unsound()
    assert check.verdict is WARNING
    assert "for ever" in check.found
    bench.rules({"Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": LATER})
    assert bench.unsound() == []


def test_what_cannot_be_told_is_a_warning_and_hides_no_other_check(bench: Bench) -> None:
    denied = fails("AccessDenied", 403)
    checks = bench.examine(get_bucket_lifecycle_configuration=[denied], get_bucket_versioning=[denied])
    assert [check.verdict for check in checks] == [OK, OK, WARNING, WARNING]
    assert all("it cannot be told whether" in check.found for check in checks[2:])


def test_a_url_of_another_form_is_no_finding() -> None:
    with pytest.raises(SettingsError):
        examine_bucket("s3://UPPER")
