"""The suites of Clock and Ids."""

import re
from datetime import datetime, timedelta

from mainspring.ports.clock import Clock, Ids

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class ClockContract:
    """What everybody may rely on."""

    def open(self) -> Clock:
        """A clock."""
        raise NotImplementedError

    def test_time_is_an_aware_utc_datetime(self) -> None:
        now = self.open().now()
        assert isinstance(now, datetime)
        assert now.utcoffset() == timedelta(0)


class IdsContract:
    """What everybody may rely on."""

    def open(self) -> Ids:
        """A source of ids."""
        raise NotImplementedError

    def test_run_ids_are_uuids_of_version_7(self) -> None:
        ids = self.open()
        for _ in range(1_000):
            match = _UUID.fullmatch(ids.new_run_id())
            assert match is not None
            assert match[1] == "7"

    def test_later_run_ids_sort_after_earlier_ones(self) -> None:
        ids = self.open()
        made = [ids.new_run_id() for _ in range(20_000)]
        assert made == sorted(set(made))

    def test_lease_ids_are_uuids_of_version_4_and_never_repeat(self) -> None:
        ids = self.open()
        made = [ids.new_lease_id() for _ in range(20_000)]
        assert len(set(made)) == len(made)
        for lease_id in made:
            match = _UUID.fullmatch(lease_id)
            assert match is not None
            assert match[1] == "4"

    def test_random_numbers_are_spread_over_the_unit_interval(self) -> None:
        ids = self.open()
        drawn = [ids.random() for _ in range(2_000)]
        assert all(0 <= number < 1 for number in drawn)
        assert min(drawn) < 0.1
        assert max(drawn) > 0.9
