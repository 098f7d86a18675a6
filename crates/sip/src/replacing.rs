//! INVITE with Replaces (RFC 3891 §3): which dialog of ours it means, and whether it may.

use rsipstack::sip::Request;
use switchhook_model::LegId;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::leg::{DialogInfo, DialogStage, LegInput};
use crate::message;
use crate::refer::Replaces;

/// How long a leg may take to describe itself: it only has to get to its queue.
const ASK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

impl Core {
    /// The leg an INVITE asks to replace; or the status that refuses it.
    pub(crate) async fn replaced_by(&self, request: &Request) -> Result<Option<LegId>, u16> {
        let mut values = message::headers_all(&request.headers, "Replaces");
        let Some(value) = values.next() else {
            return Ok(None);
        };
        // More than one, or one that says nothing, is a bad request.
        if values.next().is_some() {
            return Err(400);
        }
        let replaces = Replaces::parse(value).ok_or(400u16)?;
        let info = self
            .described(&replaces.sip_call_id, &replaces.to_tag)
            .await;
        let info = info
            .filter(|info| info.remote_tags.contains(&replaces.from_tag))
            .ok_or(481u16)?;
        match info.stage {
            DialogStage::Confirmed if replaces.early_only => Err(486),
            DialogStage::Confirmed | DialogStage::EarlyOurs => Ok(Some(info.leg)),
            // An early dialog somebody else began is not ours to answer for.
            DialogStage::EarlyTheirs => Err(481),
            DialogStage::Over => Err(603),
        }
    }

    /// A confirmed dialog of ours by its Call-ID and both tags, in either order: some phones write
    /// them as they see them.
    pub(crate) async fn confirmed_leg(&self, named: &Replaces) -> Option<LegId> {
        for (ours, theirs) in [
            (&named.to_tag, &named.from_tag),
            (&named.from_tag, &named.to_tag),
        ] {
            let info = self.described(&named.sip_call_id, ours).await;
            if let Some(info) = info
                && info.stage == DialogStage::Confirmed
                && info.remote_tags.contains(theirs)
            {
                return Some(info.leg);
            }
        }
        None
    }

    async fn described(&self, sip_call_id: &str, our_tag: &str) -> Option<DialogInfo> {
        let leg = self.leg_of_dialog(sip_call_id, our_tag)?;
        let (answer, asked) = oneshot::channel();
        leg.send(LegInput::Describe(answer)).ok()?;
        tokio::time::timeout(ASK_TIMEOUT, asked).await.ok()?.ok()
    }
}
