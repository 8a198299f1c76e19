"""Which test holds which rule of supervision: a rule without a test, or a test that is gone, fails here.

Rules are named as in the document they come from: A is what this project promises, B what OTP does
(its sections 1.3 to 1.10, a bullet or row each). A name stands for a test function below `tests/`.
"""

import ast
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent.parent

RULES: Final[dict[str, tuple[str, ...]]] = {
    # A. What this project promises
    "A.1 one_for_one": (
        "supervision/test_machine_restarting.py::test_a_crashed_child_is_restarted_in_its_slot_and_nobody_else_is_touched",
    ),
    "A.1 one_for_all": (
        "supervision/test_group_strategies.py::test_under_one_for_all_the_others_stop_from_right_to_left_then_all_start_from_left_to_right",
    ),
    "A.1 rest_for_one": (
        "supervision/test_group_strategies.py::test_under_rest_for_one_those_after_it_stop_from_right_to_left_and_start_with_it",
    ),
    "A.1 any strategy, whatever happens": (
        "supervision/test_group_invariants.py::test_whatever_happens_a_supervisor_keeps_its_promises",
        "supervision/test_group_model.py::test_event_by_event_the_machine_does_what_otp_does",
        "supervision/test_machine_model.py::test_the_machine_does_what_the_reference_does",
        "supervision/test_hard_cases.py::test_groups_under_attack_come_back_whole_and_stop_in_order",
    ),
    "A.1 DynamicSupervisor": (
        "supervision/test_dynamic_supervisor.py::test_a_child_is_restarted_or_forgotten_and_nothing_between",
        "supervision/test_dynamic_supervisor.py::test_max_children_counts_those_that_run_and_those_that_restart",
        "supervision/test_dynamic_supervisor.py::test_a_generated_id_is_never_one_that_was_used_before",
        "supervision/test_dynamic_supervisor.py::test_the_ref_of_a_restarting_child_addresses_it_until_the_next_one_runs",
    ),
    "A.1 PartitionSupervisor": (
        "supervision/test_partition_supervisor.py::test_a_key_belongs_to_the_same_partition_in_every_process",
        "supervision/test_partition_supervisor.py::test_shrinking_routes_elsewhere_before_it_stops_anybody",
        "supervision/test_partition_supervisor.py::test_a_group_restart_does_not_bring_back_what_was_shrunk",
        "supervision/test_partition_supervisor.py::test_growing_routes_to_a_partition_once_it_has_started",
    ),
    "A.2 reasons are values": (
        "actors/test_endings.py::test_each_way_to_end_is_one_notice_with_its_reason",
        "supervision/test_decisions.py::test_a_transient_child_is_restarted_after_an_abnormal_exit",
        "supervision/test_machine_restarting.py::test_unresponsive_is_abnormal_for_a_transient_child",
    ),
    "A.2 kill": (
        "actors/test_endings.py::test_a_kill_ordered_just_before_a_handler_begins_does_not_wait_for_it",
        "supervision/test_machine_restarting.py::test_a_running_child_killed_in_the_middle_of_a_handler_is_restarted_and_reported_abandoned",
    ),
    "A.2 on_stop runs for a crash too": ("actors/test_endings.py::test_each_way_to_end_is_one_notice_with_its_reason",),
    "A.3 more than the limit within the window": (
        "supervision/test_intensity_rules.py::test_more_than_the_limit_gives_up_under_every_strategy",
        "supervision/test_decisions.py::test_there_are_never_more_restarts_than_the_limit_in_any_window",
    ),
    "A.3 the edge counts": (
        "supervision/test_intensity_rules.py::test_the_window_slides_and_its_edge_counts",
        "supervision/test_decisions.py::test_an_event_exactly_as_old_as_the_window_still_counts",
    ),
    "A.3 failed attempts cost one each": (
        "supervision/test_machine_restarting.py::test_each_failed_restart_attempt_costs_one",
        "supervision/test_group_strategies.py::test_a_group_whose_start_always_fails_is_tried_as_often_as_the_limit_says",
    ),
    "A.3 a group costs one": ("supervision/test_group_strategies.py::test_a_group_costs_one_however_many_it_has",),
    "A.3 manual starts and stops cost nothing": (
        "supervision/test_intensity_rules.py::test_what_nobody_is_restarted_for_costs_nothing",
    ),
    "A.3 the initial start is never retried": (
        "supervision/test_machine_starting.py::test_a_first_start_that_fails_ends_the_supervisor_and_is_not_retried",
    ),
    "A.3 time spent stopping does not let the window slip": (
        "supervision/test_intensity_rules.py::test_a_loop_that_is_slow_to_stop_does_not_go_on_for_ever",
        "supervision/test_intensity_rules.py::test_the_window_stands_still_only_while_a_group_is_being_stopped",
        "supervision/test_intensity_rules.py::test_the_window_slides_on_when_a_group_restart_is_called_off",
    ),
    "A.4 giving up": (
        "supervision/test_machine_restarting.py::test_giving_up_is_announced_first_then_children_stop_in_reverse_then_it_ends",
        "supervision/test_intensity_rules.py::test_giving_up_stops_the_others_from_right_to_left_and_ends_with_the_reason_shutdown",
    ),
    "A.4 the root gives up": (
        "supervision/test_intensity_rules.py::test_when_the_root_gives_up_nothing_is_left_running",
        "runtime/test_runtime.py::test_a_tree_that_gives_up_by_itself_ends_not_ok_and_says_why",
        "end_to_end/test_giving_up.py::test_a_supervisor_that_gives_up_is_restarted_by_its_parent_until_that_gives_up_too",
    ),
    "A.4 auto_shutdown ends with its own reason": (
        "supervision/test_auto_shutdown.py::test_only_an_end_that_is_not_answered_by_a_restart_counts",
    ),
    "A.5 own intensity": (
        "supervision/test_machine_restarting.py::test_a_child_with_its_own_limit_is_parked_and_its_supervisor_goes_on",
        "supervision/test_machine_restarting.py::test_restart_child_revives_a_failed_child_with_a_fresh_window",
        "supervision/test_calls.py::test_a_supervisor_that_cannot_be_right_starts_nobody",
    ),
    "A.5 parked significant children": (
        "supervision/test_auto_shutdown.py::test_a_parked_significant_child_has_ended_by_itself",
        "supervision/test_auto_shutdown.py::test_a_parked_significant_child_is_not_alive",
        "supervision/test_auto_shutdown.py::test_a_significant_child_on_its_way_counts_as_alive",
    ),
    "A.5 backoff": (
        "supervision/test_decisions.py::test_delays_grow_by_the_factor_up_to_the_greatest",
        "supervision/test_decisions.py::test_jitter_spreads_a_delay_either_way_and_never_above_the_greatest",
        "supervision/test_machine_restarting.py::test_a_restart_waits_out_its_delay_visibly",
        "supervision/test_machine_restarting.py::test_a_supervisor_that_stops_during_a_delay_of_a_minute_ends_at_once",
    ),
    "A.5 backoff of a group": (
        "supervision/test_group_interruptions.py::test_siblings_stop_at_the_crash_and_all_start_when_the_delay_is_over",
        "supervision/test_group_interruptions.py::test_a_group_that_stops_for_longer_than_its_delay_starts_at_once",
        "supervision/test_group_interruptions.py::test_crashes_during_the_delay_merge_and_the_longest_delay_counts",
        "supervision/test_group_interruptions.py::test_a_shorter_delay_that_merges_does_not_cut_a_longer_one",
    ),
    "A.6 order and handshake": (
        "supervision/test_machine_starting.py::test_children_start_from_left_to_right_each_after_the_one_before",
        "supervision/test_supervisor.py::test_a_first_start_that_fails_undoes_the_others_and_carries_its_traceback",
    ),
    "A.6 start_timeout": (
        "supervision/test_machine_starting.py::test_a_start_that_takes_too_long_has_failed_as_unresponsive",
    ),
    "A.6 responsive while children start and stop": (
        "supervision/test_supervisor.py::test_a_supervisor_has_not_started_while_a_child_has_not_but_answers",
        "supervision/test_calls.py::test_looking_is_answered_in_every_state",
    ),
    "A.6 needs": (
        "supervision/test_machine_starting.py::test_a_child_waits_for_what_it_needs_and_does_not_hold_back_its_supervisor",
        "supervision/test_group_interruptions.py::test_a_member_that_waits_for_a_sibling_holds_up_nobody",
        "supervision/test_group_interruptions.py::test_a_child_that_waits_joins_the_group_and_is_started_once",
    ),
    "A.6 declining": (
        "supervision/test_machine_starting.py::test_a_child_that_declines_is_kept_at_rest_and_the_boot_goes_on",
        "supervision/test_machine_starting.py::test_a_temporary_child_that_declines_is_forgotten",
    ),
    "A.7 reverse order, each in its time": (
        "supervision/test_machine_stopping.py::test_children_stop_from_right_to_left_one_at_a_time",
        "supervision/test_machine_stopping.py::test_a_child_that_does_not_stop_in_its_time_is_abandoned_and_the_stop_goes_on",
    ),
    "A.7 BRUTAL_KILL": (
        "supervision/test_machine_restarting.py::test_a_brutal_kill_asks_nothing_and_waits_for_no_time",
        "supervision/test_group_interruptions.py::test_a_brutally_killed_member_is_not_asked_and_comes_back",
    ),
    "A.7 abandoned children": (
        "supervision/test_supervisor.py::test_a_child_that_ignores_the_request_to_stop_is_abandoned_and_the_rest_stops",
        "supervision/test_group_interruptions.py::test_a_member_that_does_not_stop_is_abandoned_and_the_group_goes_on",
    ),
    "A.7 the report names everybody below": (
        "supervision/test_supervisor.py::test_the_report_of_a_stop_names_everybody_below",
    ),
    "A.7 a stop in the middle of a group restart": (
        "supervision/test_group_interruptions.py::test_a_supervisor_that_stops_in_the_middle_of_a_group_restart_starts_nothing_more",
    ),
    "A.8 group restarts": (
        "supervision/test_group_strategies.py::test_siblings_at_rest_come_back_with_their_group",
        "supervision/test_group_strategies.py::test_temporary_siblings_are_stopped_and_their_spec_dropped",
        "supervision/test_group_strategies.py::test_one_for_all_stops_those_already_restarted_when_one_fails_and_tries_all_again",
        "supervision/test_group_strategies.py::test_rest_for_one_keeps_those_before_the_one_that_failed",
        "supervision/test_group_interruptions.py::test_a_crash_of_an_earlier_sibling_widens_the_group",
        "supervision/test_group_interruptions.py::test_a_crash_in_the_middle_of_the_start_begins_one_for_all_anew",
        "supervision/test_group_interruptions.py::test_later_siblings_that_were_added_meanwhile_join_the_group",
        "supervision/test_group_interruptions.py::test_a_child_added_meanwhile_that_crashes_joins_the_group",
    ),
    "A.9 automatic shutdown": (
        "supervision/test_auto_shutdown.py::test_any_significant_ends_with_the_first_all_significant_with_the_last",
        "supervision/test_auto_shutdown.py::test_the_remaining_children_stop_from_right_to_left_and_nobody_is_charged",
    ),
    "A.10 calls and their typed errors": (
        "supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",
        "supervision/test_calls.py::test_the_typed_calls_do_what_the_messages_do",
        "supervision/test_machine_stopping.py::test_each_call_in_each_state_has_its_answer",
    ),
    "A.10 ActorDead": ("supervision/test_calls.py::test_every_call_to_a_supervisor_that_is_gone_says_so",),
    "A.10 a start by hand and a group": (
        "supervision/test_group_interruptions.py::test_a_start_by_hand_that_a_group_interrupts_is_answered_by_the_groups_start",
        "supervision/test_group_interruptions.py::test_a_temporary_start_by_hand_that_a_group_interrupts_is_refused",
    ),
    "A.10 change": (
        "supervision/test_change.py::test_one_mistake_changes_nothing_settings_included",
        "supervision/test_change.py::test_a_living_supervisor_goes_by_what_it_was_told",
    ),
    "A.11 crash policy": (
        "actors/test_endings.py::test_an_unexpected_exception_reaches_the_asker_and_ends_the_actor",
        "actors/test_endings.py::test_a_rejection_is_an_answer_and_no_crash",
        "actors/test_endings.py::test_an_exit_raised_in_one_actor_is_a_crash_of_that_actor_alone",
        "supervision/test_supervisor.py::test_a_defect_in_the_supervisors_own_code_takes_its_children_with_it",
    ),
    "A.12 monitors": (
        "actors/test_monitors.py::test_the_end_of_a_monitored_actor_brings_one_down_with_its_reason",
        "actors/test_monitors.py::test_a_monitor_that_races_with_the_end_brings_exactly_one_down",
        "actors/test_monitors.py::test_dropping_a_monitor_takes_its_down_out_of_the_mailbox",
    ),
    "A.12 links": (
        "actors/test_links.py::test_an_abnormal_end_of_one_ends_the_other_with_the_same_reason",
        "actors/test_links.py::test_one_that_traps_exits_is_told_whatever_the_reason_and_lives",
        "actors/test_links.py::test_a_supervisor_ends_of_no_link_and_says_so",
    ),
    "A.12 order of notices": (
        "actors/test_monitors.py::test_what_an_actor_told_before_it_died_is_handled_before_its_down",
        "actors/test_monitors.py::test_a_down_comes_before_the_supervisor_hears_of_the_end",
    ),
    "A.13 system messages": (
        "actors/test_system_messages.py::test_a_suspended_actor_leaves_its_mailbox_alone_and_answers_state_requests",
        "actors/test_system_messages.py::test_a_suspended_actor_stops_when_told_to",
        "actors/test_system_messages.py::test_a_resumed_actor_goes_on_in_order",
        "actors/test_system_messages.py::test_a_replace_state_that_fails_changes_nothing_and_the_actor_lives",
        "supervision/test_supervisor_system_messages.py::test_a_suspended_supervisor_restarts_nobody_until_it_goes_on",
    ),
    "A.13 settings survive restarts": (
        "actors/test_tracing.py::test_a_trace_survives_a_restart_with_what_is_left_of_it",
        "actors/test_tracing.py::test_statistics_go_on_over_a_restart_and_tell_the_generation",
        "supervision/test_supervisor_system_messages.py::test_the_statistics_of_a_child_go_on_over_its_restart",
    ),
    "A.13 redaction": ("actors/test_post_mortem.py::test_no_secret_in_a_message_or_in_the_state_appears",),
    "A.14 one report for each abnormal end": (
        "supervision/test_crash_reports.py::test_a_report_tells_who_why_what_it_did_and_what_follows",
        "supervision/test_crash_reports.py::test_each_abnormal_end_is_reported_once",
        "supervision/test_crash_reports.py::test_an_orderly_end_is_not_reported",
        "supervision/test_crash_reports.py::test_failed_starts_are_reported_each_with_what_follows",
        "supervision/test_crash_reports.py::test_a_stop_that_went_wrong_is_reported",
        "supervision/test_crash_reports.py::test_real_actors_report_once_with_their_traceback",
        "supervision/test_group_interruptions.py::test_a_death_during_a_boot_that_fails_is_reported_too",
    ),
    "A.14 a ring that survives restarts": (
        "supervision/test_crash_reports.py::test_the_last_ten_are_kept_with_the_child_across_its_restarts",
        "supervision/test_crash_reports.py::test_the_ring_survives_a_group_restart_a_stop_and_a_start_by_hand",
        "supervision/test_restart_records.py::test_the_last_crashes_stay_known_with_their_age",
    ),
    "A.15 generations": (
        "supervision/test_machine_restarting.py::test_a_late_exit_of_an_earlier_generation_is_ignored_and_counted",
        "supervision/test_machine_starting.py::test_what_an_abandoned_start_says_later_is_ignored_and_counted",
        "supervision/test_group_interruptions.py::test_notices_and_timers_of_before_a_group_was_widened_say_nothing",
        "actors/test_fencing.py::test_each_act_of_a_zombie_is_refused_and_counted",
    ),
    "A.15 calls to a zombie": (
        "actors/test_fencing.py::test_each_act_of_a_zombie_is_refused_and_counted",
        "supervision/test_hard_cases.py::test_a_child_ignores_its_stop",
        "actors/test_durable.py::test_an_incarnation_that_was_given_up_on_cannot_persist_and_the_try_is_counted",
        "supervision/test_held_restarts.py::test_a_supervisor_that_was_given_up_on_puts_nothing_on_record",
    ),
    "A.16 paths": (
        "supervision/test_supervisor.py::test_a_path_never_leads_to_a_dead_incarnation_nor_to_one_that_has_not_started",
        "supervision/test_supervisor.py::test_a_start_by_hand_that_fails_is_told_with_its_reason_and_its_id_is_free",
    ),
    "A.16 registered names": (
        "actors/test_names.py::test_a_name_taken_at_the_start_resolves_once_the_supervisor_reported_the_actor",
        "actors/test_names.py::test_a_failed_start_frees_its_name_before_the_starter_hears_of_it",
        "runtime/test_names.py::test_a_name_follows_its_actor_through_restarts",
    ),
    "A.17 windows and counts survive": (
        "supervision/test_restart_records.py::test_the_window_of_a_supervisor_goes_on_in_the_next_runtime",
        "supervision/test_restart_records.py::test_the_window_of_a_child_goes_on_too",
        "supervision/test_restart_records.py::test_failures_in_a_row_go_on_so_delays_go_on_growing",
        "supervision/test_restart_records.py::test_a_restart_is_as_old_as_its_window_says_not_as_the_wall",
        "supervision/test_restart_records.py::test_giving_up_does_not_calm",
        "supervision/test_restart_records.py::test_a_boot_that_fails_keeps_what_it_took_over",
        "runtime/test_crash_loops.py::test_a_crash_loop_that_takes_the_runtime_down_gets_no_fresh_allowance",
    ),
    "A.17 a clock that was set back": (
        "supervision/test_restart_records.py::test_a_clock_that_went_forward_ages_an_event_and_one_set_back_makes_it_young",
    ),
    "A.17 on record before the restart": (
        "supervision/test_held_restarts.py::test_a_restart_waits_until_it_is_on_record",
        "supervision/test_held_restarts.py::test_several_restarts_wait_for_the_newest_record",
        "supervision/test_held_restarts.py::test_a_start_that_is_held_can_be_stopped",
        "supervision/test_held_restarts.py::test_a_store_that_fails_does_not_stop_restarts",
    ),
    "A.17 what begins afresh": (
        "supervision/test_restart_records.py::test_only_the_first_incarnation_of_a_supervisor_takes_over",
        "supervision/test_restart_records.py::test_an_orderly_end_calms_but_what_happened_stays_known",
        "supervision/test_restart_records.py::test_a_forgotten_child_takes_its_record_along",
        "supervision/test_restart_records.py::test_a_start_by_hand_clears_the_count_on_record_too",
        "runtime/test_crash_loops.py::test_an_orderly_stop_in_between_gives_it_a_fresh_allowance",
    ),
    "A.17 records that cannot be believed": (
        "supervision/test_restart_records.py::test_a_damaged_window_falls_back_to_the_one_before_with_an_event",
        "supervision/test_restart_records.py::test_a_damaged_record_without_one_before_begins_empty_with_an_event",
        "supervision/test_restart_records.py::test_a_whole_record_of_another_shape_is_set_aside_too",
    ),
    "A.18 quarantine and the older snapshot": (
        "actors/test_durable.py::test_a_snapshot_that_cannot_be_decoded_is_quarantined_and_the_older_one_used",
        "actors/test_durable.py::test_a_snapshot_whose_restore_or_migrate_raises_is_quarantined_and_the_older_one_used",
        "actors/test_durable.py::test_when_the_older_one_fails_too_no_start_succeeds_and_none_is_empty",
        "runtime/test_durable_actors.py::test_a_damaged_newest_snapshot_stops_neither_the_boot_nor_the_actor",
    ),
    "A.18 parked whatever the strategy": (
        "supervision/test_group_strategies.py::test_a_member_whose_state_cannot_be_restored_is_parked_and_the_group_goes_on",
        "supervision/test_intensity_rules.py::test_a_child_whose_state_cannot_be_restored_costs_nothing",
    ),
    "A.18 discard-state": (
        "runtime/test_durable_actors.py::test_an_actor_without_a_usable_snapshot_is_parked_at_any_boot_until_it_is_discarded",
        "runtime/test_durable_actors.py::test_a_state_is_discarded_while_its_actor_is_stopped_and_only_then",
    ),
    # B. What OTP does
    "B 1.3 permanent": ("supervision/test_decisions.py::test_a_permanent_child_is_restarted_after_every_exit",),
    "B 1.3 transient": (
        "supervision/test_decisions.py::test_a_transient_child_that_ends_in_order_is_kept_but_not_restarted",
        "supervision/test_decisions.py::test_a_transient_child_is_restarted_after_an_abnormal_exit",
    ),
    "B 1.3 temporary": ("supervision/test_decisions.py::test_a_temporary_child_is_forgotten_after_every_exit",),
    "B 1.3 a non-restarting death touches nobody": (
        "supervision/test_group_strategies.py::test_a_death_that_is_not_answered_by_a_restart_touches_nobody",
    ),
    "B 1.3 what is logged": (
        "supervision/test_crash_reports.py::test_every_end_by_itself_is_an_event_also_an_orderly_one",
        "supervision/test_crash_reports.py::test_an_orderly_end_is_not_reported",
    ),
    "B 1.3 siblings that die together": (
        "supervision/test_group_strategies.py::test_siblings_that_die_together_older_first_are_one_event",
        "supervision/test_group_strategies.py::test_siblings_that_die_together_younger_first_are_two_events_under_rest_for_one",
        "supervision/test_group_strategies.py::test_siblings_that_die_together_are_two_events_under_one_for_one",
        "supervision/test_hard_cases.py::test_two_siblings_are_killed_at_the_same_instant",
    ),
    "B 1.4 one_for_one": (
        "supervision/test_machine_restarting.py::test_a_crashed_child_is_restarted_in_its_slot_and_nobody_else_is_touched",
    ),
    "B 1.4 one_for_all": (
        "supervision/test_group_strategies.py::test_under_one_for_all_the_others_stop_from_right_to_left_then_all_start_from_left_to_right",
    ),
    "B 1.4 rest_for_one": (
        "supervision/test_group_strategies.py::test_under_rest_for_one_those_after_it_stop_from_right_to_left_and_start_with_it",
        "supervision/test_group_strategies.py::test_the_last_child_under_rest_for_one_is_restarted_alone",
    ),
    "B 1.4 simple_one_for_one": (
        "supervision/test_dynamic_supervisor.py::test_a_child_is_restarted_or_forgotten_and_nothing_between",
    ),
    "B 1.4 those that were not running come back": (
        "supervision/test_group_strategies.py::test_siblings_at_rest_come_back_with_their_group",
        "supervision/test_group_strategies.py::test_a_sibling_at_rest_before_the_dead_one_stays_there_under_rest_for_one",
    ),
    "B 1.4 temporary siblings are dropped": (
        "supervision/test_group_strategies.py::test_temporary_siblings_are_stopped_and_their_spec_dropped",
    ),
    "B 1.4 one unit": ("supervision/test_group_strategies.py::test_a_group_costs_one_however_many_it_has",),
    "B 1.4 a start by hand touches one": (
        "supervision/test_group_strategies.py::test_a_start_by_hand_touches_only_that_child",
    ),
    "B 1.4 a death while a later sibling starts": (
        "supervision/test_group_interruptions.py::test_a_death_while_a_later_sibling_boots_is_handled_after_the_boot",
        "supervision/test_group_interruptions.py::test_a_child_that_waited_and_fails_during_the_boot_does_not_stop_those_that_boot",
    ),
    "B 1.5 more than the intensity": (
        "supervision/test_intensity_rules.py::test_more_than_the_limit_gives_up_under_every_strategy",
    ),
    "B 1.5 sliding, inclusive": ("supervision/test_intensity_rules.py::test_the_window_slides_and_its_edge_counts",),
    "B 1.5 one counter": ("supervision/test_intensity_rules.py::test_one_counter_is_shared_by_all_children",),
    "B 1.5 failed attempts": (
        "supervision/test_group_strategies.py::test_a_group_whose_start_always_fails_is_tried_as_often_as_the_limit_says",
    ),
    "B 1.5 what is not counted": (
        "supervision/test_intensity_rules.py::test_what_nobody_is_restarted_for_costs_nothing",
    ),
    "B 1.5 no delay, and calls in between": (
        "supervision/test_decisions.py::test_without_a_backoff_a_restart_does_not_wait",
        "supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",
    ),
    "B 1.5 order of giving up": (
        "supervision/test_intensity_rules.py::test_giving_up_stops_the_others_from_right_to_left_and_ends_with_the_reason_shutdown",
    ),
    "B 1.5 the known hole": (
        "supervision/test_intensity_rules.py::test_a_loop_that_is_slow_to_stop_does_not_go_on_for_ever",
    ),
    "B 1.5 levels multiply": ("supervision/test_supervisor.py::test_giving_up_goes_up_to_the_root_when_nothing_helps",),
    "B 1.6 start": (
        "supervision/test_machine_starting.py::test_a_first_start_that_fails_ends_the_supervisor_and_is_not_retried",
        "supervision/test_machine_starting.py::test_a_child_that_declines_is_kept_at_rest_and_the_boot_goes_on",
    ),
    "B 1.6 stop of one child": (
        "supervision/test_machine_stopping.py::test_a_child_that_does_not_stop_in_its_time_is_abandoned_and_the_stop_goes_on",
        "supervision/test_machine_stopping.py::test_a_child_that_crashes_by_itself_as_it_is_told_to_stop_is_stopped_with_its_true_reason",
    ),
    "B 1.6 a clean outcome": ("supervision/test_crash_reports.py::test_a_stop_that_went_wrong_is_reported",),
    "B 1.6 one after another": (
        "supervision/test_machine_stopping.py::test_children_stop_from_right_to_left_one_at_a_time",
    ),
    "B 1.6 dynamic children stop in parallel": (
        "supervision/test_dynamic_supervisor.py::test_each_child_has_its_own_time_to_stop",
        "supervision/test_dynamic_supervisor.py::test_a_child_that_ignores_its_stop_delays_nobody_else",
    ),
    "B 1.6 a killed supervisor": (
        "supervision/test_supervisor.py::test_a_killed_supervisor_takes_its_children_with_it",
    ),
    "B 1.7 calls while restarting": (
        "supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",
        "supervision/test_machine_restarting.py::test_a_stop_by_hand_cancels_the_delay",
    ),
    "B 1.7 which_children and count_children": ("supervision/test_calls.py::test_looking_is_answered_in_every_state",),
    "B 1.7 one_for_all fails at k": (
        "supervision/test_group_strategies.py::test_one_for_all_stops_those_already_restarted_when_one_fails_and_tries_all_again",
    ),
    "B 1.7 rest_for_one fails at k": (
        "supervision/test_group_strategies.py::test_rest_for_one_keeps_those_before_the_one_that_failed",
    ),
    "B 1.7 terminating the failing child": (
        "supervision/test_group_strategies.py::test_terminating_the_child_that_fails_leaves_later_ones_stopped",
        "supervision/test_group_strategies.py::test_terminating_the_child_that_fails_while_it_starts_leaves_later_ones_stopped",
        "supervision/test_group_strategies.py::test_terminating_another_member_takes_only_that_one_out",
    ),
    "B 1.7 ignore": (
        "supervision/test_group_strategies.py::test_a_member_that_declines_rests_and_the_group_goes_on",
        "supervision/test_machine_starting.py::test_a_restart_that_declines_leaves_the_child_at_rest_and_was_charged",
    ),
    "B 1.7 it can be stopped during the loop": (
        "supervision/test_group_interruptions.py::test_a_supervisor_that_stops_in_the_middle_of_a_group_restart_starts_nothing_more",
    ),
    "B 1.8 escalation by restart type": (
        "supervision/test_intensity_rules.py::test_what_a_parent_does_follows_from_the_restart_type",
        "supervision/test_intensity_rules.py::test_a_sub_supervisor_that_gave_up_is_restarted_with_its_group",
    ),
    "B 1.8 dynamic children are lost, deleted specs back": (
        "supervision/test_intensity_rules.py::test_a_restarted_sub_supervisor_has_its_static_children_only_and_all_of_them",
    ),
    "B 1.9 which ends": (
        "supervision/test_auto_shutdown.py::test_only_an_end_that_is_not_answered_by_a_restart_counts",
    ),
    "B 1.9 any and all": (
        "supervision/test_auto_shutdown.py::test_any_significant_ends_with_the_first_all_significant_with_the_last",
        "supervision/test_auto_shutdown.py::test_a_significant_child_on_its_way_counts_as_alive",
        "supervision/test_auto_shutdown.py::test_one_that_a_call_stopped_or_is_stopping_is_gone",
        "supervision/test_auto_shutdown.py::test_who_is_alive_is_asked_when_the_boot_is_over",
    ),
    "B 1.9 never by": (
        "supervision/test_auto_shutdown.py::test_a_stop_by_a_call_never_ends_the_supervisor_but_counts_as_gone",
        "supervision/test_auto_shutdown.py::test_being_stopped_in_a_group_restart_never_ends_the_supervisor",
        "supervision/test_auto_shutdown.py::test_declining_never_ends_the_supervisor",
    ),
    "B 1.9 a crash is restarted": (
        "supervision/test_auto_shutdown.py::test_only_an_end_that_is_not_answered_by_a_restart_counts",
    ),
    "B 1.9 order and nesting": (
        "supervision/test_auto_shutdown.py::test_the_remaining_children_stop_from_right_to_left_and_nobody_is_charged",
        "supervision/test_auto_shutdown.py::test_significant_sub_supervisors_pass_it_on",
    ),
    "B 1.10 start_link": (
        "supervision/test_calls.py::test_a_supervisor_that_cannot_be_right_starts_nobody",
        "supervision/test_supervisor.py::test_a_sub_supervisor_whose_start_fails_is_a_failed_start",
    ),
    "B 1.10 start_child": (
        "supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",
        "supervision/test_calls.py::test_start_child_checks_as_the_start_of_the_supervisor_does",
        "supervision/test_calls.py::test_a_start_that_fails_is_told_with_its_reason",
    ),
    "B 1.10 terminate_child": ("supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",),
    "B 1.10 restart_child": (
        "supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",
        "supervision/test_calls.py::test_a_start_that_fails_is_told_with_its_reason",
    ),
    "B 1.10 delete_child": ("supervision/test_calls.py::test_each_call_in_each_state_has_its_typed_answer",),
    "B 1.10 which_children": ("supervision/test_calls.py::test_the_typed_calls_do_what_the_messages_do",),
    "B 1.10 count_children": ("supervision/test_calls.py::test_the_typed_calls_do_what_the_messages_do",),
    "B 1.10 get_childspec": (
        "supervision/test_calls.py::test_looking_is_answered_in_every_state",
        "supervision/test_calls.py::test_a_ref_of_another_supervisors_child_is_nobody_here",
    ),
    "B 1.10 check_childspecs": (
        "supervision/test_calls.py::test_a_spec_that_cannot_be_right_is_refused_when_it_is_made",
    ),
    "B 1.10 dynamic children stand at the end": (
        "supervision/test_machine_stopping.py::test_a_dynamic_child_stops_before_those_that_were_there",
    ),
    "B 1.10 unexpected messages": (
        "supervision/test_supervisor.py::test_an_unknown_message_to_a_supervisor_is_dropped_with_a_warning",
    ),
    "B 1.10 code_change": (
        "supervision/test_change.py::test_one_mistake_changes_nothing_settings_included",
        "supervision/test_change.py::test_what_stays_is_checked_with_what_is_new",
        "supervision/test_change.py::test_known_ids_get_their_new_spec_without_a_restart",
        "supervision/test_change.py::test_new_ids_are_added_stopped_and_missing_ones_run_on_behind_the_others",
        "supervision/test_change.py::test_a_new_limit_counts_at_once_and_what_was_spent_stays_spent",
    ),
}


def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_named_test_is_there() -> None:
    """A test that was renamed or removed must not leave its rule unguarded."""
    named = {name for names in RULES.values() for name in names}
    files = {name.split("::")[0] for name in named}
    there = {f"{file}::{function}" for file in files for function in _functions(TESTS / file)}

    assert set() == named - there
    assert all(name.split("::")[1].startswith("test_") for name in named)


def test_every_rule_has_a_test() -> None:
    assert set() == {rule for rule, names in RULES.items() if not names}


@pytest.mark.parametrize("section", [f"A.{number}" for number in range(1, 19)] + [f"B 1.{n}" for n in range(3, 11)])
def test_every_section_of_the_rules_is_in_the_map(section: str) -> None:
    """A.1 to A.18, and B 1.3 to B 1.10."""
    assert any(rule.startswith(f"{section} ") for rule in RULES)
