"""The fault table: everything that must be survived, what then happens, and which faults no test covers yet.

Numbers are stable: tests name them with ``@pytest.mark.fault(number)``.
"""

from tests.proof.attacks import ATTACKS
from tests.proof.entries import (
    CHILD_RUNS,
    FAILOVER,
    HTTP,
    REPLAY,
    SCHEDULES,
    SIGNALS_IN_BODIES,
    Entry,
    by_number,
)
from tests.proof.entries import Entry as Fault

CRASHES = by_number(
    Fault(1, "crash before the claim commits", "the job stays claimable at once"),
    Fault(2, "crash after the claim, before the body", "claimed again after the lease; the attempt counts"),
    Fault(3, "crash during the body", "nothing is recorded; the body may run again"),
    Fault(4, "crash after an outside effect, before the commit", "it may repeat, under the same idempotency key"),
    Fault(5, "crash during the commit", "all of it is there, or nothing; repeating it is harmless"),
    Fault(6, "crash after the commit, before the acknowledgement", "the repeated message finds nothing to do"),
    Fault(7, "message acknowledged before the work is durable", "it never is: the lease carries the work by then"),
    Fault(8, "crash between the commit and the message of it", "the job is found without the message"),
    Fault(9, "crash between publishing and noting it", "the event comes again, with the same id"),
    Fault(10, "event of a commit that was taken back", "never published: only the relay reaches a sink"),
    Fault(11, "crash of upkeep in the middle of a batch", "each lease is reaped, or still to be reaped"),
    Fault(12, "crash between upload and commit", "no row lacks its blob; the orphan goes once its lease is dead"),
    Fault(13, "crash between deleting row and blob", "an orphaned blob at most"),
    Fault(14, "crash while a run is started", "one run per key, however often it is tried"),
    Fault(15, "crash after a child's end, before its parent hears", "the parent goes on", later=CHILD_RUNS),
    Fault(16, "crash during compensation", "it goes on at the first undo not recorded", later="compensation"),
)

LEASES = by_number(
    Fault(17, "worker paused beyond its lease, then awake", "its writes are refused; one result is recorded"),
    Fault(18, "the outside writes of such a worker", "a target can refuse them by the fencing token"),
    Fault(19, "heartbeats go on though the work is dead", "the job is freed within the attempt's maximum"),
    Fault(20, "heartbeats fail though claims succeed", "no more claims; bodies end before their leases do"),
    Fault(21, "a body blocks the event loop", "a watchdog ends the process; another worker goes on"),
    Fault(22, "a worker's clock jumps forward", "nothing is taken over early: time is the store's"),
    Fault(23, "a worker's clock jumps back", "no timer is lost"),
    Fault(24, "the store's clock jumps", "leases and timers move, results stay single"),
    Fault(25, "a token given twice after a restored backup", "two holders never pass the same guard"),
    Fault(26, "two workers of one name", "they do not disturb each other"),
    Fault(27, "a worker starts again under its old name", "the old leases run out as usual"),
    Fault(28, "a worker's row is removed", "its jobs are reaped all the same"),
    Fault(29, "two workers claim the same job", "one of them gets it"),
    Fault(30, "upkeep acts on a run that has ended meanwhile", "the end stays: it is checked under the lock"),
    Fault(31, "recovery meets work that has just begun", "work with a live lease is left alone"),
    Fault(32, "no process does upkeep alone", "any number may: each action is a conditional write"),
)

MESSAGES = by_number(
    Fault(33, "a message comes twice", "a wasted claim at most"),
    Fault(34, "messages come in another order", "the state decides what is next, not the message"),
    Fault(35, "a message is lost", "found by the next look at the store, and announced again"),
    Fault(36, "the broker is down for minutes", "nothing is lost, work waits"),
    Fault(37, "the broker restarts", "consumers come back by themselves"),
    Fault(38, "a sink's confirmation is lost", "a duplicate with the same id, no loss"),
    Fault(39, "a queue is gone", "told as a failure"),
    Fault(40, "a message becomes visible again during the body", "the second delivery does nothing"),
    Fault(41, "a broker's acknowledgement time-out", "no storm: acknowledged after the claim"),
    Fault(42, "a broker's delivery limit", "nothing is dropped silently"),
    Fault(43, "one record of a batch fails", "only that one comes back"),
    Fault(44, "a handler raises outside a record", "the whole batch comes back, harmlessly"),
    Fault(45, "an invocation runs out of time", "what is unfinished is given back, its attempt refunded"),
    Fault(46, "a function is throttled", "attempts count at the claim, not at the receipt"),
    Fault(47, "dead letters replayed twice", "each goes back once per replay"),
    Fault(48, "replay of an event whose run is gone", "an event tells its own story: it is replayed, and told"),
    Fault(49, "one message blocks its group", "the group goes on once the run's attempts are over"),
    Fault(50, "a message over the broker's limit", "never: messages hold ids only"),
    Fault(51, "a forged or broken message", "set aside, no crash"),
)

