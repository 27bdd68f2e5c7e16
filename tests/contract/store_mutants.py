"""Broken claims, upkeep, outbox and reads, each with the tests of the suite that must then fail."""

from mainspring.adapters.memory import claims, guards, indexes, relay, writes
from mainspring.adapters.memory.store import MemoryStore
from mainspring.ports.names import LeaseId
from mainspring.ports.sinks import Sink
from tests.contract import broken_clients, broken_rules
from tests.contract.mutants import (
    Break,
    client,
    lease_with,
    other_write,
    replaced,
    without_guard,
)

STORE_MUTANTS: dict[str, tuple[Break, str]] = {
    # claims
    "claims what is parked": (
        replaced(indexes, "is_waiting", broken_rules.claimable_in_any_phase),
        (
            "parked_and_blocked_jobs_are_not_claimed a_job_may_be_blocked_and_is_not_claimable_then"
            " what_cannot_become_claimable_by_time_is_not_due"
        ),
    ),
    "claims pointers to what is leased": (
        replaced(claims, "is_waiting", broken_rules.claimable_though_leased),
        "a_leased_job_is_not_claimed_again_even_when_its_lease_ran_out two_processes_pointed_at_one_job_lease_it_once",
    ),
    "claims without priority": (
        replaced(indexes.JobIndex, "due", broken_rules.due_without_priority),
        "higher_priority_comes_first_then_the_earlier_due_then_the_lower_key one_claim_answers_in_that_order",
    ),
    "claims before it is due": (
        replaced(indexes.JobIndex, "due", broken_rules.due_whenever),
        "a_job_is_not_claimed_before_it_is_due",
    ),
    "claims any route": (client(broken_clients.ClaimsAnyRoute), "only_jobs_of_the_given_routes_are_claimed"),
    "claims beyond the pointers": (
        client(broken_clients.ClaimsBeyondThePointers),
        "pointers_claim_among_the_given_jobs_only",
    ),
    "claims beyond the limit": (client(broken_clients.ClaimsBeyondTheLimit), "no_more_than_the_limit_are_claimed"),
    "answers claims in no order": (client(broken_clients.AnswersClaimsInNoOrder), "one_claim_answers_in_that_order"),
    "tokens do not grow": (
        lease_with(lambda before, after: {"token": 1}),
        "tokens_grow_with_each_claim_of_a_job tokens_grow_over_all_jobs_a_run_ever_had tokens_given_at_once_differ",
    ),
    "tokens grow per job only": (
        lease_with(lambda before, after: {"token": before.token + 1}),
        "tokens_grow_over_all_jobs_a_run_ever_had",
    ),
    "lease ids repeat": (
        lease_with(lambda before, after: {"lease_id": LeaseId("00000000-0000-4000-8000-00000000abcd")}),
        "lease_ids_never_repeat a_lease_that_was_taken_over_refuses_the_whole_change",
    ),
    "attempts are not counted": (
        lease_with(lambda before, after: {"attempt": before.attempt}),
        "an_attempt_is_counted_at_the_claim_though_nothing_follows a_claim_sets_all_that_makes_a_lease",
    ),
    "another length": (
        lease_with(lambda before, after: {"lease_until": after.claimed_at}),
        "the_length_asked_for_is_given a_claim_sets_all_that_makes_a_lease",
    ),
    "claims tell old wakes": (
        lease_with(lambda before, after: {"wakes": 0}),
        "a_claim_tells_the_wakes_and_the_run_as_they_stand",
    ),
    # heartbeats and due times
    "extends whatever is asked": (
        client(broken_clients.ExtendsWhateverIsAsked),
        (
            "a_lost_lease_is_not_revived lost_ones_are_told_in_the_order_asked"
            " a_lease_is_either_reaped_or_extended_but_never_reaped_alive"
        ),
    ),
    "extends nothing": (
        client(broken_clients.ExtendsNothing),
        "a_lease_that_ran_out_but_was_not_reaped_is_extended extending_moves_the_end_of_a_lease",
    ),
    "answers heartbeats by key": (
        client(broken_clients.AnswersHeartbeatsByKey),
        "lost_ones_are_told_in_the_order_asked",
    ),
    "tells no wakes": (client(broken_clients.TellsNoWakes), "wake_counts_are_told"),
    # upkeep
    "expires at once": (replaced(claims, "expired", broken_rules.expired_at_once), "leases_expire_by_the_stores_time"),
    "expires in no order": (
        replaced(claims, "expired", broken_rules.expired_in_no_order),
        "the_longest_expired_come_first_and_no_more_than_the_limit",
    ),
    "finished runs are overdue": (
        replaced(indexes, "TERMINAL_RUN_STATUSES", frozenset[str]()),
        "a_finished_run_is_never_overdue",
    ),
    "overdue before the deadline": (
        client(broken_clients.NeverOverdue),
        "active_runs_past_their_deadline_are_overdue_the_latest_first",
    ),
    "keeps the first worker row": (
        client(broken_clients.KeepsTheFirstWorkerRow),
        "a_worker_is_recorded_replaced_and_forgotten",
    ),
    # outbox
    "events by default": (
        replaced(MemoryStore, "__init__", broken_rules.on_from_the_start),
        "events_are_off_by_default",
    ),
    "sinks are a process' own": (
        client(broken_clients.KeepsSinksToItself),
        "sinks_are_the_stores_and_hold_for_every_process_at_once",
    ),
    "numbers over all runs": (
        other_write(writes.events_written, broken_rules.number_over_all_runs),
        "events_are_numbered_per_run_in_their_order events_written_at_once_are_numbered_without_gaps",
    ),
    "numbers are given again": (
        other_write(writes.events_written, broken_rules.number_from_what_is_there),
        "a_number_is_not_given_twice_though_its_event_is_gone",
    ),
    "only the postponed event waits": (
        replaced(relay, "unpublished", broken_rules.only_the_postponed_wait),
        "a_postponed_event_holds_up_its_own_run_only",
    ),
    "a postponed event waits for nothing": (
        replaced(relay, "_waits", broken_rules.waits_for_nothing),
        "a_postponed_event_holds_up_its_own_run_only one_settlement_publishes_postpones_and_gives_up",
    ),
    "forgets dead letters": (
        client(broken_clients.ForgetsDeadLetters),
        "a_hopeless_event_becomes_a_dead_letter_and_its_run_goes_on",
    ),
    "two relays": (
        replaced(relay, "lease", broken_rules.relay_for_everybody),
        (
            "one_relay_holds_the_lease_until_it_gives_it_back"
            " the_relays_lease_runs_out_by_the_stores_time_unless_it_is_kept"
        ),
    ),
    "a dead relay holds its lease": (
        replaced(relay, "lease", broken_rules.relay_for_ever),
        "the_relays_lease_runs_out_by_the_stores_time_unless_it_is_kept",
    ),
    "anybody releases the relay's lease": (
        replaced(relay, "release", broken_rules.release_anybodys),
        "one_relay_holds_the_lease_until_it_gives_it_back",
    ),
    "one relay for all sinks": (
        replaced(relay, "lease", broken_rules.one_relay_for_all),
        "each_sink_has_a_relay_and_a_place_of_its_own",
    ),
    "a sink that is forgotten leaves its rows": (
        client(broken_clients.ForgetsTheSinkOnly),
        "a_sink_that_is_removed_takes_along_all_that_was_kept_for_it",
    ),
    "finds every letter": (client(broken_clients.FindsEveryLetter), "letters_are_found_by_every_filter"),
    "a sink gets what it does not want": (
        replaced(Sink, "wants", broken_rules.wants_everything),
        "a_sink_gets_the_types_it_wants_and_numbers_go_on letters_are_found_by_every_filter",
    ),
    "no dead letter": (
        without_guard(guards.letters_there),
        "a_letter_is_replayed_once",
    ),
    "replays come last": (
        other_write(writes.letters_replayed, broken_rules.replayed_at_the_end),
        "a_replayed_letter_comes_before_later_events_of_its_run",
    ),
    "discards nothing": (
        other_write(writes.letters_replayed, broken_rules.discarded_ones_wait),
        "a_letter_that_is_discarded_is_gone_and_does_not_wait_again",
    ),
    # reads
    "reads its own copy": (client(broken_clients.ReadsItsOwnCopy), "a_commit_is_seen_by_every_process_at_once"),
    "lists oldest first": (
        client(broken_clients.ListsOldestFirst),
        "runs_come_newest_first_in_pages_without_gaps_or_repeats every_filter_filters",
    ),
    "filters nothing": (
        client(broken_clients.FiltersNothing),
        "every_filter_filters filters_that_do_not_all_hold_list_nothing pages_hold_matching_runs_only",
    ),
    "filters after the limit": (client(broken_clients.FiltersAfterTheLimit), "pages_hold_matching_runs_only"),
    "lists from the top": (
        client(broken_clients.ListsFromTheTop),
        "a_page_goes_on_where_it_stood_though_runs_were_added",
    ),
    "counts active runs as finished": (
        client(broken_clients.CountsActiveAsFinished),
        "finished_runs_are_told_from_active_and_unknown_ones",
    ),
    "reads all stages": (client(broken_clients.ReadsAllStages), "stages_are_read_by_id"),
    "tallies nothing": (
        client(broken_clients.TalliesNothing),
        "a_state_tallies_what_stands_where many_rows_fit_into_one_change",
    ),
    "reads states in two glances": (
        client(broken_clients.ReadsStatesInTwoGlances),
        "a_state_is_one_snapshot_though_others_write",
    ),
    "never closes": (client(broken_clients.NeverCloses), "a_closed_client_is_unavailable_and_the_other_goes_on"),
}
