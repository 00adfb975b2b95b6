//! The contract of an engine, as functions over a [`Place`](super::Place) that is still empty.

pub mod bad_input;
pub mod claims;
pub mod feed;
mod gate;
pub mod leases;
pub mod live;
pub mod nested;
pub mod pages;
pub mod queue;
pub mod reads;
pub mod rows;
pub mod schema;
mod spans;
pub mod transactions;
pub mod upkeep;

/// Makes a module of tests, one for each promise of the contract: `engine_contract!(name, place)`,
/// where `place` is an expression that makes an empty [`Place`](crate::store::Place).
#[macro_export]
macro_rules! engine_contract {
    ($name:ident, $place:expr) => {
        mod $name {
            use super::*;

            $crate::engine_contract! { @group transactions, $place;
                own_writes_are_merged_into_every_read
                an_error_changes_nothing
                a_panic_changes_nothing
                failures_leave_their_neighbours_committed
                a_swallowed_error_leaves_nothing_of_what_failed
                the_callers_own_error_comes_back_typed
                who_has_the_answer_sees_the_mutation
                a_query_reads_one_snapshot
                concurrent_increments_lose_nothing
                mutations_take_effect_one_after_the_other
                a_retry_begins_from_untouched_captures
                a_unique_key_has_one_winner
                a_mutation_that_changes_nothing_writes_nothing
                lanes_keep_their_order
                a_mutation_has_one_time
                ids_grow_across_openings_and_clocks
            }
            $crate::engine_contract! { @group rows, $place;
                rows_are_inserted_once
                a_new_row_is_not_looked_for
                a_row_that_was_shown_is_not_read_again
                a_row_that_was_shown_is_written_as_it_is
                a_deleted_id_is_free_again
                rows_are_changed_in_place
                rows_are_deleted_once
                a_unique_key_moves_within_a_mutation
            }
            $crate::engine_contract! { @group nested, $place;
                a_nested_error_undoes_only_its_own_writes
                a_nested_panic_undoes_only_its_own_writes
                an_outer_scope_decides_over_its_inner_ones
                scopes_nest_deeply
                a_scope_asks_the_engine_for_nothing
                undone_rows_are_restored_exactly
                what_an_undone_scope_read_stays_read
            }
            $crate::engine_contract! { @group queue, $place;
                a_mutation_past_its_deadline_never_runs
                a_deadline_that_passes_in_the_queue_is_answered_at_once
                a_deadline_does_not_stop_what_has_started
                a_mutation_dropped_before_it_starts_never_runs
                a_mutation_dropped_after_it_starts_is_completed
                callers_wait_while_the_queue_is_full
                no_caller_at_a_full_queue_is_lost
                a_closed_store_completes_what_it_has_and_refuses_more
            }
            $crate::engine_contract! { @group reads, $place;
                a_span_is_read_in_key_order
                every_span_reads_what_a_filter_and_a_sort_would
                bounds_and_limits_only_narrow
                a_partial_index_leaves_rows_out
                keys_of_every_type_are_in_order
                a_visitor_stops_fails_and_reads
                compact_and_clustered_tables_read_the_same
            }
            $crate::engine_contract! { @group pages, $place;
                pages_end_exactly_at_the_end
                a_pages_size_overrides_the_spans_limit
                pages_stay_stable_while_rows_come_and_go
                pages_by_id_stay_stable_while_rows_come_and_go
                a_cursor_survives_as_text
            }
            $crate::engine_contract! { @group schema, $place;
                each_opening_is_a_new_epoch_of_the_same_store
                a_new_table_is_entered
                a_table_of_another_program_stays_untouched
                a_new_index_is_filled
                a_changed_index_is_filled_anew
                a_redeclared_index_is_filled_anew
                a_changed_clustering_index_is_filled_anew
                an_index_that_comes_back_is_right
                older_record_versions_are_upgraded
                an_upgraded_row_is_written_as_todays_version
                a_version_without_an_upgrade_is_refused
                unknown_fields_survive_an_update
                a_newer_table_is_refused
                a_newer_index_is_refused
                a_changed_codec_is_refused
                an_index_becomes_unique_only_over_unique_keys
                a_refused_opening_raises_no_version
            }
            $crate::engine_contract! { @group bad_input, $place;
                a_record_above_the_limit_is_refused
                a_key_above_the_limit_is_refused
                nan_is_refused_in_keys
                a_float_that_json_cannot_hold_is_refused
                an_unknown_id_is_named
                a_duplicate_key_names_its_holder
                a_table_that_is_not_in_the_store_is_named
                tables_that_do_not_fit_together_are_named
                a_cursor_of_another_query_is_refused
                a_forged_cursor_does_not_leave_its_span
                a_page_of_no_rows_is_refused
                a_query_that_panics_harms_nobody_else
                ten_thousand_watchers_go_at_once
            }
            $crate::engine_contract! { @group live, $place;
                a_commit_wakes_only_whom_it_concerns
                a_move_counts_at_both_ends
                a_delete_wakes
                a_change_that_moves_no_key_wakes
                an_absent_row_is_waited_for
                a_free_unique_key_is_waited_for
                an_empty_range_is_waited_for
                a_full_scan_ends_at_its_last_row
                a_full_scan_against_the_order_ends_at_its_last_row
                a_scan_with_room_covers_its_range
                a_count_covers_its_range
                a_broken_walk_ends_where_it_broke_off
                a_page_ends_at_the_row_behind_it
                a_whole_table_is_covered
                a_row_reached_by_id_counts
                ranges_are_those_of_the_newest_run
                time_does_not_wake
                undone_writes_do_not_wake
                the_first_result_comes_at_once
                an_equal_result_is_not_delivered_twice
                a_slow_consumer_gets_the_newest_result
                a_failing_query_recovers
                a_query_may_fail_from_the_start
                a_panicking_query_recovers
                a_query_may_have_its_own_error
                a_watch_is_a_stream
                waiting_may_be_given_up
                closing_the_store_ends_its_streams
                a_dropped_stream_is_forgotten
                a_stream_may_be_dropped_while_it_reads
                following_reads_only_what_is_new
                following_begins_at_its_cursor
                following_in_batches_comes_to_the_end
                an_unmoved_cursor_delivers_nothing
                following_goes_on_after_an_error
                a_growing_stream_arrives_whole
                racing_commits_reach_every_watcher
                a_watcher_may_begin_among_racing_commits
                one_commit_wakes_a_thousand
            }
            $crate::engine_contract! { @group feed, $place;
                changes_are_told_in_commit_order
                a_mutation_changes_a_row_once
                only_logged_tables_are_told_of
                a_table_once_logged_stays_logged
                changes_are_read_from_any_position
                positions_are_durable
                a_position_never_goes_back
                a_position_beyond_the_log_is_refused
                an_unknown_consumer_is_refused
                the_log_is_kept_for_its_slowest_consumer
                without_consumers_the_log_is_forgotten
                a_new_consumer_can_read_from_its_start
                a_followed_feed_is_complete
                what_is_answered_is_committed
            }
            $crate::engine_contract! { @group leases, $place;
                a_lease_has_one_holder
                a_lease_expires_by_the_clock
                a_renewed_lease_keeps_its_fence
                a_released_lease_is_free
                fences_grow
                reopening_frees_an_unshared_store
                one_of_the_racing_gets_the_lease
                a_stale_holder_settles_nothing
            }
            $crate::engine_contract! { @group claims, $place;
                a_claim_takes_its_count_in_order
                a_claim_keeps_to_its_span
                claimed_rows_are_returned_as_stored
                a_row_that_is_not_taken_stays
                a_claim_can_read
                a_failing_claim_takes_nothing
                racing_claims_take_each_row_once
                claims_do_not_wait_for_each_other
                racing_claims_read_the_same_rows
            }
            $crate::engine_contract! { @group upkeep, $place;
                a_step_runs_when_it_is_concerned
                own_writes_do_not_wake_a_step
                more_is_done_at_once
                a_step_is_followed_up_once
                a_step_runs_at_its_time
                commits_during_a_run_are_not_missed
                a_failed_step_is_tried_again
                a_panicked_step_is_tried_again
                an_upkeep_ends_with_its_tasks
                an_upkeep_ends_with_its_store
            }
        }
    };
    (@group $group:ident, $place:expr; $($promise:ident)*) => {
        mod $group {
            use super::*;

            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::store::contract::$group::$promise(&$place).await;
                }
            )*
        }
    };
}
