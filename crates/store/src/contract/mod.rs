//! What every back end must do, written once. Each function takes a fresh, empty store; the macro
//! makes a test of each for one back end.

mod calls;
mod channel;
mod people;
mod rows;
mod steps;
mod work;

use std::future::Future;

use switchhook_lab::postgres::Cluster;

use crate::store::{Store, StoreOptions};

/// A store and what must outlive it.
pub(crate) struct Fresh {
    pub store: Store,
    pub _directory: Option<tempfile::TempDir>,
}

pub(crate) fn memory() -> impl Future<Output = Fresh> {
    std::future::ready(Fresh {
        store: Store::memory(),
        _directory: None,
    })
}

pub(crate) async fn sqlite() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("t.db").display());
    Fresh {
        store: Store::open(&url, &StoreOptions::default()).await.unwrap(),
        _directory: Some(directory),
    }
}

pub(crate) async fn postgres() -> Fresh {
    let url = Cluster::shared().database();
    Fresh {
        store: Store::open(&url, &StoreOptions::default()).await.unwrap(),
        _directory: None,
    }
}

macro_rules! contract {
    ($backend:ident: $($module:ident { $($case:ident)* })*) => {
        mod $backend {
            $(mod $module {
                $(#[tokio::test]
                async fn $case() {
                    let fresh = crate::contract::$backend().await;
                    crate::contract::$module::$case(&fresh.store).await;
                    fresh.store.close().await;
                })*
            })*
        }
    };
}

macro_rules! over_every_backend {
    ($($cases:tt)*) => {
        contract!(memory: $($cases)*);
        contract!(sqlite: $($cases)*);
        contract!(postgres: $($cases)*);
    };
}

over_every_backend! {
    steps {
        a_step_is_read_back_whole
        a_later_step_replaces_rows_by_id
        a_stale_revision_is_refused_and_leaves_nothing
        rows_of_an_unknown_call_are_refused_with_the_whole_step
        one_bad_step_does_not_lose_the_others
        a_large_batch_is_stored_whole_but_for_what_is_refused
        steps_of_one_caller_are_committed_in_order
        events_are_numbered_in_commit_order
        wire_messages_may_come_before_their_call
        the_same_finding_is_stored_once
        a_step_without_call_row_keeps_the_revision
        a_closed_store_refuses_steps
        many_callers_at_once_all_get_their_commit
    }
    calls {
        lists_are_newest_first_and_pages_join_without_gap
        every_filter_holds
        search_text_is_plain_text
        a_page_is_never_larger_than_the_maximum
        open_calls_are_those_without_an_end
        figures_count_the_span_only
    }
    rows {
        every_part_of_a_call_keeps_its_order
        open_legs_carry_their_dialog
        unfinished_recordings_are_found
        messages_are_paged_and_filtered
        hostile_text_comes_back_unchanged
        findings_are_counted_per_call
        lists_are_completed_in_one_read_each
    }
    work {
        a_key_is_queued_once_for_ever
        work_is_claimed_when_due_and_by_one_only
        a_claim_that_was_not_settled_comes_back
        a_late_settlement_is_refused
        a_refused_settlement_takes_its_step_with_it
        retries_wait_and_keep_the_error
        given_up_work_stays_visible
        work_born_claimed_is_found_only_after_its_lease
        kinds_and_queues_are_kept_apart
        commits_that_queue_work_wake_the_worker
        done_work_is_forgotten_in_time
        several_keys_are_read_at_once
    }
    channel {
        state_and_owner_of_a_call_are_kept
        calls_are_due_until_they_end_or_are_put_off
        a_vendor_id_belongs_to_the_first_call_that_had_it
        a_vendor_id_of_an_unknown_call_is_refused
        a_webhook_is_answered_once
        an_answer_given_is_told_before_a_stale_revision
        of_a_batch_the_first_answer_counts
        answers_are_forgotten_in_time
        a_message_is_found_by_its_vendors_id
        a_tally_begins_anew_when_its_window_is_over
        tallies_added_at_once_are_all_counted
    }
    people {
        users_are_unique_by_name
        bindings_are_replaced_per_extension_and_expire
    }
}

/// Rows for the cases.
pub(crate) mod make {
    use serde_json::json;
    use switchhook_model::{CallId, Direction, LegId, MessageId, Timestamp, TurnId};

    use crate::rows::{CallHead, CallRow, LegRow, MessageRow, NewEvent, TurnRow};
    use crate::work::{NewWork, Queue};

    pub fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(1_763_735_547_000 + second * 1000)
    }

    pub fn id(name: &str) -> CallId {
        CallId::from_unique(name)
    }

    pub fn call(name: &str, second: i64) -> CallRow {
        CallRow {
            head: CallHead {
                id: id(name),
                status: "ringing".into(),
                direction: Direction::Inbound,
                channel: "sip".into(),
                profile: "demo".into(),
                assistant: Some("reception".into()),
                caller: "+12025550100".into(),
                caller_name: Some("Ada".into()),
                callee: "assistant".into(),
                started_at: at(second),
                answered_at: None,
                ended_at: None,
                outcome: None,
            },
            revision: 1,
            snapshot_version: 3,
            snapshot: json!({"state": "ringing", "n": 1}).into(),
            view: json!({"id": name}).into(),
            channel_state: None,
            due_at: None,
            node: None,
        }
    }

    pub fn ended(mut row: CallRow, second: i64, outcome: &str) -> CallRow {
        row.revision += 1;
        row.head.status = "ended".into();
        row.head.ended_at = Some(at(second));
        row.head.outcome = Some(outcome.into());
        row
    }

    pub fn leg(call: &str, n: u32, second: i64) -> LegRow {
        LegRow {
            id: LegId::derive(&id(call), n),
            call: id(call),
            kind: "sip".into(),
            party: "caller".into(),
            target: "2001".into(),
            state: "ringing".into(),
            started_at: at(second),
            answered_at: None,
            ended_at: None,
            cause: None,
            dialog: None,
        }
    }

    pub fn turn(call: &str, n: u32, text: &str) -> TurnRow {
        TurnRow {
            id: TurnId::derive(&id(call), n),
            call: id(call),
            n,
            speaker: "caller".into(),
            text: text.into(),
            started_at: at(i64::from(n)),
            ended_at: Some(at(i64::from(n) + 1)),
            interrupted: false,
            latency: None,
        }
    }

    pub fn message(name: &str, second: i64) -> MessageRow {
        MessageRow {
            id: MessageId::from_unique(name),
            call: None,
            channel: "webhook".into(),
            recipient: "staff".into(),
            text: "please call back".into(),
            state: "queued".into(),
            vendor_id: None,
            error: None,
            created_at: at(second),
            updated_at: at(second),
        }
    }

    pub fn event(call: &str, kind: &str) -> NewEvent {
        NewEvent {
            call: id(call),
            at: at(0),
            kind: kind.into(),
            data: json!({"kind": kind}).into(),
        }
    }

    pub fn work(key: &str, second: i64) -> NewWork {
        NewWork {
            queue: Queue::Outbox,
            key: key.into(),
            kind: "notice".into(),
            call: None,
            payload: json!({"to": key}),
            at: at(0),
            next_at: at(second),
            claimed_until: None,
        }
    }
}
