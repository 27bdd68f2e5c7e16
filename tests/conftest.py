"""What all tests share: how property tests draw their examples, and the servers that tests may ask for."""

import os

from hypothesis import settings

# No deadline per example: a busy machine is not a bug. In CI the same examples are drawn every time.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")

pytest_plugins = ["tests.postgres.fixtures", "tests.aws.fixtures", "tests.rabbitmq.fixtures"]
