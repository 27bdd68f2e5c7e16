"""Revisions that a later release may bring, for tests."""

from pathlib import Path

HEAD = '''"""A later revision."""

import sqlalchemy as sa
from alembic import op

from mainspring.migrations import online as index

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{says}


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''

#: Adds what older code does not look at.
EXPANDS = {
    "says": 'serves = "0001"',
    "up": 'op.add_column("jobs", sa.Column("announced_at", sa.BigInteger(), nullable=True))',
    "down": 'op.drop_column("jobs", "announced_at")',
}
#: Makes an index beside workers that go on.
ONLINE = {
    "says": 'serves = "0001"\nonline = True',
    "up": 'index.build_index("jobs_worker", "jobs", ["worker"], where="worker is not null")',
    "down": 'index.drop_index("jobs_worker", "jobs")',
}
#: Retires older code: each of its claims asks for what is not there any more.
RETIRES = {
    "says": "serves = None",
    "up": 'op.execute("alter sequence mainspring_tokens rename to mainspring_tokens_2")',
    "down": 'op.execute("alter sequence mainspring_tokens_2 rename to mainspring_tokens")',
}


def write(folder: Path, *revisions: dict[str, str]) -> list[Path]:
    """Revisions 0002 and on, and the folder they are in, for ``script_locations``."""
    folder.mkdir(exist_ok=True)
    for number, parts in enumerate(revisions, 2):
        told = HEAD.format(revision=f"{number:04}", before=f"{number - 1:04}", **parts)
        (folder / f"{number:04}_later.py").write_text(told)
    return [folder]
