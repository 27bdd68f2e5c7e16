"""Who is measured: ourselves, and peers in virtual environments of their own, made here when they are missing."""

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import Side, interpreter

HERE = Path(__file__).parent
OURS = Side("mainspring", interpreter(("-m", "benchmarks.ours")))


def dbos() -> Side:
    """DBOS with what served it best on SQLite: see README.md."""
    python = _environment("dbos")
    return Side(
        "dbos",
        (str(python), str(HERE / "peers" / "dbos_runner.py")),
        environment={"DBOS_STYLE": "async", "DBOS_WC": "50"},
        open_runs="select 1 from workflow_status where status in ('ENQUEUED', 'PENDING') limit 1",
        completed="select count(*) from workflow_status where status = 'SUCCESS'",
        needs_setup=True,
    )


PEERS = {"dbos": dbos}


def _environment(name: str) -> Path:
    """The Python of a peer's venv, made from its requirements file if it is not there or the file changed."""
    folder, wanted = HERE / ".venvs" / name, HERE / "peers" / f"{name}.requirements.txt"
    python, made = folder / "bin" / "python", folder / "made"
    if made.exists() and made.read_text() == wanted.read_text():
        return python
    print(f"making {folder} from {wanted.name} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", "-r", wanted], check=True)
    made.write_text(wanted.read_text())
    return python
