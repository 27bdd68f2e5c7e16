"""``mainspring create-queue``: make the SQS queue that carries jobs' pointers, and its dead letter queue."""

from typing import Annotated

import typer

from mainspring.hosts.cli.options import AsJson
from mainspring.hosts.cli.output import note, print_document
from mainspring.hosts.cli.stores import settings
from mainspring.ports.errors import SettingsError


def create_queue(
    *,
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Default: MAINSPRING_TRANSPORT.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the queue that sqs://name means, and its dead letter queue, as Mainspring wants them.

    What is there already is left as it is; `mainspring doctor` looks at it. RabbitMQ's queues make themselves.
    """
    try:
        from mainspring.adapters.aws.sqs_doctor import create_queue as create
    except ImportError as error:
        raise SettingsError("sqs:// needs boto3; run: pip install 'mainspring[aws]'") from error
    chosen = url or settings().transport
    if not chosen:
        raise SettingsError("no queue is named: give sqs://name, or set MAINSPRING_TRANSPORT")
    made = create(str(chosen))
    if as_json:
        print_document({"created": list(made)})
    else:
        note(f"created {' and '.join(made)}" if made else "everything is there already")
