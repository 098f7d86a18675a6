//! What every call's task needs.

use std::net::IpAddr;
use std::sync::Arc;

use switchhook_adapters::{LanguageModel, SpeechToText, TextToSpeech};
use switchhook_call::CallPolicy;
use switchhook_conversation::{ConversationConfig, EndpointingConfig};
use switchhook_media::{MediaEngine, MediaLeg, OpenLegError};
use switchhook_model::LegId;
use switchhook_sip::SipEndpoint;
use switchhook_store::Store;

use super::inbox::CallInput;
use super::registry::Registry;
use crate::bus::Bus;
use crate::config::Config;
use crate::notices::Ways;

#[derive(Debug)]
pub struct Shared {
    pub config: Arc<Config>,
    pub policy: CallPolicy,
    pub conversation: ConversationConfig,
    pub endpointing: EndpointingConfig,
    pub store: Store,
    pub media: MediaEngine,
    pub sip: SipEndpoint,
    pub listener: Arc<dyn SpeechToText>,
    pub voice: Arc<dyn TextToSpeech>,
    pub brain: Arc<dyn LanguageModel>,
    pub notices: Ways,
    pub registry: Registry,
    pub bus: Bus,
}

impl Shared {
    /// A media leg whose events reach the call.
    /// `peer`: where its other end will be, as far as that is known.
    pub(super) fn open_media(
        &self,
        leg: &LegId,
        peer: Option<IpAddr>,
    ) -> Result<MediaLeg, OpenLegError> {
        let address = self.config.media_address(peer);
        let media = self.media.open_leg_at(leg.clone(), address)?;
        let mut events = media
            .take_events()
            .expect("a new leg's events are taken once");
        // By the registry, because the leg may go over to another call.
        let registry = self.registry.clone();
        let leg = leg.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let input = CallInput::Media {
                    leg: leg.clone(),
                    event,
                };
                registry.send_to_leg(&leg, input);
            }
        });
        Ok(media)
    }
}
