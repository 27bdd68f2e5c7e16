"""``python -m tests.aws`` installs both servers, which the first test that needs them does otherwise."""

from tests.aws.servers import install

install()
