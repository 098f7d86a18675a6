//! How each clause of a head line reads in English and German.

use switchhook_model::Language;

use super::{Clause, ClauseKey};

/// `75` as `1 min 15 s`.
fn duration(seconds: &str) -> String {
    let total: u64 = seconds.parse().unwrap_or(0);
    match (total / 60, total % 60) {
        (0, rest) => format!("{rest} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, rest) => format!("{minutes} min {rest} s"),
    }
}

/// The time of day of an RFC 3339 instant in UTC.
fn time_of_day(at: &str) -> String {
    at.get(11..19)
        .map_or(at.to_owned(), |time| format!("{time} UTC"))
}

impl Clause {
    pub(super) fn text(&self, language: Language) -> String {
        match language {
            Language::De => self.german(),
            Language::En | Language::Ar => self.english(),
        }
    }

    fn english(&self) -> String {
        let target = self.get("target");
        let callee = self.get("callee");
        let time = duration(self.get("seconds"));
        match self.key {
            ClauseKey::Ringing => format!("calling {callee}"),
            ClauseKey::WithAssistant => "with the assistant".to_owned(),
            ClauseKey::WithAgent => "talking to a human".to_owned(),
            ClauseKey::TargetRinging => format!("{target} is ringing"),
            ClauseKey::FallbackRunning => "is being told so".to_owned(),
            ClauseKey::AskedForHuman => format!("asked for a human after {time}"),
            ClauseKey::AskedForDepartment => {
                format!("asked for {} after {time}", self.get("department"))
            }
            ClauseKey::OperatorTransferred => format!("transferred by an operator after {time}"),
            ClauseKey::PartyTransferred => format!("transferred by a phone after {time}"),
            ClauseKey::ExchangeAsked => {
                format!("the caller's exchange was asked to reach {target}")
            }
            ClauseKey::HandedOver => {
                format!("the caller's exchange took over to {target} after {time}")
            }
            ClauseKey::PickedUpElsewhere => {
                format!("while {target} rang, another phone took the call after {time}")
            }
            ClauseKey::TalkedOn => "the two talked on".to_owned(),
            ClauseKey::Closed => "it was outside the open hours".to_owned(),
            ClauseKey::NoTarget => "nobody is configured to take calls".to_owned(),
            ClauseKey::Declined => "no further transfer was allowed".to_owned(),
            ClauseKey::NoAnswer => format!("{target} did not answer in {time}"),
            ClauseKey::Busy => format!("{target} was busy"),
            ClauseKey::Refused => format!("{target} declined"),
            ClauseKey::Unreachable => format!("{target} could not be reached"),
            ClauseKey::GoneWhileRinging => {
                format!("hung up while {target} rang, after {time}")
            }
            ClauseKey::EndedWhileRinging => {
                format!("the call ended while {target} rang, after {time}")
            }
            ClauseKey::Answered => format!("{target} answered after {time}"),
            ClauseKey::Talked => format!("they talked for {time}"),
            ClauseKey::MessageTaken => "left a message".to_owned(),
            ClauseKey::MessageUnread => {
                "was leaving a message that could not be made out".to_owned()
            }
            ClauseKey::StaffTold => format!("staff told at {}", time_of_day(self.get("at"))),
            ClauseKey::StaffNotTold => "staff could not be told".to_owned(),
            ClauseKey::StaffOwed => "staff not told yet".to_owned(),
            ClauseKey::BackWithAssistant => "back with the assistant".to_owned(),
            ClauseKey::TalkedToAssistant => format!("talked to the assistant for {time}"),
            ClauseKey::NotReached => {
                format!("{callee}: {}", self.get("cause").replace('_', " "))
            }
            ClauseKey::MachineAnswered => format!("{callee}: an answering machine answered"),
            ClauseKey::GaveUp => format!("the caller gave up after {time}, before the answer"),
            ClauseKey::EndedByCaller => "the caller hung up".to_owned(),
            ClauseKey::EndedByAgent => "the human hung up".to_owned(),
            ClauseKey::EndedByAssistant => "the assistant said goodbye".to_owned(),
            ClauseKey::EndedByOperator => "an operator ended the call".to_owned(),
            ClauseKey::EndedBySilence => "ended because nothing was said".to_owned(),
            ClauseKey::EndedByLimit => "ended by a limit".to_owned(),
            ClauseKey::EndedWithoutPin => "ended without a right PIN".to_owned(),
            ClauseKey::EndedByErrors => "ended because a provider kept failing".to_owned(),
            ClauseKey::EndedByMediaLoss => "ended because audio was lost".to_owned(),
            ClauseKey::CutOff => "then cut off by the program".to_owned(),
            ClauseKey::EndedByRestart => "cut off by a restart of the program".to_owned(),
            ClauseKey::EndedByShutdown => "cut off because the program was stopped".to_owned(),
            ClauseKey::EndedByFailure => "the call failed".to_owned(),
        }
    }

    fn german(&self) -> String {
        let target = self.get("target");
        let callee = self.get("callee");
        let time = duration(self.get("seconds"));
        match self.key {
            ClauseKey::Ringing => format!("{callee} wird angerufen"),
            ClauseKey::WithAssistant => "beim Assistenten".to_owned(),
            ClauseKey::WithAgent => "im Gespräch mit einem Menschen".to_owned(),
            ClauseKey::TargetRinging => format!("bei {target} klingelt es"),
            ClauseKey::FallbackRunning => "das wird gerade gesagt".to_owned(),
            ClauseKey::AskedForHuman => format!("wollte nach {time} einen Menschen sprechen"),
            ClauseKey::AskedForDepartment => {
                format!("wollte nach {time} {} sprechen", self.get("department"))
            }
            ClauseKey::OperatorTransferred => format!("nach {time} von der Zentrale verbunden"),
            ClauseKey::PartyTransferred => format!("nach {time} vom Telefon aus weitergeleitet"),
            ClauseKey::ExchangeAsked => {
                format!("die Anlage des Anrufers sollte {target} erreichen")
            }
            ClauseKey::HandedOver => {
                format!("die Anlage des Anrufers übernahm nach {time} zu {target}")
            }
            ClauseKey::PickedUpElsewhere => {
                format!(
                    "während es bei {target} klingelte, nahm nach {time} ein anderes Telefon ab"
                )
            }
            ClauseKey::TalkedOn => "die beiden sprachen weiter".to_owned(),
            ClauseKey::Closed => "außerhalb der Öffnungszeiten".to_owned(),
            ClauseKey::NoTarget => "niemand ist für Anrufe eingetragen".to_owned(),
            ClauseKey::Declined => "ein weiterer Versuch war nicht erlaubt".to_owned(),
            ClauseKey::NoAnswer => format!("{target} nahm in {time} nicht ab"),
            ClauseKey::Busy => format!("{target} war besetzt"),
            ClauseKey::Refused => format!("{target} lehnte ab"),
            ClauseKey::Unreachable => format!("{target} war nicht erreichbar"),
            ClauseKey::GoneWhileRinging => {
                format!("legte nach {time} auf, während es bei {target} klingelte")
            }
            ClauseKey::EndedWhileRinging => {
                format!("der Anruf endete nach {time}, während es bei {target} klingelte")
            }
            ClauseKey::Answered => format!("{target} nahm nach {time} ab"),
            ClauseKey::Talked => format!("sie sprachen {time}"),
            ClauseKey::MessageTaken => "hinterließ eine Nachricht".to_owned(),
            ClauseKey::MessageUnread => {
                "sprach eine Nachricht, die nicht verstanden wurde".to_owned()
            }
            ClauseKey::StaffTold => format!("Team informiert um {}", time_of_day(self.get("at"))),
            ClauseKey::StaffNotTold => "das Team war nicht zu erreichen".to_owned(),
            ClauseKey::StaffOwed => "das Team weiß es noch nicht".to_owned(),
            ClauseKey::BackWithAssistant => "zurück beim Assistenten".to_owned(),
            ClauseKey::TalkedToAssistant => format!("sprach {time} mit dem Assistenten"),
            ClauseKey::NotReached => {
                let cause = match self.get("cause") {
                    "no_answer" => "nicht abgenommen",
                    "busy" => "besetzt",
                    "rejected" => "abgelehnt",
                    "unreachable" => "nicht erreichbar",
                    "not_acceptable" => "kein gemeinsamer Codec",
                    "media_lost" => "Ton verloren",
                    _ => "fehlgeschlagen",
                };
                format!("{callee}: {cause}")
            }
            ClauseKey::MachineAnswered => format!("{callee}: ein Anrufbeantworter ging dran"),
            ClauseKey::GaveUp => format!("gab nach {time} auf, bevor abgenommen wurde"),
            ClauseKey::EndedByCaller => "der Anrufer legte auf".to_owned(),
            ClauseKey::EndedByAgent => "der Mensch legte auf".to_owned(),
            ClauseKey::EndedByAssistant => "der Assistent verabschiedete sich".to_owned(),
            ClauseKey::EndedByOperator => "von der Zentrale beendet".to_owned(),
            ClauseKey::EndedBySilence => "beendet, weil nichts gesagt wurde".to_owned(),
            ClauseKey::EndedByLimit => "durch eine Begrenzung beendet".to_owned(),
            ClauseKey::EndedWithoutPin => "ohne richtige PIN beendet".to_owned(),
            ClauseKey::EndedByErrors => "beendet, weil ein Dienst immer wieder ausfiel".to_owned(),
            ClauseKey::EndedByMediaLoss => "beendet, weil der Ton verloren ging".to_owned(),
            ClauseKey::CutOff => "danach vom Programm abgebrochen".to_owned(),
            ClauseKey::EndedByRestart => {
                "durch einen Neustart des Programms abgebrochen".to_owned()
            }
            ClauseKey::EndedByShutdown => "abgebrochen, weil das Programm beendet wurde".to_owned(),
            ClauseKey::EndedByFailure => "der Anruf schlug fehl".to_owned(),
        }
    }
}
