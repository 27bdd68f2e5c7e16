import pytest

# Before the suites are first imported: a failing assert of theirs then tells its values.
pytest.register_assert_rewrite("mainspring.ports.contracts")
