"""The thirteen promises, as they stand today. A number is never given to another promise."""

from tests.proof.entries import REPLAY, SCHEDULES, SIGNALS_IN_BODIES, by_number
from tests.proof.entries import Entry as Promise

PROMISES = by_number(
    Promise(
        1,
        "No lost run",
        "Once `start` has answered, the run exists and reaches a final status, if a worker that serves it is "
        "eventually running and its stages eventually return.",
    ),
    Promise(
        2,
        "One final status",
        "A run ends once, as the first commit decided; whoever completes or cancels it later is told so.",
    ),
    Promise(
        3,
        "Stages run at least once",
        "A body may run more than once, also beside a predecessor that was only paused.",
        lacking="the option to run at most once per attempt comes with durable steps",
    ),
    Promise(
        4,
        "Results are recorded exactly once",
        "A recorded stage never runs again, and every later stage and attempt sees that one value.",
        lacking=f"results of single steps inside a stage come with {REPLAY}",
    ),
    Promise(
        5,
        "Effectively once outside",
        "A target that honours `ctx.idempotency_key`, the same over all attempts, or that refuses a stale "
        "`ctx.fencing_token`, sees an effect once.",
    ),
    Promise(
        6,
        "Exactly once inside the same database",
        "What a transactional step writes commits together with its result, or not at all.",
        later="transactional steps",
    ),
    Promise(
        7,
        "Events at least once",
        "Events are published only after the commit they tell of, each with a stable id and a number per run without "
        "gaps; the first publications of one run are in order.",
    ),
    Promise(
        8,
        "Starts are idempotent",
        "One workflow and key start one run for as long as the run lives; the same key with other content is a "
        "conflict that says so.",
    ),
    Promise(
        9,
        "Signals are kept",
        "A signal is kept until the run ends, recognised by its id, and stands in order of arrival; a wake-up and a "
        "time-out that race have one outcome.",
        lacking=f"being consumed once comes with {SIGNALS_IN_BODIES}",
    ),
    Promise(
        10,
        "One run per schedule and fire time",
        "Clock changes and times missed while nothing ran follow a stated policy.",
        later=SCHEDULES,
    ),
    Promise(
        11,
        "Recovery without an operator",
        "After a worker's death its work goes on within the lease and one reap interval (30 s + 5 s by default).",
    ),
    Promise(
        12,
        "Runs continue on their own version",
        "A run continues only on code that declares its workflow, version and shape; without such code it waits.",
        lacking=f"telling a replay that diverges comes with {REPLAY}",
    ),
    Promise(
        13,
        "Fencing",
        "A worker that lost its lease changes nothing of the run, whatever its clock says.",
    ),
)
