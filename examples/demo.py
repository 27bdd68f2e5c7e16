"""`make demo`: analyse documents with two workers, kill one of them half-way, and see that nothing is lost.

    python examples/demo.py [FOLDER] [--into FOLDER]

FOLDER (or the variable DOCS): analyse its documents instead of this repository's own. ``--into``: where the demo keeps
its store, report and logs; ``.demo`` in this repository.

Exit status: 0 all went well · 1 something is off · 2 nothing to analyse, or no place to work in · 130 Ctrl-C.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from demonstration.output import Output
from demonstration.place import REPOSITORY, Corpus, FolderError, Place, PlaceError, corpus, near
from demonstration.story import LEASE, REAP, Story, StoryError, slots
from demonstration.workers import WorkerProcessError, Workers
from document_analysis import __file__ as workflow_file
from document_analysis import analysis
from mainspring import Mainspring
from mainspring.errors import MainspringError


def worker_command(documents: Corpus, place: Place) -> list[str]:
    """What a worker is started with. The watchdog is patient: on a busy machine a loop may well stand still for 2 s."""
    options = f"--lease {LEASE:g} --concurrency {slots(documents)} --watchdog 20"
    return ["mainspring", "worker", near(Path(workflow_file)), "--database", place.url, *options.split()]


async def tell(documents: Corpus, place: Place, output: Output) -> int:
    """Play the story; whatever happens, no worker is left behind."""
    me = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if me is not None:
            asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    try:
        with Workers(place.folder, worker_command(documents, place), {"MAINSPRING_REAP": f"{REAP:g}"}) as workers:
            async with Mainspring(place.url, workflows=[analysis], worker=False) as engine:
                await Story(documents, place, engine, workers, output).play()
    except (StoryError, WorkerProcessError, MainspringError, OSError, TimeoutError) as error:
        output.wrong(f"{error}\nWhat there is to see is in {place.folder}.")
        return 1
    return 0


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    parser = argparse.ArgumentParser(description="A run of two workers, one of which is killed half-way.")
    parser.add_argument("folder", nargs="?", default=os.environ.get("DOCS", ""), help="documents to analyse")
    parser.add_argument("--into", type=Path, default=REPOSITORY / ".demo", help="where the demo keeps its files")
    said = parser.parse_args()
    place = Place(folder=said.into.resolve())
    try:
        documents = corpus(said.folder)
        lock = place.prepare()
    except (FolderError, PlaceError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2
    with lock:
        try:
            return asyncio.run(tell(documents, place, Output(documents.paths)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.stderr.write("\ndemo: stopped; its workers were ended, too\n")
            return 130


if __name__ == "__main__":
    sys.exit(main())
