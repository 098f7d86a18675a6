//! The mouth's data: items in playout order, grouped into turns, and what was cut.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use switchhook_model::Timestamp;

use crate::history::SegmentId;
use crate::io::{SayId, Speaker, TurnLatency};

/// How an item behaves when the caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The assistant's words: dropped by a barge-in.
    Ordered,
    /// Like `Ordered`, but never taken up again, and not part of the model's history.
    Filler,
    /// Call control's words.
    Verbatim {
        interruptible: bool,
    },
    Beep,
}

impl Kind {
    pub(super) fn is_interruptible(self) -> bool {
        match self {
            Self::Ordered | Self::Filler => true,
            Self::Verbatim { interruptible } => interruptible,
            Self::Beep => false,
        }
    }

    /// Whether it is the assistant's own, not call control's.
    pub(super) fn is_ordered(self) -> bool {
        match self {
            Self::Ordered | Self::Filler => true,
            Self::Verbatim { .. } | Self::Beep => false,
        }
    }
}

/// Something to be heard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) id: u32,
    pub(super) kind: Kind,
    /// None for a beep.
    pub(super) words: Option<Words>,
    pub(super) played_ms: u64,
    pub(super) total_ms: Option<u64>,
    pub(super) started: bool,
    /// Heard to the end, although it was cut: the cut came too late.
    pub(super) finished: bool,
    /// Not to be heard any more, but not stopped yet.
    pub(super) withdrawn: bool,
    /// When it was last known to be alive.
    pub(super) sign_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) segment: SegmentId,
    pub(super) group: u32,
}

/// A sentence that waits until it is known whether the caller really spoke.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) kind: Kind,
    pub(super) words: Words,
}

/// Items that were stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) items: Vec<Item>,
    /// Set when they will not be taken up again: how long to wait for the exact position.
    pub(super) dropped_until: Option<Timestamp>,
    /// The exact position is known.
    pub(super) confirmed: bool,
}

/// Items that make one turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) speaker: Speaker,
    pub(super) say: Option<SayId>,
    pub(super) is_answer: bool,
    pub(super) segments: Vec<SegmentId>,
    /// More may come.
    pub(super) open: bool,
    /// Some of it was never heard.
    pub(super) lost: bool,
    pub(super) interrupted: bool,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) clock: Option<ReplyClock>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Mouth {
    /// Handed to the gateway and not over yet.
    pub(super) queue: VecDeque<Item>,
    pub(super) held: Vec<Held>,
    pub(super) cut: Option<Cut>,
    pub(super) groups: BTreeMap<u32, Group>,
    /// When the last item was over.
    pub(super) free_at: Option<Timestamp>,
    next_item: u32,
    next_group: u32,
}

impl Mouth {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.held.is_empty() && self.cut.is_none()
    }

    /// The words of everything that is or was to be heard.
    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.queue
            .iter()
            .chain(self.cut.iter().flat_map(|cut| cut.items.iter()))
            .filter_map(|item| item.words.as_ref())
            .chain(self.held.iter().map(|held| &held.words))
            .map(|words| words.segment)
            .chain(
                self.groups
                    .values()
                    .flat_map(|group| group.segments.iter().copied()),
            )
    }

    pub(super) fn take_item(&mut self) -> u32 {
        self.next_item = self.next_item.wrapping_add(1);
        self.next_item
    }

    pub(super) fn open_group(
        &mut self,
        speaker: Speaker,
        say: Option<SayId>,
        clock: Option<ReplyClock>,
    ) -> u32 {
        self.next_group = self.next_group.wrapping_add(1);
        self.groups.insert(
            self.next_group,
            Group {
                speaker,
                say,
                is_answer: false,
                segments: Vec::new(),
                open: true,
                lost: false,
                interrupted: false,
                started_at: None,
                ended_at: None,
                clock,
            },
        );
        self.next_group
    }

    pub(super) fn close_group(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.open = false;
        }
    }

    pub(super) fn group_of(&mut self, item: &Item) -> Option<&mut Group> {
        let id = item.words.as_ref()?.group;
        self.groups.get_mut(&id)
    }

    /// Removes the groups that nothing can be added to or heard of any more, oldest first.
    pub(super) fn take_finished_groups(&mut self) -> Vec<Group> {
        let waiting: Vec<u32> = self
            .queue
            .iter()
            .chain(self.cut.iter().flat_map(|cut| cut.items.iter()))
            .filter_map(|item| item.words.as_ref())
            .chain(self.held.iter().map(|held| &held.words))
            .map(|words| words.group)
            .collect();
        let done: Vec<u32> = self
            .groups
            .iter()
            .filter(|(id, group)| !group.open && !waiting.contains(id))
            .map(|(id, _)| *id)
            .collect();
        done.iter()
            .filter_map(|id| self.groups.remove(id))
            .collect()
    }
}

/// Stops the time of one answer, from the end of the caller's voice to its first audio.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReplyClock {
    /// None where nobody spoke before (the opening).
    pub(super) voice_ended_at: Option<Timestamp>,
    pub(super) endpoint_ms: u64,
    pub(super) transcribe_ms: u64,
    pub(super) think_ms: u64,
    pub(super) tool_ms: u64,
    /// The first sentence went to synthesis.
    pub(super) spoken_at: Option<Timestamp>,
    /// The mouth became free for it.
    pub(super) free_at: Option<Timestamp>,
    pub(super) first_audio_at: Option<Timestamp>,
    pub(super) filler_at: Option<Timestamp>,
}

impl ReplyClock {
    /// No time is taken.
    pub(super) fn none(_now: Timestamp) -> Self {
        Self {
            voice_ended_at: None,
            endpoint_ms: 0,
            transcribe_ms: 0,
            think_ms: 0,
            tool_ms: 0,
            spoken_at: None,
            free_at: None,
            first_audio_at: None,
            filler_at: None,
        }
    }

    /// The record, once the first audio was heard.
    pub(super) fn latency(&self) -> Option<TurnLatency> {
        let voice_ended_at = self.voice_ended_at?;
        let first_audio_at = self.first_audio_at?;
        let spoken_at = self.spoken_at?;
        let first_audio_ms = first_audio_at.millis_since(voice_ended_at);
        // An answer that waits behind a filler is not slow synthesis.
        let began = self.free_at.map_or(spoken_at, |free| free.max(spoken_at));
        let mut left = first_audio_ms;
        let mut share = |ms: u64| {
            let part = ms.min(left);
            left -= part;
            part
        };
        Some(TurnLatency {
            endpoint_ms: share(self.endpoint_ms),
            transcribe_ms: share(self.transcribe_ms),
            think_ms: share(self.think_ms),
            tool_ms: share(self.tool_ms),
            synthesize_ms: share(first_audio_at.millis_since(began)),
            ours_ms: left,
            first_audio_ms,
            filler_ms: self.filler_at.map(|at| at.millis_since(voice_ended_at)),
        })
    }
}
