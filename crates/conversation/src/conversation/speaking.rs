//! Speaking: handing items to the gateway, following their playout, stopping and taking them up.

use std::time::Duration;

use switchhook_model::Timestamp;

use super::mouth::{Cut, Held, Item, Kind, ReplyClock, Words};
use super::{Conversation, Mode};
use crate::heard::{heard_end, resume_start};
use crate::history::Hearing;
use crate::io::{Output, SayId, Speaker};

/// How long the exact position of a cut is waited for before the last known one is taken.
const CUT_GRACE: Duration = Duration::from_millis(200);

impl Conversation {
    /// Speaks one of the assistant's own sentences as a turn of its own.
    pub(super) fn speak_fixed(&mut self, text: &str, clock: Option<ReplyClock>) {
        let entry = self.history.open_assistant();
        self.speak_fixed_in(entry, text, clock);
    }

    /// The same, as part of an entry of the history that is there already.
    pub(super) fn speak_fixed_in(&mut self, entry: usize, text: &str, clock: Option<ReplyClock>) {
        let Some(text) = crate::sentences::speakable(text) else {
            return;
        };
        let group = self.mouth.open_group(Speaker::Assistant, None, clock);
        self.speak(Kind::Ordered, &text, group, Some(entry));
        self.mouth.close_group(group);
    }

    pub(super) fn speak_verbatim(&mut self, id: SayId, text: &str, interruptible: bool) {
        let group = self.mouth.open_group(Speaker::System, Some(id), None);
        let entry = self.history.open_assistant();
        self.speak(Kind::Verbatim { interruptible }, text, group, Some(entry));
        self.mouth.close_group(group);
    }

    /// Adds words to a group, now or, while the caller seems to speak, later.
    pub(super) fn speak(&mut self, kind: Kind, text: &str, group: u32, entry: Option<usize>) {
        let segment = self.history.add_segment(text, entry);
        if let Some(group) = self.mouth.groups.get_mut(&group) {
            group.segments.push(segment);
        }
        let words = Words {
            text: text.to_owned(),
            segment,
            group,
        };
        let caller_may_be_speaking =
            matches!(self.mode, Mode::Conversing) && self.ear.is_busy() && self.config.barge_in;
        if kind.is_ordered() && caller_may_be_speaking {
            self.mouth.held.push(Held { kind, words });
        } else {
            self.hand_out(kind, words);
        }
    }

    fn hand_out(&mut self, kind: Kind, words: Words) {
        let id = self.mouth.take_item();
        let now = self.now;
        if kind != Kind::Filler
            && let Some(clock) = self
                .mouth
                .groups
                .get_mut(&words.group)
                .and_then(|group| group.clock.as_mut())
        {
            clock.spoken_at.get_or_insert(now);
        }
        self.out.push(Output::Speak {
            item: id,
            text: words.text.clone(),
        });
        self.mouth.queue.push_back(Item {
            id,
            kind,
            words: Some(words),
            played_ms: 0,
            total_ms: None,
            started: false,
            finished: false,
            withdrawn: false,
            sign_at: now,
        });
    }

    /// Queues the tone before a message; returns its item.
    pub(super) fn beep(&mut self) -> u32 {
        let id = self.mouth.take_item();
        self.out.push(Output::Beep { item: id });
        self.mouth.queue.push_back(Item {
            id,
            kind: Kind::Beep,
            words: None,
            played_ms: 0,
            total_ms: None,
            started: false,
            finished: false,
            withdrawn: false,
            sign_at: self.now,
        });
        id
    }

    pub(super) fn playout_progress(&mut self, id: u32, played_ms: u64, total_ms: Option<u64>) {
        if let Some(cut) = &mut self.mouth.cut
            && let Some(item) = cut.items.iter_mut().find(|item| item.id == id)
        {
            item.played_ms = item.played_ms.max(played_ms);
            item.total_ms = total_ms.or(item.total_ms);
            cut.confirmed = true;
            if cut.dropped_until.is_some() {
                self.finish_cut();
            }
            return;
        }
        let Some(at) = self.mouth.queue.iter().position(|item| item.id == id) else {
            return;
        };
        self.pass_over(at);
        let now = self.now;
        let Some(item) = self.mouth.queue.front_mut() else {
            return;
        };
        item.played_ms = item.played_ms.max(played_ms);
        item.total_ms = total_ms.or(item.total_ms);
        item.sign_at = now;
        if played_ms > 0 && !item.started {
            item.started = true;
            let audible_at = now - Duration::from_millis(played_ms);
            let item = item.clone();
            self.first_audio(&item, audible_at);
        }
        self.stop_what_is_unwanted();
    }

