"""Broken guards, gates and writes of a Change, each with the tests of the suite that must then fail."""

from mainspring.adapters.memory import guards, indexes, writes
from mainspring.adapters.memory.tables import Transaction
from mainspring.ports.records import JobPhase
from tests.contract import broken_clients, broken_rules
from tests.contract.mutants import (
    Break,
    client,
    evolved,
    other_write,
    replaced,
    without_guard,
    without_write,
)

COMMIT_MUTANTS: dict[str, tuple[Break, str]] = {
    # guards
    "no exclusive revision": (
        without_guard(guards.exclusive_revision),
        (
            "a_stale_exclusive_revision_refuses_the_whole_change a_revision_of_the_future_refuses_the_whole_change"
            " a_patch_of_an_unknown_run_is_refused one_of_two_exclusive_changes_of_a_run_is_written"
            " only_the_one_stale_change_of_many_is_refused"
        ),
    ),
    "no shared revision": (
        without_guard(guards.shared_revision),
        "a_stale_shared_revision_refuses_the_whole_change a_shared_guard_on_an_unknown_run_is_refused",
    ),
    "no lease": (
        without_guard(guards.lease_held),
        (
            "a_lease_id_of_another_claim_refuses_the_whole_change a_lease_that_was_given_up_refuses_the_whole_change"
            " a_lease_that_was_taken_over_refuses_the_whole_change"
            " a_lease_on_a_job_that_is_gone_refuses_the_whole_change"
            " one_lost_lease_among_several_refuses_the_whole_change ending_all_jobs_fences_those_that_are_leased"
            " a_lease_moves_with_a_job_handed_over_and_is_lost_at_the_old_stage"
        ),
    ),
    "no wake count": (
        without_guard(guards.wakes_seen),
        "a_job_woken_since_its_wake_count_was_read_refuses_the_whole_change",
    ),
    "reaps alive": (
        without_guard(guards.lease_expired),
        "a_lease_that_has_not_run_out_is_not_reaped a_lease_that_was_extended_since_it_was_seen_expired_is_not_reaped",
    ),
    "no unleased": (
        without_guard(guards.not_leased),
        "a_leased_job_is_not_unleased_even_if_its_newest_token_is_known a_job_that_is_gone_is_not_unleased",
    ),
    "no token": (
        without_guard(guards.not_claimed_since),
        "a_job_claimed_and_given_back_meanwhile_refuses_what_was_decided_of_it",
    ),
    "no relay lease": (without_guard(guards.relay_held), "a_relay_without_the_lease_settles_nothing"),
    # gates
    "no run id": (without_guard(guards.run_is_new), "a_run_id_that_is_taken_refuses_the_whole_change"),
    "no run key": (
        without_guard(guards.key_is_free),
        "a_run_key_that_is_taken_refuses_the_whole_change one_of_many_starts_under_a_key_is_written",
    ),
    "no signal id": (
        without_guard(guards.signals_are_new),
        (
            "a_signal_id_that_the_run_received_refuses_the_whole_change one_of_many_signals_with_an_id_is_written"
            " a_refused_change_can_be_written_once_its_gate_is_right"
        ),
    ),
    "no answer": (
        without_guard(guards.answer_is_new),
        "an_answer_that_is_remembered_refuses_the_whole_change one_of_many_answers_under_a_key_is_written",
    ),
    "no stage row": (
        without_guard(guards.stages_are_new),
        (
            "a_stage_row_that_is_there_refuses_the_whole_change one_of_many_ends_of_a_stage_is_written"
            " one_taken_stage_row_among_several_refuses_the_whole_change"
            " a_refused_change_does_no_harm_to_the_ones_before_and_after_it"
        ),
    ),
    # atomicity
    "nothing is taken back": (
        replaced(writes, "commit", broken_rules.write_then_check),
        (
            "a_stale_shared_revision_refuses_the_whole_change a_run_key_that_is_taken_refuses_the_whole_change"
            " a_job_woken_since_its_wake_count_was_read_refuses_the_whole_change"
        ),
    ),
    "a failing write is not taken back": (
        replaced(Transaction, "roll_back", broken_rules.take_nothing_back),
        "a_job_row_that_is_there_keeps_a_change_from_being_written a_change_that_cannot_be_written_harms_no_neighbour",
    ),
    "checks then acts": (
        client(broken_clients.ChecksThenActs),
        (
            "one_of_two_exclusive_changes_of_a_run_is_written one_of_many_starts_under_a_key_is_written"
            " one_of_many_signals_with_an_id_is_written one_of_many_answers_under_a_key_is_written"
            " one_of_many_ends_of_a_stage_is_written"
        ),
    ),
    "claims then acts": (
        client(broken_clients.ClaimsThenActs),
        "two_processes_never_lease_one_job_twice two_processes_pointed_at_one_job_lease_it_once",
    ),
    # writes
    **{
        f"does not write {write.__name__}": (without_write(write), tests)
        for write, tests in (
            (writes.run_created, "a_plain_run_comes_back_as_it_was_written"),
            (writes.run_patched, "a_patch_writes_the_columns_it_names_and_grows_the_revision"),
            (writes.signals_received, "signals_are_kept_in_order_of_arrival"),
            (writes.answer_remembered, "answers_and_shapes_come_back_as_they_were_written"),
            (writes.stages_ended, "ended_stages_and_attempts_come_back_as_they_were_written"),
            (writes.jobs_deleted, "a_change_with_all_its_guards_right_is_written a_state_forgets_jobs_that_are_gone"),
            (writes.jobs_moved, "a_job_given_back_is_not_leased_and_keeps_what_a_move_does_not_tell"),
            (writes.jobs_created, "a_job_comes_back_as_it_was_written"),
            (writes.jobs_unparked, "a_finish_deletes_its_job_and_unparks_the_next_in_one_change"),
            (writes.progress_told, "progress_is_kept_on_the_job"),
            (writes.jobs_ended, "jobs_end_after_the_other_job_writes_of_the_change"),
            (writes.jobs_woken, "all_jobs_of_the_run_are_woken_and_no_others wake_ups_at_once_are_all_counted"),
            (writes.events_written, "a_new_runs_events_come_with_its_creation"),
            (writes.outbox_settled, "published_events_are_gone_and_others_stay"),
            (writes.letters_replayed, "a_letter_is_replayed_once"),
        )
    },
    "a move forgets wakes": (
        evolved("moved", lambda job, after: {"wakes": 0}),
        (
            "a_job_given_back_is_not_leased_and_keeps_what_a_move_does_not_tell"
            " a_hand_over_in_place_keeps_the_lease_and_the_wakes_and_leaves_no_row_behind"
        ),
    ),
    "a move forgets the token": (
        evolved("moved", lambda job, after: {"token": 0}),
        "a_job_claimed_and_given_back_meanwhile_refuses_what_was_decided_of_it",
    ),
    "a move keeps progress": (
        evolved("moved", lambda job, after: {"progress": job.progress}),
        "a_job_given_back_is_not_leased_and_keeps_what_a_move_does_not_tell",
    ),
    "a move keeps any lease": (
        replaced(writes, "moved", broken_rules.move_of_any_lease),
        "a_lease_that_was_given_up_refuses_the_whole_change a_lost_lease_is_not_revived",
    ),
    "a hand-over loses the lease": (
        replaced(writes, "moved", broken_rules.move_without_lease),
        "a_hand_over_in_place_keeps_the_lease_and_the_wakes_and_leaves_no_row_behind",
    ),
    "a hand-over leaves a row behind": (
        other_write(writes.jobs_moved, broken_rules.moved_into_a_copy),
        (
            "a_hand_over_in_place_keeps_the_lease_and_the_wakes_and_leaves_no_row_behind"
            " a_lease_moves_with_a_job_handed_over_and_is_lost_at_the_old_stage"
        ),
    ),
    "unparks the highest": (
        replaced(indexes.JobIndex, "parked", broken_rules.unpark_highest),
        "the_lowest_parked_instances_are_unparked",
    ),
    "jobs end without a trace": (
        other_write(writes.jobs_ended, broken_rules.end_without_a_trace),
        "ending_all_jobs_leaves_a_stage_row_of_each",
    ),
    "leased jobs do not end": (
        other_write(writes.jobs_ended, broken_rules.end_unleased_only),
        "ending_all_jobs_leaves_a_stage_row_of_each ending_all_jobs_fences_those_that_are_leased",
    ),
    "signals without order": (
        other_write(writes.signals_received, broken_rules.signals_without_order),
        "signals_are_kept_in_order_of_arrival",
    ),
    # wakes
    "a wake is not counted": (
        evolved("woken", lambda job, after: {"wakes": job.wakes}),
        "a_leased_job_is_only_counted a_suspension_and_a_wake_up_never_lose_each_other",
    ),
    "a wake pulls nothing": (
        evolved("woken", lambda job, after: {"available_at": job.available_at}),
        "a_job_suspended_without_a_deadline_is_available_now a_job_suspended_with_a_deadline_is_available_now",
    ),
    "a wake delays": (evolved("woken", broken_rules.the_later), "a_job_suspended_with_a_deadline_is_available_now"),
    "a wake pulls everything": (
        replaced(writes, "woken", broken_rules.pulled),
        (
            "a_delayed_job_keeps_its_moment a_leased_job_is_only_counted a_ready_job_keeps_its_place"
            " a_job_suspended_without_a_deadline_waits_for_its_not_before a_wake_of_the_future_does_not_delay_a_job"
        ),
    ),
    "a hurried wake waits": (
        evolved("woken", lambda job, after: {"not_before": job.not_before}),
        "a_hurried_wake_pulls_even_a_delayed_job",
    ),
    "a wake unparks": (evolved("woken", lambda job, after: {"phase": JobPhase.READY}), "a_parked_job_stays_parked"),
}
