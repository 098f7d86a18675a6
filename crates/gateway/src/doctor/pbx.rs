//! The other side of SIP: the PBX at which extensions are reached, and each trunk, asked by OPTIONS once.

use std::time::Duration;

use switchhook_sip::{
    Reachability, SipConfig, SipEndpoint, SipTransport, TrunkConfig, TrunkStatus,
};
use tokio::time::Instant;

use super::{Finding, Speaker, State};
use crate::app;
use crate::config::{Config, TrunkSection};

const PBX: &str = "pbx";
/// The trunk under which the PBX is asked: no name of a configured one.
const PBX_TRUNK: &str = "(pbx)";
/// As often as is asked again; Twilio bans whoever does it more than every ten seconds.
const EVERY: Duration = Duration::from_secs(60);
/// All of it: resolving, connecting, and the four seconds an answer may take.
const LIMIT: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Hosts of Elastic SIP Trunking.
const ELASTIC: &str = ".pstn.";

pub(super) async fn examine(config: &Config, speaker: Speaker) -> Vec<Finding> {
    let asked = asked(config);
    if asked.is_empty() {
        let found = speaker.say(
            "neither a PBX (FREEPBX_DOMAIN) nor a trunk with a termination is set",
            "weder eine Telefonanlage (FREEPBX_DOMAIN) noch ein Trunk mit termination ist gesetzt",
        );
        return vec![Finding::new(PBX, State::Skipped, found)];
    }
    let statuses = match answers(config, asked.clone()).await {
        Ok(statuses) => statuses,
        Err(why) => {
            let found = speaker.say("SIP cannot be asked", "SIP kann nicht gefragt werden");
            return vec![Finding::new(PBX, State::Failed, found).because(why)];
        }
    };
    let mut findings = Vec::new();
    for trunk in &asked {
        let Some(status) = statuses.iter().find(|status| status.trunk == trunk.id) else {
            continue;
        };
        let host = trunk.termination.as_deref().unwrap_or_default();
        if trunk.id.as_str() == PBX_TRUNK {
            findings.push(pbx(host, status, speaker));
        } else {
            let section = config.trunks.get(trunk.id.as_str());
            findings.push(trunk_finding(host, status, section, speaker));
        }
    }
    findings
}

/// Whom to ask: without logging in anywhere.
fn asked(config: &Config) -> Vec<TrunkConfig> {
    let mut asked = Vec::new();
    let section = config.twilio.as_ref();
    if let Some(domain) = section.and_then(|section| section.sip_domain.clone()) {
        let mut trunk = TrunkConfig::new(PBX_TRUNK);
        trunk.termination = Some(domain);
        trunk.transport = match section.map(|section| section.sip_transport.as_str()) {
            Some("tcp") => SipTransport::Tcp,
            Some("tls") => SipTransport::Tls,
            _ => SipTransport::Udp,
        };
        asked.push(trunk);
    }
    for (name, section) in &config.trunks {
        if section.termination.is_some() {
            let mut trunk = TrunkConfig::new(name.as_str());
            trunk.termination.clone_from(&section.termination);
            trunk.transport = section.transport;
            trunk.from_user.clone_from(&section.from_user);
            trunk.from_domain.clone_from(&section.from_domain);
            asked.push(trunk);
        }
    }
    for trunk in &mut asked {
        trunk.qualify_every = Some(EVERY);
    }
    asked
}