    /// An item became audible.
    fn first_audio(&mut self, item: &Item, at: Timestamp) {
        let kind = item.kind;
        let free_at = self.mouth.free_at;
        if let Some(group) = self.mouth.group_of(item) {
            group.started_at.get_or_insert(at);
            if let Some(clock) = &mut group.clock {
                if kind == Kind::Filler {
                    clock.filler_at.get_or_insert(at);
                } else if clock.first_audio_at.is_none() {
                    clock.first_audio_at = Some(at);
                    clock.free_at = free_at;
                }
            }
        }
    }

    /// Items play in order: what stands before the item at `at` is over, whatever was reported.
    fn pass_over(&mut self, at: usize) {
        for _ in 0..at {
            if let Some(mut item) = self.mouth.queue.pop_front() {
                item.finished = item.started;
                self.item_over(&item);
            }
        }
    }

    pub(super) fn playout_finished(&mut self, id: u32) {
        if let Some(cut) = &mut self.mouth.cut
            && let Some(item) = cut.items.iter_mut().find(|item| item.id == id)
        {
            item.finished = true;
            return;
        }
        let Some(at) = self.mouth.queue.iter().position(|item| item.id == id) else {
            return;
        };
        self.pass_over(at);
        if let Some(mut item) = self.mouth.queue.pop_front() {
            if !item.started {
                item.started = true;
                let audible_at = self.now - Duration::from_millis(item.total_ms.unwrap_or(0));
                self.first_audio(&item, audible_at);
            }
            item.finished = true;
            self.item_over(&item);
            self.front_lives();
            self.message_item_over(item.id);
        }
        self.stop_what_is_unwanted();
    }

    pub(super) fn synthesis_failed(&mut self, id: u32) {
        if let Some(cut) = &mut self.mouth.cut
            && cut.items.iter().any(|item| item.id == id)
        {
            return;
        }
        let Some(at) = self.mouth.queue.iter().position(|item| item.id == id) else {
            return;
        };
        if let Some(item) = self.mouth.queue.remove(at) {
            self.item_over(&item);
            self.front_lives();
            self.message_item_over(item.id);
            self.provider_error(None);
        }
    }

    /// The next item begins to count its time only when its predecessor is over.
    fn front_lives(&mut self) {
        if let Some(front) = self.mouth.queue.front_mut() {
            front.sign_at = front.sign_at.max(self.now);
        }
    }

    /// Records what was heard of an item that left the queue.
    pub(super) fn item_over(&mut self, item: &Item) {
        let now = self.now;
        self.mouth.free_at = Some(now);
        let Some(words) = &item.words else {
            return;
        };
        let hearing = if item.finished {
            Hearing::Full
        } else {
            match heard_end(&words.text, item.played_ms, item.total_ms) {
                0 => Hearing::Nothing,
                end if end >= words.text.len() => Hearing::Full,
                end => Hearing::Part(end),
            }
        };
        let full = hearing == Hearing::Full;
        self.history.set_hearing(words.segment, hearing);
        if let Some(group) = self.mouth.groups.get_mut(&words.group) {
            group.lost |= !full;
            group.ended_at = Some(now);
        }
    }

    /// Stops an item in front that must not go on: the caller speaks over it, or it was withdrawn
    /// while it stood behind something else.
    pub(super) fn stop_what_is_unwanted(&mut self) {
        let Some(front) = self.mouth.queue.front() else {
            return;
        };
        if front.withdrawn {
            self.stop_playout(|item| item.withdrawn);
            self.drop_cut();
            return;
        }
        let caller_may_interrupt = matches!(self.mode, Mode::Conversing) && self.config.barge_in;
        if caller_may_interrupt && self.ear.is_speaking() && front.kind.is_interruptible() {
            // Whether it was speech at all is seen later.
            self.stop_playout(|item| item.kind.is_interruptible());
        }
    }

    /// Stops the gateway's queue, which can only be stopped as a whole. What is not `unwanted` goes
    /// back into it at once.
    fn stop_playout(&mut self, unwanted: fn(&Item) -> bool) {
        if self.mouth.queue.is_empty() {
            return;
        }
        self.out.push(Output::StopPlayout);
        let items: Vec<Item> = self.mouth.queue.drain(..).collect();
        let (stopped, keep): (Vec<Item>, Vec<Item>) = items.into_iter().partition(unwanted);
        match &mut self.mouth.cut {
            Some(cut) if cut.dropped_until.is_none() => cut.items.extend(stopped),
            Some(_) | None => {
                self.finish_cut();
                self.mouth.cut = Some(Cut {
                    items: stopped,
                    dropped_until: None,
                    confirmed: false,
                });
            }
        }
        for item in keep {
            self.say_again(item);
        }
    }

