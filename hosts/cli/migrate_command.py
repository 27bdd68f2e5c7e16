"""``mainspring migrate``: bring a store's schema to what this code needs."""

from typing import Annotated

import typer

from mainspring.hosts.cli.options import AsJson, Database
from mainspring.hosts.cli.output import note, print_document
from mainspring.hosts.cli.stores import migrate_store


def migrate(
    *,
    database: Database = None,
    worker_role: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="Let this role of PostgreSQL work on the store, and no more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create or update a store's schema, while workers go on. Harmless when it is up to date."""
    place, version = migrate_store(database, worker_role)
    if as_json:
        print_document({"database": place, "schema": version})
    else:
        note(f"the schema of {place} is {version}")
