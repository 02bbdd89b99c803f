//! What every engine promises, tried through its public methods; and what the embedded one promises when power,
//! disk or memory give out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod away;
mod cluster;
mod contract;
mod crash;
mod gate;
mod secured;
mod stage;
mod together;

/// Runs cases, each on an empty log of its own.
macro_rules! cases {
    ($name:ident on $stage:expr; $($module:ident: $($case:ident)+;)+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let stage = $stage;
                    let case = crate::contract::$module::$case(&stage);
                    tokio::time::timeout(crate::stage::PATIENCE, case).await.expect("the case ends in time");
                    stage.engine().close();
                })+
            })+
        }
    };
}

/// What every engine promises.
macro_rules! contract {
    ($name:ident on $stage:expr) => {
        cases! {
        $name on $stage;
        topics:
            a_topic_is_described_as_it_was_made
            a_name_is_taken_once
            bad_names_are_refused
            a_topic_has_1_to_10000_partitions
            an_unknown_setting_is_answered_with_the_nearest
            altering_only_adds_partitions
            a_topic_made_again_is_another_one
            a_topic_that_is_not_there_is_not_found
            many_make_the_same_topic_and_one_succeeds
            deletion_meets_everything_else
            internal_topics_are_written_by_floe_only;
        append:
            keys_go_where_kafkas_clients_send_them
            the_partition_asked_for_wins
            keyless_records_of_one_append_stay_together
            what_is_read_is_what_was_appended
            many_records_are_stored_whole_or_not_at_all
            a_record_over_the_topics_limit_is_refused
            much_in_one_append_keeps_its_order
            the_promise_decides_what_is_answered
            log_append_time_replaces_the_senders
            singles_and_batches_keep_their_order;
        idempotency:
            a_repeat_gets_the_first_answer
            who_gives_up_can_repeat_at_once
            another_content_is_a_conflict
            two_hundred_at_once_store_one_record
            a_repeat_across_partitions_gets_every_place
            a_key_too_long_is_refused
            keys_outlive_a_restart
            keys_are_forgotten_after_their_window;
        read:
            limits_bound_a_page
            the_first_record_comes_whatever_its_size
            a_reader_that_waits_is_woken
            a_wait_without_records_ends
            an_offset_outside_is_refused
            a_time_finds_its_record
            a_cursor_resumes_exactly
            large_batches_of_many_partitions_are_all_read
            the_newest_records_are_found
            a_cursor_of_another_topic_is_refused
            reading_while_writing_skips_nothing;
        tail:
            a_tail_gets_exactly_what_comes_after
            many_writers_and_nothing_is_missed
            history_and_tail_meet_without_gap
            a_tail_far_behind_misses_nothing
            a_deleted_topics_tail_ends
            a_stopped_engines_tail_ends;
        poll:
            records_are_acknowledged_once
            a_lease_that_runs_out_is_given_out_again
            acknowledgements_may_come_in_any_order
            two_readers_never_get_the_same_record
            what_is_committed_at_once_survives_a_restart
            committing_readers_wait_for_open_leases
            a_poll_without_subscription_is_refused_when_one_is_required
            one_partition_can_be_polled_alone
            a_poll_that_waits_is_woken;
        groups:
            subscribing_again_keeps_the_positions
            an_active_group_is_not_reset
            positions_can_be_moved_anywhere
            a_deleted_group_is_gone
            lag_is_what_is_left_to_read
            positions_outlive_a_restart
            group_names_are_checked
            concurrent_acknowledgements_never_go_back
            every_partition_has_one_owner
            a_silent_member_is_fenced
            a_commit_needs_the_partition
            what_members_say_of_themselves_is_there_for_others;
        retention:
            what_retention_took_is_passed_over;
        health:
            a_healthy_engine_is_writable
            a_stopped_engine_refuses
            a_log_keeps_its_id;
        }
    };
}

contract!(embedded on crate::stage::Stage::new());
contract!(kafka_kraft on crate::stage::Stage::on(crate::cluster::Cluster::kraft().await).await);
contract!(kafka_zookeeper on crate::stage::Stage::on(crate::cluster::Cluster::zookeeper().await).await);

// What only a journal of one's own can promise.
cases! {
    journal on crate::stage::Stage::new();
        append:
            a_record_larger_than_a_frame_is_refused
            dates_of_the_past_are_kept
            times_far_away_are_kept;
        retention:
            old_records_go
            a_partition_keeps_its_bytes
            a_clock_that_jumps_deletes_nothing
            what_is_retained_away_gives_its_space_back
            reading_goes_on_while_segments_are_cleaned;
        health:
            an_ephemeral_engine_leaves_nothing;
}
