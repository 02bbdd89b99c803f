//! What the store promises, tried with a real SQLite file and a real PostgreSQL; and what each of them, and Redis, does
//! when it is gone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod postgres;
mod redis;
mod sqlite;
mod stage;

/// Runs cases for both databases, each on an empty one of its own.
macro_rules! both {
    ($($module:ident: $($case:ident)+;)+) => {
        both!(@ on_sqlite sqlite $($module: $($case)+;)+);
        both!(@ on_postgres postgres $($module: $($case)+;)+);
    };
    (@ $name:ident $kind:ident $($module:ident: $($case:ident)+;)+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let stage = crate::stage::Stage::$kind();
                    let case = crate::contract::$module::$case(&stage);
                    tokio::time::timeout(crate::stage::PATIENCE, case).await.expect("the case ends in time");
                })+
            })+
        }
    };
}

both! {
    positions:
        a_claim_raises_the_epoch_and_keeps_the_position
        a_fenced_owner_writes_nothing
        a_repeated_write_stores_nothing_twice
        positions_of_others_are_their_own
        writes_that_wait_together_are_answered_each
        a_write_that_is_given_up_can_be_made_again;
    rows:
        every_type_is_stored
        bad_rows_are_named_and_the_others_written
        a_repeat_of_a_key_is_passed_over
        what_is_missing_is_refused_by_name
        names_that_could_be_statements_are_refused
        values_that_no_database_takes_are_rejected;
    events:
        an_id_is_stored_once
        many_writers_make_one_order_without_gaps
        listings_are_filtered_and_paged
        counts_are_made_by_name_and_span
        an_erased_event_is_gone_and_its_number_with_it
        events_that_cannot_be_stored_are_rejected;
    feed:
        a_follower_gets_each_event_once_in_order
        nobody_misses_what_is_stored_after_they_began
        following_begins_now_and_not_with_what_was_stored_before
        a_resumed_follower_has_no_gap_and_no_repeat
        another_process_finds_what_was_stored
        filters_are_followers_own
        one_who_waits_is_told;
    migrations:
        a_second_start_changes_nothing
        many_start_at_once
        a_newer_database_is_refused
        foreign_tables_are_refused
        a_database_that_was_emptied_is_made_again;
}