/// An endpoint of our own on free ports: the gateway may be running.
async fn answers(config: &Config, trunks: Vec<TrunkConfig>) -> Result<Vec<TrunkStatus>, String> {
    let running = app::sip_config(config, Vec::new());
    let mut sip = SipConfig::new((config.sip.bind.ip(), 0).into(), running.leg_ids.clone());
    sip.user_agent.clone_from(&running.user_agent);
    sip.advertised_ip = running.advertised_ip;
    sip.domain.clone_from(&running.domain);
    sip.dns = running.dns;
    sip.trunks = trunks;
    let (endpoint, _events) = SipEndpoint::start(sip)
        .await
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let statuses = endpoint.trunks();
        let all = statuses.iter().all(|status| status.checked_at.is_some());
        if all || Instant::now() >= deadline {
            endpoint.shutdown();
            return Ok(statuses);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_up(status: &TrunkStatus) -> bool {
    status.reachability == Reachability::Up
}

fn pbx(host: &str, status: &TrunkStatus, speaker: Speaker) -> Finding {
    if is_up(status) {
        let ms = status.rtt_ms.unwrap_or(0);
        let found = speaker.say(
            format!("{host} answers OPTIONS after {ms} ms"),
            format!("{host} antwortet auf OPTIONS nach {ms} ms"),
        );
        return Finding::new(PBX, State::Ok, found);
    }
    let found = speaker.say(
        format!("{host} does not answer OPTIONS from this machine"),
        format!("{host} antwortet auf OPTIONS von diesem Rechner nicht"),
    );
    // Twilio dials it, not we: what we cannot reach, it may.
    let finding = Finding::new(PBX, State::Warning, found).cure(speaker.say(
        "Twilio dials the PBX, not this machine: a firewall that lets only Twilio in looks the same from here. \
         If transfers end with SIP 408, 480 or error 13254: open 5060 (UDP, TCP) or 5061 (TLS) for Twilio's \
         signalling addresses (profiles/networks/twilio.toml), and put a public name into FREEPBX_DOMAIN",
        "Twilio wählt die Anlage an, nicht dieser Rechner: eine Firewall, die nur Twilio einlässt, sieht von hier \
         genauso aus. Enden Weiterleitungen mit SIP 408, 480 oder Fehler 13254: 5060 (UDP, TCP) oder 5061 (TLS) \
         für Twilios Signalisierungsadressen öffnen (profiles/networks/twilio.toml) und einen öffentlichen Namen \
         in FREEPBX_DOMAIN setzen",
    ));
    match &status.last_error {
        Some(why) => finding.because(why.clone()),
        None => finding,
    }
}

fn trunk_finding(
    host: &str,
    status: &TrunkStatus,
    section: Option<&TrunkSection>,
    speaker: Speaker,
) -> Finding {
    let check = format!("trunk:{}", status.trunk);
    let is_elastic = host.contains(ELASTIC);
    if is_up(status) {
        let ms = status.rtt_ms.unwrap_or(0);
        let found = speaker.say(
            format!("{host} answers OPTIONS after {ms} ms"),
            format!("{host} antwortet auf OPTIONS nach {ms} ms"),
        );
        let has_login = section.is_some_and(|section| section.username.is_some());
        if is_elastic && !has_login {
            return Finding::new(check, State::Warning, found)
                .because(speaker.say(
                    "no username is set: calls out are refused with 403 (32201) unless this machine's address is in the trunk's IP access control list",
                    "kein username ist gesetzt: Anrufe nach außen werden mit 403 (32201) abgelehnt, wenn die Adresse dieses Rechners nicht in der IP-Zugangsliste des Trunks steht",
                ))
                .cure(speaker.say(
                    "console, Elastic SIP Trunking, Termination: add the address from which this machine reaches the internet, or a credential list",
                    "Konsole, Elastic SIP Trunking, Termination: die Adresse eintragen, mit der dieser Rechner ins Internet geht, oder eine Credential List",
                ));
        }
        return Finding::new(check, State::Ok, found);
    }
    let found = speaker.say(
        format!("{host} does not answer OPTIONS"),
        format!("{host} antwortet nicht auf OPTIONS"),
    );
    let cure = if is_elastic {
        speaker.say(
            "is the termination name that of the trunk (NAME.pstn.twilio.com)? does the firewall let UDP 5060 out and answers in? \
             more than one OPTIONS in ten seconds gets an address banned for a while",
            "ist die termination die des Trunks (NAME.pstn.twilio.com)? lässt die Firewall UDP 5060 hinaus und Antworten herein? \
             mehr als ein OPTIONS in zehn Sekunden sperrt eine Adresse für eine Weile",
        )
    } else {
        speaker.say(
            "check its termination, its transport and the firewall on the way; some refuse OPTIONS and take calls",
            "termination, transport und die Firewall auf dem Weg prüfen; manche beantworten OPTIONS nicht und nehmen Anrufe an",
        )
    };
    let finding = Finding::new(check, State::Failed, found).cure(cure);
    match &status.last_error {
        Some(why) => finding.because(why.clone()),
        None => finding,
    }
}
