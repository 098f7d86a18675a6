//! Conferences: three and more legs that hear one another.

use std::sync::Arc;

use thiserror::Error;

use crate::engine::EngineInner;
use crate::leg::MediaLeg;
use crate::worker::{Command, Mixer};

/// Conferences of one worker.
pub(crate) const CONFERENCES_MAX: usize = 256;

/// Why a leg is not in a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConferenceError {
    #[error(
        "this media worker mixes {CONFERENCES_MAX} conferences already; use a bridge or another node"
    )]
    Full,
    #[error(
        "the leg is carried by another media worker than the conference; legs of one call share one"
    )]
    OtherWorker,
}

/// A conference on one worker. Each member hears the sum of all others, clipped at full scale; of
/// more than five the loudest five are heard. At most 64 members, further ones hear silence.
/// Recordings and assistants stay those of each leg. Dropping the handle ends the conference.
#[derive(Debug)]
pub struct Conference {
    engine: Arc<EngineInner>,
    worker: usize,
    id: u64,
}

impl Conference {
    /// On the worker of `leg`, which is not a member yet.
    pub(crate) fn open(leg: &MediaLeg, engine: &Arc<EngineInner>) -> Result<Self, ConferenceError> {
        let place = leg.place();
        let id = engine
            .open_conference(place.worker)
            .ok_or(ConferenceError::Full)?;
        engine.send(
            place.worker,
            Command::OpenConference {
                mixer: Box::new(Mixer::new(id, place.phase)),
            },
        );
        Ok(Self {
            engine: Arc::clone(engine),
            worker: place.worker,
            id,
        })
    }

    /// The leg hears the others, and they it, from the next tick on. A former bridge or conference
    /// of the leg ends.
    pub fn join(&self, leg: &MediaLeg) -> Result<(), ConferenceError> {
        let place = leg.place();
        if place.worker != self.worker {
            return Err(ConferenceError::OtherWorker);
        }
        let (slot, id) = (place.slot, self.id);
        self.engine.send(self.worker, Command::Join { id, slot });
        Ok(())
    }

    /// The leg hears its assistant or silence again. A leg that is no member of a conference is
    /// left alone, but for a bridge, which ends.
    pub fn leave(&self, leg: &MediaLeg) {
        let place = leg.place();
        if place.worker == self.worker {
            let slot = place.slot;
            self.engine.send(self.worker, Command::Unbridge { slot });
        }
    }
}

impl Drop for Conference {
    fn drop(&mut self) {
        self.engine
            .send(self.worker, Command::CloseConference { id: self.id });
        self.engine.close_conference(self.worker);
    }
}