    /// Queues an item again that was stopped along with others.
    fn say_again(&mut self, item: Item) {
        match item.words {
            Some(words) => self.hand_out(item.kind, words),
            None => {
                let old = item.id;
                let new = self.beep();
                self.message_item_renamed(old, new);
            }
        }
    }

    /// What was cut will not be taken up again.
    pub(super) fn drop_cut(&mut self) {
        let held = std::mem::take(&mut self.mouth.held);
        for held in held {
            self.history
                .set_hearing(held.words.segment, Hearing::Nothing);
            if let Some(group) = self.mouth.groups.get_mut(&held.words.group) {
                group.lost = true;
                group.interrupted = true;
            }
        }
        let until = self.now + CUT_GRACE;
        if let Some(cut) = &mut self.mouth.cut {
            if cut.confirmed {
                self.finish_cut();
            } else {
                cut.dropped_until.get_or_insert(until);
            }
        }
    }

    /// Records what was heard of the cut items, as far as it is known now.
    pub(super) fn finish_cut(&mut self) {
        let Some(cut) = self.mouth.cut.take() else {
            return;
        };
        for item in cut.items {
            self.item_over(&item);
            if let Some(group) = self.mouth.group_of(&item) {
                group.interrupted |= group.lost;
            }
        }
    }

    /// It was no speech: the unheard rest is spoken after all.
    pub(super) fn take_up_cut(&mut self) {
        let cut = match &self.mouth.cut {
            Some(cut) if cut.dropped_until.is_none() => self.mouth.cut.take(),
            Some(_) | None => None,
        };
        for item in cut.into_iter().flat_map(|cut| cut.items) {
            self.take_up(item);
        }
        for held in std::mem::take(&mut self.mouth.held) {
            self.hand_out(held.kind, held.words);
        }
    }

    pub(super) fn take_up(&mut self, item: Item) {
        let Some(words) = item.words.clone() else {
            self.say_again(item);
            return;
        };
        if item.finished || item.kind == Kind::Filler {
            self.item_over(&item);
            return;
        }
        let end = heard_end(&words.text, item.played_ms, item.total_ms);
        let from = resume_start(&words.text, end);
        let rest = words.text[from..].to_owned();
        if rest.is_empty() {
            self.history.set_hearing(words.segment, Hearing::Full);
        } else if from == 0 {
            self.hand_out(item.kind, words);
        } else {
            self.history.set_hearing(words.segment, Hearing::Part(from));
            let segment = self.history.add_segment_after(&rest, words.segment);
            if let Some(group) = self.mouth.groups.get_mut(&words.group) {
                let at = group.segments.iter().position(|s| *s == words.segment);
                group
                    .segments
                    .insert(at.map_or(group.segments.len(), |at| at + 1), segment);
            }
            self.hand_out(
                item.kind,
                Words {
                    text: rest,
                    segment,
                    group: words.group,
                },
            );
        }
    }

    /// Drops the assistant's own words; call control's stay.
    pub(super) fn silence_ordered(&mut self) {
        self.drop_cut();
        for item in &mut self.mouth.queue {
            item.withdrawn |= item.kind.is_ordered();
        }
        // Those behind a verbatim text that is being heard are stopped when it is over.
        let Some(front) = self.mouth.queue.front() else {
            return;
        };
        let can_stop_now = front.withdrawn || !front.started;
        if can_stop_now && self.mouth.queue.iter().any(|item| item.withdrawn) {
            self.stop_playout(|item| item.withdrawn);
            self.drop_cut();
        }
    }

    /// Drops everything, call control's words too.
    pub(super) fn silence_all(&mut self) {
        self.drop_cut();
        self.finish_cut();
        if !self.mouth.queue.is_empty() {
            self.out.push(Output::StopPlayout);
        }
        let items: Vec<Item> = self.mouth.queue.drain(..).collect();
        for item in items {
            self.item_over(&item);
            if let Some(group) = self.mouth.group_of(&item) {
                group.interrupted |= group.lost;
            }
        }
        let ids: Vec<u32> = self.mouth.groups.keys().copied().collect();
        for id in ids {
            self.mouth.close_group(id);
        }
    }
}
