//! Trunks: from the keys of `[trunks.NAME]` to what is known of each.

use std::collections::BTreeMap;
use std::time::Duration;

use switchhook_call::TransferMethod;
use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_sip::{SipTransport, TrunkRegistration};

use super::networks::Networks;
use super::problems::Problems;
use super::raw::RawTrunk;
use super::sip_network::call_limits;
use super::types::{DtmfMode, TrunkSection, TrunkWatch};

/// `defaults` are those of `[media]`.
pub(super) fn resolve(
    raw: BTreeMap<String, RawTrunk>,
    networks: &Networks,
    defaults: (SrtpPolicy, DtmfMode),
    problems: &mut Problems,
) -> BTreeMap<String, TrunkSection> {
    let mut trunk = |name: String, trunk| {
        let section = section(
            &format!("trunks.{name}"),
            trunk,
            networks,
            defaults,
            problems,
        );
        (name, section)
    };
    raw.into_iter()
        .map(|(name, raw)| trunk(name, raw))
        .collect()
}

fn section(
    key: &str,
    trunk: RawTrunk,
    networks: &Networks,
    (media_srtp, media_dtmf): (SrtpPolicy, DtmfMode),
    problems: &mut Problems,
) -> TrunkSection {
    let watch = watch(key, &trunk, problems);
    let password = problems.secret(
        &format!("{key}.password"),
        trunk.password,
        trunk.password_file,
    );
    let inbound_password = problems.secret(
        &format!("{key}.inbound_password"),
        trunk.inbound_password,
        trunk.inbound_password_file,
    );
    let inbound = match (trunk.inbound_username, inbound_password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            problems.add(format!(
                "{key}: inbound_username and inbound_password belong together: set both"
            ));
            None
        }
    };
    let transport = transport(key, trunk.transport.as_deref(), problems);
    let addresses = networks.addresses(&format!("{key}.addresses"), &trunk.addresses, problems);
    let caller_id = trunk
        .caller_id
        .as_deref()
        .and_then(|text| problems.parse(&format!("{key}.caller_id"), text));
    let transfer = match trunk.transfer.as_deref() {
        None | Some("bridge") => TransferMethod::Bridge,
        Some("refer") => TransferMethod::Refer,
        Some(other) => {
            problems.add(format!(
                "{key}.transfer: expected bridge or refer, got {other:?}"
            ));
            TransferMethod::Bridge
        }
    };
    let codecs = trunk
        .codecs
        .map(|names| problems.codecs(&format!("{key}.codecs"), &names));
    TrunkSection {
        termination: trunk.termination,
        transport,
        addresses,
        username: trunk.username,
        password,
        inbound,
        from_user: trunk.from_user,
        from_domain: trunk.from_domain,
        caller_id,
        codecs,
        srtp: problems.srtp(&format!("{key}.srtp"), trunk.srtp.as_deref(), media_srtp),
        dtmf: problems.dtmf(&format!("{key}.dtmf"), trunk.dtmf.as_deref(), media_dtmf),
        early_media: trunk.early_media.unwrap_or(true),
        watch,
        calls: call_limits(trunk.calls_per_s, trunk.max_calls),
        transfer,
        may_refer: trunk.may_refer.unwrap_or(false),
    }
}

/// `udp` (default), `tcp` or `tls`.
fn transport(key: &str, text: Option<&str>, problems: &mut Problems) -> SipTransport {
    match text {
        None | Some("udp") => SipTransport::Udp,
        Some("tcp") => SipTransport::Tcp,
        Some("tls") => SipTransport::Tls,
        Some(other) => {
            problems.add(format!(
                "{key}.transport: expected udp, tcp or tls, got {other:?}"
            ));
            SipTransport::Udp
        }
    }
}

/// How a trunk is watched, and whether we register there.
fn watch(key: &str, trunk: &RawTrunk, problems: &mut Problems) -> TrunkWatch {
    let every_s = problems.in_range(
        &format!("{key}.qualify_s"),
        trunk.qualify_s.unwrap_or(30),
        0,
        3_600,
    );
    let expires_s = problems.in_range(
        &format!("{key}.register_expires_s"),
        trunk.register_expires_s.unwrap_or(3_600),
        60,
        86_400,
    );
    let register = trunk.register.unwrap_or(false);
    if register {
        if trunk.username.is_none() {
            problems.add(format!(
                "{key}.username is missing: {key}.register needs it"
            ));
        }
        if trunk.password.is_none() && trunk.password_file.is_none() {
            problems.add(format!(
                "{key}.password is missing: {key}.register needs it"
            ));
        }
        if trunk.registrar.is_none() && trunk.termination.is_none() {
            problems.add(format!(
                "{key}.registrar and {key}.termination are missing: {key}.register needs one"
            ));
        }
    }
    TrunkWatch {
        qualify_every: (every_s > 0).then(|| Duration::from_secs(u64::from(every_s))),
        skip_when_down: trunk.skip_when_down.unwrap_or(false),
        registration: register.then(|| TrunkRegistration {
            registrar: trunk.registrar.clone(),
            expires_s,
        }),
    }
}
