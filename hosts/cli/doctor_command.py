"""``mainspring doctor``: whether workers here can work on a store, and what to do if not."""

import typer

from mainspring.hosts.cli.exits import COMPLETED, FAILED
from mainspring.hosts.cli.options import AsJson, Database
from mainspring.hosts.cli.output import out, print_document, safe
from mainspring.hosts.cli.stores import examine_store
from mainspring.ports.diagnosis import Check, Verdict

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILURE: "bold red"}


def doctor(*, database: Database = None, as_json: AsJson = False) -> None:
    """Examine a store: can it be reached, does it fit, does it keep what it confirms, does anybody look after it.

    Changes nothing. Exit code 0 if workers can work on it (read the warnings), 1 if something must be mended first.
    """
    place, checks = examine_store(database)
    failed = any(check.verdict is Verdict.FAILURE for check in checks)
    if as_json:
        print_document({"database": place, "ok": not failed, "checks": [_document(check) for check in checks]})
    else:
        for check in checks:
            _print(check)
    raise typer.Exit(FAILED if failed else COMPLETED)


def _document(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "verdict": check.verdict.value,
        "found": check.found,
        "remedy": check.remedy,
    }


def _print(check: Check) -> None:
    line = safe(f"{check.verdict:<8} ", _STYLES[check.verdict])
    line.append_text(safe(f"{check.name:<12} {check.found}"))
    out().print(line, soft_wrap=True)
    if check.remedy:
        out().print(safe(f"{'':<21} → {check.remedy}"), soft_wrap=True)