STORES = by_number(
    Fault(52, "the database restarts in a transaction", "all or nothing; workers reconnect"),
    Fault(53, "a pooled connection was ended", "the next use succeeds"),
    Fault(54, "failover to a read-only replica", "errors until it is writable, then on"),
    Fault(55, "a replica without the last commits is promoted", "no second, different end", later=FAILOVER),
    Fault(56, "reads from a replica that lags", "nothing is decided on them"),
    Fault(57, "serialization failures and deadlocks", "tried again, a bounded number of times"),
    Fault(58, "storms of lock waits", "bounded by time-outs"),
    Fault(59, "a transaction left open", "transactions are short, and end by time-out"),
    Fault(60, "dead rows slow the queue", "the time of a claim stays bounded"),
    Fault(61, "a claim takes more than it asked for", "never more than the limit"),
    Fault(62, "gaps in the order of the outbox", "no event is skipped: rows are read as they stand"),
    Fault(63, "a notification is lost", "later by a poll at most"),
    Fault(64, "the queue of notifications is full", "commits do not depend on it"),
    Fault(65, "a connection pooler per transaction", "it works: no state of sessions"),
    Fault(66, "a leaked advisory lock", "impossible: locks end with the transaction"),
    Fault(67, "all connections are in use", "heartbeats have one of their own"),
    Fault(68, "the disk is full", "starts are refused, what is stored stays, work resumes"),
    Fault(69, "the SQLite file is busy", "waited for; no failure without cause"),
    Fault(70, "power is lost", "the last commit that was answered is there"),
    Fault(71, "a file on a network, or of another host", "refused"),
    Fault(72, "the schema changes while old workers run", "old and new code are right"),
    Fault(73, "two migrations at once, or one that dies", "one runs; it can be run again"),
    Fault(74, "a migration locks a busy table", "never longer than the time-out"),
)

PAYLOADS = by_number(
    Fault(75, "a job that kills its worker each time", "given up after its attempts; neighbours complete"),
    Fault(76, "a stored payload that cannot be read", "its own run fails; upkeep never reads payloads"),
    Fault(77, "a giant payload", "refused, or kept as a blob; the worker survives"),
    Fault(78, "a result that cannot be encoded", "the stage fails, typed and with the path, without retry"),
    Fault(79, "a text that some stores would not take", "refused alike by all: NUL, lone surrogates, NaN"),
    Fault(80, "an exception that cannot be shown, or is huge", "recorded, cut and redacted"),
    Fault(81, "a body that takes another way at its replay", "told and stopped, never silently wrong", later=REPLAY),
    Fault(
        82,
        "a deploy that changes a workflow",
        "runs under way stay on their version and shape",
        lacking=f"renamed steps are told with {REPLAY}",
    ),
    Fault(
        83,
        "no worker knows the version",
        "the run waits for one that does",
        lacking="a metric of such runs comes with metrics",
    ),
    Fault(84, "a rerun from a stage after a repair", "a new, linked run; the old one stays"),
    Fault(85, "a rerun of a run that is active", "refused"),
    Fault(86, "one id twice in a workflow", "refused when it is built", lacking=f"ids of steps come with {REPLAY}"),
)

RACES = by_number(
    Fault(
        87,
        "a signal races with a time-out",
        "one outcome; a signal is never lost by it",
        lacking=f"what a body sees of it comes with {SIGNALS_IN_BODIES}",
    ),
    Fault(88, "a signal comes early, or twice", "kept in order, recognised by its id"),
    Fault(89, "a cancel races with the completion", "the first commit decides, the other is told"),
    Fault(90, "a cancel while a body runs", "the body is told, and the run does not complete"),
    Fault(
        91, "two operators pause, resume or retry", "one wins, the other is told", later=f"pause and retry, with {HTTP}"
    ),
    Fault(92, "the holder of an idempotency key dies", "key and effect are one commit: no key is left in between"),
    Fault(93, "one key, other content", "a conflict, never the old result silently"),
    Fault(94, "a key used again long after", "it holds for the life of the run"),
    Fault(95, "the last two branches end together", "what follows begins once"),
    Fault(96, "retention meets a run still needed", "nothing that is needed is deleted"),
    Fault(97, "a parent is cancelled as its child starts", "the child is cancelled, or never starts", later=CHILD_RUNS),
)

LOAD = by_number(
    Fault(98, "clock changes for daylight saving", "fire times follow a stated policy", later=SCHEDULES),
    Fault(99, "two schedulers", "one run per fire time", later=SCHEDULES),
    Fault(100, "a storm of missed fire times", "skip, latest or all, as stated", later=SCHEDULES),
    Fault(101, "everybody asks or retries at once", "spread by jitter"),
    Fault(102, "one tenant floods the queue", "others progress", later="limits per key and fair claims"),
    Fault(
        103,
        "retries of something that stays down",
        "back-off with full jitter and a bound",
        lacking="a circuit per kind of stage comes with limits per key",
    ),
    Fault(104, "a worker is told to stop", "bodies end within the grace, or are given back with their attempt"),
    Fault(105, "stopped while starting, or one loop dies", "no hang; a dead loop takes the worker down"),
    Fault(106, "kill -9", "as for crashes 1 to 12"),
    Fault(
        107, "a slow reader of events", "bounded memory; it is told to begin anew", later=f"event streams, with {HTTP}"
    ),
    Fault(
        108,
        "a blob store that is slow, partial or damaged",
        "what is read is what was put, or an error",
    ),
)

SECTIONS: dict[str, dict[int | str, Entry]] = {
    "Crashes between claim and acknowledgement": CRASHES,
    "Leases, paused workers, clocks": LEASES,
    "Messages": MESSAGES,
    "Stores": STORES,
    "Payloads and versions": PAYLOADS,
    "Races of commands": RACES,
    "Time and load": LOAD,
    "Attacks": ATTACKS,
}

FAULTS: dict[int | str, Entry] = {number: entry for table in SECTIONS.values() for number, entry in table.items()}

#: In scope today, yet without a test that truly covers them. To be emptied; nothing may be added to it.
UNPROVED: frozenset[int | str] = frozenset()
