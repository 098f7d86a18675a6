//! From columns to rows.

use super::columns::{Columns, direction_from};
use crate::error::StoreError;
use crate::rows::{
    AnswerRow, AttemptRow, BindingRow, CallHead, CallRow, EventRow, LegRow, MessageRow,
    RecordingRow, RecordingState, TransferRow, TurnRow, UserRow, VendorIdRow, ViolationRow,
    WireDirection, WireRow,
};
use crate::work::{Queue, WorkRow, WorkState};

/// A row of one table.
pub(crate) trait Readable: Sized {
    const TABLE: &'static str;
    /// The column that names the row in messages.
    const KEY: &'static str;
    fn read(row: &Columns<'_>) -> Result<Self, StoreError>;
}

impl Readable for CallHead {
    const TABLE: &'static str = "calls";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            status: row.text("status")?,
            direction: row.word("direction", direction_from)?,
            channel: row.text("channel")?,
            profile: row.text("profile")?,
            assistant: row.opt_text("assistant")?,
            caller: row.text("caller")?,
            caller_name: row.opt_text("caller_name")?,
            callee: row.text("callee")?,
            started_at: row.time("started_at")?,
            answered_at: row.opt_time("answered_at")?,
            ended_at: row.opt_time("ended_at")?,
            outcome: row.opt_text("outcome")?,
        })
    }
}

impl Readable for CallRow {
    const TABLE: &'static str = CallHead::TABLE;
    const KEY: &'static str = CallHead::KEY;

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            head: CallHead::read(row)?,
            revision: row.number("revision")?,
            snapshot_version: row.number("snapshot_version")?,
            snapshot: row.json("snapshot")?,
            view: row.json("view")?,
            channel_state: row.opt_json("channel_state")?,
            due_at: row.opt_time("due_at")?,
            node: row.opt_text("node")?,
        })
    }
}

impl Readable for LegRow {
    const TABLE: &'static str = "legs";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            call: row.parsed("call_id")?,
            kind: row.text("kind")?,
            party: row.text("party")?,
            target: row.text("target")?,
            state: row.text("state")?,
            started_at: row.time("started_at")?,
            answered_at: row.opt_time("answered_at")?,
            ended_at: row.opt_time("ended_at")?,
            cause: row.opt_text("cause")?,
            dialog: row.opt_json("dialog")?,
        })
    }
}

impl Readable for TransferRow {
    const TABLE: &'static str = "transfers";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            call: row.parsed("call_id")?,
            reason: row.text("reason")?,
            department: row.opt_text("department")?,
            requested_at: row.time("requested_at")?,
            ended_at: row.opt_time("ended_at")?,
            outcome: row.opt_text("outcome")?,
        })
    }
}

impl Readable for AttemptRow {
    const TABLE: &'static str = "attempts";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            transfer: row.parsed("transfer_id")?,
            call: row.parsed("call_id")?,
            leg: row.opt_parsed("leg_id")?,
            target: row.text("target")?,
            ring_timeout_s: row.number("ring_timeout_s")?,
            result: row.opt_text("result")?,
            sip_status: row.opt_number("sip_status")?,
            started_at: row.time("started_at")?,
            ended_at: row.opt_time("ended_at")?,
        })
    }
}

impl Readable for TurnRow {
    const TABLE: &'static str = "turns";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            call: row.parsed("call_id")?,
            n: row.number("n")?,
            speaker: row.text("speaker")?,
            text: row.text("text")?,
            started_at: row.time("started_at")?,
            ended_at: row.opt_time("ended_at")?,
            interrupted: row.flag("interrupted")?,
            latency: row.opt_value("latency")?,
        })
    }
}

impl Readable for RecordingRow {
    const TABLE: &'static str = "recordings";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            call: row.parsed("call_id")?,
            file: row.text("file")?,
            state: row.word("state", RecordingState::from_text)?,
            started_at: row.time("started_at")?,
            ended_at: row.opt_time("ended_at")?,
            duration_ms: row.opt_number("duration_ms")?,
            error: row.opt_text("error")?,
        })
    }
}

impl Readable for MessageRow {
    const TABLE: &'static str = "messages";
    const KEY: &'static str = "id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            call: row.opt_parsed("call_id")?,
            channel: row.text("channel")?,
            recipient: row.text("recipient")?,
            text: row.text("text")?,
            state: row.text("state")?,
            vendor_id: row.opt_text("vendor_id")?,
            error: row.opt_text("error")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Readable for EventRow {
    const TABLE: &'static str = "events";
    const KEY: &'static str = "call_id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int("id")?,
            call: row.parsed("call_id")?,
            at: row.time("at")?,
            kind: row.text("kind")?,
            data: row.json("data")?,
        })
    }
}

impl Readable for WireRow {
    const TABLE: &'static str = "wire";
    const KEY: &'static str = "call_id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int("id")?,
            at: row.time("at")?,
            call: row.opt_parsed("call_id")?,
            leg: row.opt_parsed("leg_id")?,
            direction: row.word("direction", WireDirection::from_text)?,
            peer: row.text("peer")?,
            summary: row.text("summary")?,
            sip_call_id: row.opt_text("sip_call_id")?,
            cseq: row.opt_text("cseq")?,
            raw: row.text("raw")?,
        })
    }
}

impl Readable for ViolationRow {
    const TABLE: &'static str = "violations";
    const KEY: &'static str = "call_id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            call: row.parsed("call_id")?,
            code: row.text("code")?,
            detail: row.text("detail")?,
            at: row.time("at")?,
            cause: row.text("cause")?,
            cure: row.text("cure")?,
        })
    }
}

impl Readable for VendorIdRow {
    const TABLE: &'static str = "vendor_ids";
    const KEY: &'static str = "vendor_id";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            vendor: row.text("vendor")?,
            vendor_id: row.text("vendor_id")?,
            call: row.parsed("call_id")?,
            leg: row.opt_parsed("leg_id")?,
        })
    }
}

impl Readable for AnswerRow {
    const TABLE: &'static str = "answers";
    const KEY: &'static str = "key";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            key: row.text("key")?,
            call: row.opt_parsed("call_id")?,
            at: row.time("at")?,
            body: row.text("body")?,
        })
    }
}

impl Readable for WorkRow {
    const TABLE: &'static str = "work";
    const KEY: &'static str = "key";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int("id")?,
            queue: row.word("queue", Queue::from_text)?,
            key: row.text("key")?,
            kind: row.text("kind")?,
            call: row.opt_parsed("call_id")?,
            payload: row.value("payload")?,
            state: row.word("state", WorkState::from_text)?,
            attempts: row.number("attempts")?,
            next_at: row.time("next_at")?,
            last_error: row.opt_text("last_error")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Readable for UserRow {
    const TABLE: &'static str = "users";
    const KEY: &'static str = "name";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.text("name")?,
            password_hash: row.text("password_hash")?,
            role: row.text("role")?,
            credential_version: row.number("credential_version")?,
            disabled: row.flag("disabled")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Readable for BindingRow {
    const TABLE: &'static str = "bindings";
    /// Not the contact: it names a person's network.
    const KEY: &'static str = "extension";

    fn read(row: &Columns<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            extension: row.text("extension")?,
            contact: row.text("contact")?,
            data: row.value("data")?,
            expires_at: row.time("expires_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}
