"""The faults that somebody causes on purpose, S1 to S22, and the rule that answers each."""

from tests.proof.entries import HTTP, RELEASE, WEBHOOKS, by_number
from tests.proof.entries import Entry as Attack

ATTACKS = by_number(
    Attack("S1", "pickles and other gadgets in payloads", "data only: nothing is executed or imported by name"),
    Attack("S2", "paths, links and odd characters in blob keys", "no key reaches outside the store"),
    Attack("S3", "SQL in filters", "values are bound, columns are fixed"),
    Attack("S4", "huge, compressed or slow request bodies", "limits hold before anything is read", later=HTTP),
    Attack("S5", "deep nesting, endless numbers, NaN, doubled keys", "refused with a typed error, with little work"),
    Attack("S6", "secrets in logs, errors and events", "redacted; payloads are not logged"),
    Attack("S7", "an API without authentication", "it refuses to listen beyond loopback", later=HTTP),
    Attack("S8", "forged requests from another site", "no action without token and origin", later=HTTP),
    Attack("S9", "markup in payloads, names and errors", "shown as text, never as markup", later=HTTP),
    Attack("S10", "forged access tokens", "one allowed algorithm per key, every claim checked", later=HTTP),
    Attack("S11", "addresses that lead inside the network", "private targets are refused", later=WEBHOOKS),
    Attack("S12", "doing more than one's role allows", "denied unless a route says otherwise", later=HTTP),
    Attack("S13", "guessing another tenant's ids", "every query is bound to its tenant", later=f"tenants, with {HTTP}"),
    Attack("S14", "forged or repeated webhooks", "signed, with a short window", later=WEBHOOKS),
    Attack("S15", "keys guessed by timing", "stored as hashes, compared in constant time", later=HTTP),
    Attack(
        "S16",
        "a message that takes over a worker",
        "a worker runs only what it was given, by registered name",
    ),
    Attack(
        "S17",
        "line breaks and control characters in logs",
        "shown, not obeyed",
        lacking=f"exports come with {HTTP}",
    ),
    Attack("S18", "filters that cost too much", "no regular expressions, bounded pages and statements", later=HTTP),
    Attack("S19", "floods of requests", "a rate for each caller, bounded queues", later=HTTP),
    Attack("S20", "expressions in definitions and payloads", "nothing evaluates text: definitions are code"),
    Attack("S21", "tampered dependencies", "hashed locks, audits, signed releases", later=RELEASE),
    Attack(
        "S22", "unsafe defaults in examples", "examples pass the checks of a start", later=f"compose files, with {HTTP}"
    ),
)
