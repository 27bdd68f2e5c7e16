"""A crew of processes on one PostgreSQL database, what strikes it, and the plan of the strikes.

Rule: a seed gives the plan; who is gone, of a strike or by itself, is started anew, as a supervisor would.
"""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import attrs

from tests.integration.processes import Processes
from tests.postgres.server import PostgresServer

Blow = Literal["kill", "freeze", "cut", "crash"]

BACKENDS = "select pid from pg_stat_activity where datname = '{}' and application_name = 'mainspring' order by pid"


@attrs.frozen
class Strike:
    """One blow, and the seconds until the next one."""

    blow: Blow
    whom: str
    share: float  #: of the backends that are cut off; at least one
    pause: float


#: In turn: so a short plan too kills a worker and the client, and makes a zombie of a worker.
VICTIMS: dict[Blow, Sequence[str]] = {
    "kill": ("worker-1", "client", "worker-2", "serverless"),
    "freeze": ("worker-2", "serverless", "worker-1", "client"),
}


def planned(seed: int, rounds: int) -> list[Strike]:
    """The plan: every blow in turn before any comes again, in an order of the dice."""
    dice = random.Random(seed)
    blows: list[Blow] = []
    while len(blows) < rounds:
        blows += dice.sample(("kill", "kill", "freeze", "cut", "cut", "crash"), 6)
    victims = {blow: cycle(names) for blow, names in VICTIMS.items()}
    return [
        Strike(blow, next(victims[blow]) if blow in victims else "", dice.random(), dice.uniform(0.3, 1.7))
        for blow in blows[:rounds]
    ]


class Crew:
    """The processes, by name.

    Args:
        started: kills whatever is left at the end.
        commands: what ``python -m`` runs for each name.
        environment: theirs.
        log: takes what they say on stderr.
    """

    def __init__(
        self, started: Processes, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], log: Path
    ) -> None:
        self.exits = Counter[str]()  #: by name and code, of those that ended by themselves
        self.blows = Counter[str]()
        self.done: set[str] = set()  #: who ended as it should, and is not started anew
        self._started = started
        self._commands = commands
        self._environment = dict(environment)
        self._log = log
        self._members: dict[str, subprocess.Popen[str]] = {}

    def revive(self) -> None:
        """Start whoever is not there."""
        for name, command in self._commands.items():
            member = self._members.get(name)
            if member is not None and member.poll() is not None:
                if member.returncode == 0:
                    self.done.add(name)
                self.exits[f"{name}: {member.returncode}"] += 1
                self._started.kill(self._members.pop(name))
            if name not in self._members and name not in self.done:
                self._members[name] = self._launched(command)

    def strike(self, strike: Strike, server: PostgresServer, url: str, frozen_for: float) -> None:
        """Deal one blow; a process that is stopped goes on after so many seconds, as a zombie."""
        self.blows[strike.blow] += 1
        member = self._members.get(strike.whom)
        if strike.blow == "crash":
            server.restart("immediate")
        elif strike.blow == "cut":
            cut(server, url, strike.share)
        elif member is not None and strike.blow == "kill":
            self._started.kill(self._members.pop(strike.whom))
        elif member is not None:
            member.send_signal(signal.SIGSTOP)
            time.sleep(frozen_for)
            member.send_signal(signal.SIGCONT)

    def _launched(self, command: Sequence[str]) -> subprocess.Popen[str]:
        with self._log.open("a") as log:
            member = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
                env=self._environment,
            )
        self._started.alive.append(member)
        return member


def cut(server: PostgresServer, url: str, share: float) -> None:
    """End some of the backends that serve the database, at least one."""
    pids = [pid for (pid,) in server.execute(BACKENDS.format(urlsplit(url).path[1:]))]
    dice = random.Random(share)
    for pid in dice.sample(pids, min(len(pids), 1 + int(share * len(pids)))):
        server.execute(f"select pg_terminate_backend({pid})")
