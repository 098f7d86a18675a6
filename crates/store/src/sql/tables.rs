//! From rows to columns: what is written of each, and what happens to the row that is there already.

use switchhook_model::CallId;

use super::columns::{direction_text, signed};
use crate::json::Json;
use crate::rows::{
    AnswerRow, AttemptRow, CallRow, LegRow, MessageRow, NewEvent, NewWire, RecordingRow,
    TransferRow, TurnRow, VendorIdRow, ViolationRow,
};

/// Takes the values of one row, column by column.
pub(crate) trait Put {
    fn text(&mut self, text: &str) -> &mut Self;
    fn opt_text(&mut self, text: Option<&str>) -> &mut Self;
    fn int(&mut self, n: i64) -> &mut Self;
    fn opt_int(&mut self, n: Option<i64>) -> &mut Self;
}

/// A row of one table.
pub(crate) trait Stored {
    /// The statement before its rows and after them.
    const SQL: [&'static str; 2];
    /// The call that has to be stored, and what this row is called when it is not.
    fn needs(&self) -> Option<(&CallId, &'static str)> {
        None
    }
    /// Rows with the same one replace each other.
    fn identity(&self) -> Option<[&str; 2]> {
        None
    }
    fn put(&self, cells: &mut impl Put);
}

/// The rows of a table in pieces of a few sizes, none of them empty, so that each table has a few
/// texts of statements only and each is prepared once.
pub(crate) fn pieces<'r, T>(mut rows: &'r [&'r T]) -> impl Iterator<Item = &'r [&'r T]> {
    /// Rows to a statement.
    const SIZES: [usize; 4] = [64, 16, 4, 1];
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

impl Stored for CallRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO calls (id, status, direction, channel, profile, assistant, caller,
            caller_name, callee, started_at, answered_at, ended_at, outcome, revision,
            snapshot_version, snapshot, view, channel_state, due_at, node) ",
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status,
            direction = excluded.direction, channel = excluded.channel,
            profile = excluded.profile, assistant = excluded.assistant,
            caller = excluded.caller, caller_name = excluded.caller_name,
            callee = excluded.callee, started_at = excluded.started_at,
            answered_at = excluded.answered_at, ended_at = excluded.ended_at,
            outcome = excluded.outcome, revision = excluded.revision,
            snapshot_version = excluded.snapshot_version, snapshot = excluded.snapshot,
            view = excluded.view, channel_state = excluded.channel_state,
            due_at = excluded.due_at, node = excluded.node
         WHERE calls.revision < excluded.revision",
    ];

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.head.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        let head = &self.head;
        cells
            .text(head.id.as_str())
            .text(head.status.as_str())
            .text(direction_text(head.direction))
            .text(head.channel.as_str())
            .text(head.profile.as_str())
            .opt_text(head.assistant.as_deref())
            .text(head.caller.as_str())
            .opt_text(head.caller_name.as_deref())
            .text(head.callee.as_str())
            .int(head.started_at.as_millis())
            .opt_int(head.answered_at.map(|t| t.as_millis()))
            .opt_int(head.ended_at.map(|t| t.as_millis()))
            .opt_text(head.outcome.as_deref())
            .int(signed(self.revision))
            .int(i64::from(self.snapshot_version))
            .text(self.snapshot.as_str())
            .text(self.view.as_str())
            .opt_text(self.channel_state.as_ref().map(Json::as_str))
            .opt_int(self.due_at.map(|t| t.as_millis()))
            .opt_text(self.node.as_deref());
    }
}

impl Stored for LegRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO legs (id, call_id, kind, party, target, state, started_at,
            answered_at, ended_at, cause, dialog) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, kind = excluded.kind,
            party = excluded.party, target = excluded.target, state = excluded.state,
            started_at = excluded.started_at, answered_at = excluded.answered_at,
            ended_at = excluded.ended_at, cause = excluded.cause, dialog = excluded.dialog",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a leg"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .text(self.call.as_str())
            .text(self.kind.as_str())
            .text(self.party.as_str())
            .text(self.target.as_str())
            .text(self.state.as_str())
            .int(self.started_at.as_millis())
            .opt_int(self.answered_at.map(|t| t.as_millis()))
            .opt_int(self.ended_at.map(|t| t.as_millis()))
            .opt_text(self.cause.as_deref())
            .opt_text(self.dialog.as_ref().map(Json::as_str));
    }
}

impl Stored for TransferRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO transfers (id, call_id, reason, department, requested_at, ended_at,
            outcome) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,
            reason = excluded.reason, department = excluded.department,
            requested_at = excluded.requested_at, ended_at = excluded.ended_at,
            outcome = excluded.outcome",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a transfer"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .text(self.call.as_str())
            .text(self.reason.as_str())
            .opt_text(self.department.as_deref())
            .int(self.requested_at.as_millis())
            .opt_int(self.ended_at.map(|t| t.as_millis()))
            .opt_text(self.outcome.as_deref());
    }
}

impl Stored for AttemptRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO attempts (id, transfer_id, call_id, leg_id, target, ring_timeout_s,
            result, sip_status, started_at, ended_at) ",
        "ON CONFLICT (id) DO UPDATE SET transfer_id = excluded.transfer_id,
            call_id = excluded.call_id, leg_id = excluded.leg_id, target = excluded.target,
            ring_timeout_s = excluded.ring_timeout_s, result = excluded.result,
            sip_status = excluded.sip_status, started_at = excluded.started_at,
            ended_at = excluded.ended_at",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a dial attempt"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .text(self.transfer.as_str())
            .text(self.call.as_str())
            .opt_text(self.leg.as_ref().map(|leg| leg.as_str()))
            .text(self.target.as_str())
            .int(i64::from(self.ring_timeout_s))
            .opt_text(self.result.as_deref())
            .opt_int(self.sip_status.map(i64::from))
            .int(self.started_at.as_millis())
            .opt_int(self.ended_at.map(|t| t.as_millis()));
    }
}

