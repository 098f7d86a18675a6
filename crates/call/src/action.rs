//! What a call wants done, and what it reports.

use serde::{Deserialize, Serialize};
use switchhook_model::{
    AttemptId, HangupCause, LegId, MessageId, RecordingId, RequestId, Target, TransferId,
};

use crate::event::{Heard, ReferReport, SayId};
use crate::leg::{HeldBy, Party};
use crate::notice::{NoticeBody, NoticeTemplate};
use crate::outcome::CallOutcome;
use crate::texts::TextKey;
use crate::transfer::{AttemptResult, Requester, TransferOutcome};

/// One thing to do. Carried out at most once per `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Unique within the call and growing.
    pub seq: u64,
    /// What to do.
    pub kind: ActionKind,
}

/// How the assistant begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// With the profile's greeting, then listening.
    Greeting,
    /// Without a word and not listening: only to say what [`ActionKind::Say`] asks for. A later
    /// [`ActionKind::ResumeAssistant`] makes it listen.
    Silent,
}

/// Commands, in the imperative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Tell the far end of an inbound leg that it rings (180).
    Ring {
        /// The inbound leg.
        leg: LegId,
    },
    /// Answer an inbound leg. `LegAnswered` reports that its media is open, `LegFailed` or
    /// `LegEnded` that it did not come to that.
    Answer {
        /// The inbound leg.
        leg: LegId,
    },
    /// Refuse an inbound leg that was not answered.
    Reject {
        /// The inbound leg.
        leg: LegId,
        /// SIP status, 4xx to 6xx.
        status: u16,
    },
    /// Call a target as a new leg. Only the call's own timer ends the ringing; `ring_timeout_s` is
    /// for the Expires header and for the shell's information.
    Dial {
        /// The new leg's id.
        leg: LegId,
        /// Whom to call.
        target: Target,
        /// Seconds until the call gives up.
        ring_timeout_s: u32,
        /// The number to show, if the policy has one.
        caller_id: Option<String>,
        /// The dial attempt this carries out; none for a direct or outbound call.
        attempt: Option<AttemptId>,
        /// The caller as the called party should see it. Untrusted text: escape it.
        display: String,
    },
    /// Give up a leg that was dialled and has not answered (CANCEL). If it answers all the same,
    /// `LegAnswered` gets a `Hangup`.
    Cancel {
        /// The dialled leg.
        leg: LegId,
    },
    /// End an answered leg (BYE); or one whose answer is under way.
    Hangup {
        /// The leg.
        leg: LegId,
        /// Why.
        cause: HangupCause,
    },
    /// Start or stop playing the ringing tone to a leg.
    Ringback {
        /// The waiting party's leg.
        leg: LegId,
        /// Whether it plays.
        on: bool,
    },
    /// Let a waiting party hear what a leg that rings plays before its answer, or no longer. The
    /// other way nothing is heard.
    EarlyMedia {
        /// The waiting party's leg.
        leg: LegId,
        /// The leg that rings.
        from: LegId,
        /// Whether it is heard.
        on: bool,
    },
    /// Let two legs hear each other. Ends ringback and early media on both.
    Bridge {
        /// One leg, the caller's.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// Separate two bridged legs.
    Unbridge {
        /// One leg, the caller's.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// Connect the assistant with a leg.
    StartAssistant {
        /// The caller's leg.
        leg: LegId,
        /// How it begins.
        opening: Opening,
    },
    /// Make the assistant listen and talk again.
    ResumeAssistant {
        /// What happened meanwhile, in English, for the language model.
        note: String,
    },
    /// Stop listening and thinking; only `Say` is heard until `ResumeAssistant`.
    PauseAssistant,
    /// Cut what the assistant says and disconnect it.
    StopAssistant,
    /// Say a sentence word by word, after those asked for before. `SayFinished` follows.
    Say {
        /// Id of the sentence.
        say: SayId,
        /// Which sentence it is.
        key: TextKey,
        /// Its text in the call's language.
        text: String,
    },
    /// Beep and record the caller's words. The invitation was said already. `MessageTaken` or
    /// `MessageAbandoned` follows.
    TakeMessage,
    /// The caller hung up while leaving a message: answer with `MessageTaken` if anything was said,
    /// else with `MessageAbandoned`. Nothing is said any more.
    FinishMessage,
    /// Put a notice into the outbox, in the transaction that stores this step.
    Notify {
        /// Its id: the same notice never gets a second one.
        message: MessageId,
        /// What it is about.
        template: NoticeTemplate,
        /// What it says.
        body: NoticeBody,
    },
    /// Record what a leg says and hears, on separate channels.
    StartRecording {
        /// The leg, the caller's.
        leg: LegId,
        /// Id of the recording.
        recording: RecordingId,
    },
    /// End a recording.
    StopRecording {
        /// Id of the recording.
        recording: RecordingId,
    },
    /// Put the party of an answered leg on hold by a re-INVITE of ours. `HoldRefused` says if it
    /// would not.
    Hold {
        /// The leg.
        leg: LegId,
    },
    /// Take it back.
    Resume {
        /// The leg.
        leg: LegId,
    },
    /// Start or stop playing hold music to a leg.
    HoldMusic {
        /// The waiting party's leg.
        leg: LegId,
        /// Whether it plays.
        on: bool,
    },
    /// Answer a REFER 202; [`ActionKind::NotifyTransferor`] tells what comes of it.
    AcceptRefer {
        /// The leg it came on.
        leg: LegId,
        /// Which REFER.
        request: RequestId,
    },
    /// Refuse a REFER; nothing was changed.
    RefuseRefer {
        /// The leg it came on.
        leg: LegId,
        /// Which REFER.
        request: RequestId,
        /// SIP status, 4xx to 6xx.
        status: u16,
    },
    /// Tell the transferor how its REFER goes (NOTIFY, RFC 3515 §2.4.5).
    NotifyTransferor {
        /// The leg the REFER came on.
        leg: LegId,
        /// Which REFER.
        request: RequestId,
        /// The status its target's INVITE got: from 200 on it is the last one.
        status: u16,
    },
    /// Ask the far end of a leg to go to a target (REFER). `ReferReported` follows.
    Refer {
        /// The caller's leg.
        leg: LegId,
        /// The dial attempt this carries out.
        attempt: AttemptId,
        /// Where to.
        target: Target,
    },
    /// A fact for log, event stream and ladder.
    Emit(CallEvent),
}

/// Facts about a call, in the past tense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallEvent {
    /// The call came in or was requested.
    CallStarted {
        /// The first leg.
        leg: LegId,
    },
    /// The caller is connected.
    CallAnswered {
        /// The caller's leg.
        leg: LegId,
    },
    /// A dialled leg rings.
    LegRinging {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
    },
    /// A dialled leg plays something before its answer.
    LegEarlyMedia {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
    },
    /// A leg answered; after its `Cancel` that is too late, and it is hung up.
    LegAnswered {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
    },
    /// A leg ended.
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
        /// Why.
        cause: HangupCause,
    },
    /// A leg is held.
    LegHeld {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
        /// Who holds it.
        by: HeldBy,
    },
    /// A leg is held no more.
    LegResumed {
        /// The leg.
        leg: LegId,
        /// Whose it is.
        party: Party,
        /// Who held it.
        by: HeldBy,
    },
    /// The far end's phone would not follow our hold or resume; what we play and hear did.
    HoldRefused {
        /// The leg.
        leg: LegId,
        /// Its answer; none if there was none.
        sip_status: Option<u16>,
    },
    /// An operator's hold came when there was nobody to hold, or no more.
    HoldIgnored {
        /// Why, in English.
        detail: String,
    },
    /// A REFER was refused.
    ReferRefused {
        /// The leg it came on.
        leg: LegId,
        /// Why, in English.
        detail: String,
    },
    /// Another leg stands where one stood.
    LegReplaced {
        /// The leg that was.
        old: LegId,
        /// The leg that is.
        leg: LegId,
        /// Whose it is.
        party: Party,
    },
    /// The far end said how a REFER of ours goes.
    ReferReported {
        /// The dial attempt.
        attempt: AttemptId,
        /// What it said.
        report: ReferReport,
    },
    /// A transfer began.
    TransferRequested {
        /// The transfer.
        transfer: TransferId,
        /// Who asked.
        requested_by: Requester,
        /// The department, if named.
        department: Option<String>,
        /// Why.
        reason: String,
    },
    /// A request was not followed: one is under way, it was seen before, or there were too many.
    TransferIgnored {
        /// The request.
        request: RequestId,
        /// Why, in English.
        detail: String,
    },
    /// A target is being dialled.
    AttemptStarted {
        /// The transfer.
        transfer: TransferId,
        /// The attempt.
        attempt: AttemptId,
        /// Its leg.
        leg: LegId,
        /// Whom.
        target: Target,
        /// Seconds it may ring.
        ring_timeout_s: u32,
    },
    /// A dial attempt is over.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        result: AttemptResult,
        /// The final SIP status, if there was one.
        sip_status: Option<u16>,
    },
    /// Two legs hear each other.
    Bridged {
        /// The caller's leg.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// A transfer is over.
    TransferEnded {
        /// The transfer.
        transfer: TransferId,
        /// How.
        outcome: TransferOutcome,
    },
    /// A sentence of ours is over.
    TextTold {
        /// Its id.
        say: SayId,
        /// Which it is.
        key: TextKey,
        /// How much of it was heard.
        heard: Heard,
    },
    /// A message was taken.
    MessageTaken {
        /// The transfer it belongs to; none if the assistant took it in the conversation.
        transfer: Option<TransferId>,
        /// The transcript.
        text: String,
        /// Its length in milliseconds.
        duration_ms: u64,
        /// Whether audio was kept.
        recorded: bool,
    },
    /// A notice is owed.
    NoticeOwed {
        /// The notice.
        message: MessageId,
    },
    /// A notice was accepted.
    NoticeAccepted {
        /// The notice.
        message: MessageId,
    },
    /// A delivery of a notice failed.
    NoticeRefused {
        /// The notice.
        message: MessageId,
        /// What was said.
        error: String,
        /// Whether it is tried again.
        will_retry: bool,
    },
    /// A notice that was accepted did not reach the staff after all.
    NoticeUndelivered {
        /// The notice.
        message: MessageId,
        /// What the carrier said.
        error: String,
        /// Whether another way is tried.
        will_retry: bool,
    },
    /// The call is over.
    CallEnded {
        /// How.
        outcome: CallOutcome,
    },
}