impl Stored for TurnRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO turns (id, call_id, n, speaker, text, started_at, ended_at,
            interrupted, latency) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, n = excluded.n,
            speaker = excluded.speaker, text = excluded.text,
            started_at = excluded.started_at, ended_at = excluded.ended_at,
            interrupted = excluded.interrupted, latency = excluded.latency",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a turn"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .text(self.call.as_str())
            .int(i64::from(self.n))
            .text(self.speaker.as_str())
            .text(self.text.as_str())
            .int(self.started_at.as_millis())
            .opt_int(self.ended_at.map(|t| t.as_millis()))
            .int(i64::from(self.interrupted))
            .opt_text(self.latency.as_ref().map(ToString::to_string).as_deref());
    }
}

impl Stored for RecordingRow {
    // What is finished stays so: a carrier tells of a recording in several ways, in any order.
    const SQL: [&'static str; 2] = [
        "INSERT INTO recordings (id, call_id, file, state, started_at, ended_at,
            duration_ms, error) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, file = excluded.file,
            state = CASE excluded.state WHEN 'recording' THEN recordings.state
                ELSE excluded.state END,
            started_at = CASE excluded.state WHEN 'recording' THEN recordings.started_at
                ELSE excluded.started_at END,
            ended_at = COALESCE(excluded.ended_at, recordings.ended_at),
            duration_ms = COALESCE(excluded.duration_ms, recordings.duration_ms),
            error = CASE excluded.state WHEN 'recording' THEN recordings.error
                ELSE excluded.error END",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a recording"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .text(self.call.as_str())
            .text(self.file.as_str())
            .text(self.state.as_str())
            .int(self.started_at.as_millis())
            .opt_int(self.ended_at.map(|t| t.as_millis()))
            .opt_int(self.duration_ms.map(signed))
            .opt_text(self.error.as_deref());
    }
}

impl Stored for MessageRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO messages (id, call_id, channel, recipient, text, state, vendor_id,
            error, created_at, updated_at) ",
        "ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,
            channel = excluded.channel, recipient = excluded.recipient,
            text = excluded.text, state = excluded.state, vendor_id = excluded.vendor_id,
            error = excluded.error, created_at = excluded.created_at,
            updated_at = excluded.updated_at",
    ];

    fn identity(&self) -> Option<[&str; 2]> {
        Some([self.id.as_str(), ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.id.as_str())
            .opt_text(self.call.as_ref().map(|call| call.as_str()))
            .text(self.channel.as_str())
            .text(self.recipient.as_str())
            .text(self.text.as_str())
            .text(self.state.as_str())
            .opt_text(self.vendor_id.as_deref())
            .opt_text(self.error.as_deref())
            .int(self.created_at.as_millis())
            .int(self.updated_at.as_millis());
    }
}

impl Stored for NewEvent {
    const SQL: [&'static str; 2] = ["INSERT INTO events (call_id, at, kind, data) ", ""];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "an event"))
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.call.as_str())
            .int(self.at.as_millis())
            .text(self.kind.as_str())
            .text(self.data.as_str());
    }
}

impl Stored for NewWire {
    const SQL: [&'static str; 2] = [
        "INSERT INTO wire (at, call_id, leg_id, direction, peer, summary, sip_call_id,
            cseq, raw) ",
        "",
    ];

    fn put(&self, cells: &mut impl Put) {
        cells
            .int(self.at.as_millis())
            .opt_text(self.call.as_ref().map(|call| call.as_str()))
            .opt_text(self.leg.as_ref().map(|leg| leg.as_str()))
            .text(self.direction.as_str())
            .text(self.peer.as_str())
            .text(self.summary.as_str())
            .opt_text(self.sip_call_id.as_deref())
            .opt_text(self.cseq.as_deref())
            .text(self.raw.as_str());
    }
}

impl Stored for ViolationRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO violations (call_id, code, detail, at, cause, cure) ",
        // Not by its columns: PostgreSQL keeps a digest of the last one.
        "ON CONFLICT DO NOTHING",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a violation"))
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(self.call.as_str())
            .text(self.code.as_str())
            .text(self.detail.as_str())
            .int(self.at.as_millis())
            .text(self.cause.as_str())
            .text(self.cure.as_str());
    }
}

impl Stored for VendorIdRow {
    const SQL: [&'static str; 2] = [
        "INSERT INTO vendor_ids (vendor, vendor_id, call_id, leg_id) ",
        "ON CONFLICT (vendor, vendor_id) DO UPDATE SET leg_id = excluded.leg_id
         WHERE vendor_ids.call_id = excluded.call_id AND excluded.leg_id IS NOT NULL",
    ];

    fn needs(&self) -> Option<(&CallId, &'static str)> {
        Some((&self.call, "a vendor's id"))
    }

    fn identity(&self) -> Option<[&str; 2]> {
        Some([&self.vendor, &self.vendor_id])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(&self.vendor)
            .text(&self.vendor_id)
            .text(self.call.as_str())
            .opt_text(self.leg.as_ref().map(|leg| leg.as_str()));
    }
}

impl Stored for AnswerRow {
    const SQL: [&'static str; 2] = ["INSERT INTO answers (key, call_id, at, body) ", ""];

    fn identity(&self) -> Option<[&str; 2]> {
        Some([&self.key, ""])
    }

    fn put(&self, cells: &mut impl Put) {
        cells
            .text(&self.key)
            .opt_text(self.call.as_ref().map(|call| call.as_str()))
            .int(self.at.as_millis())
            .text(&self.body);
    }
}
