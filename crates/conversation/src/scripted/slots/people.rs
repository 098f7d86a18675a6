//! How many people.

use switchhook_model::Language;

use super::Reader;

impl Reader<'_> {
    pub(super) fn people(&mut self) -> Option<u32> {
        let alone: &[&str] = match self.language {
            Language::En => &[
                "just me",
                "only me",
                "just myself",
                "for myself",
                "by myself",
                "for me alone",
            ],
            Language::De => &[
                "nur ich",
                "nur fuer mich",
                "alleine",
                "allein",
                "eine person",
                "einer person",
            ],
            Language::Ar => &["شخص واحد", "لوحدي"],
        };
        if self.take_any(alone) {
            return Some(1);
        }
        let pair: &[&str] = match self.language {
            Language::En => &[
                "my wife and i",
                "me and my wife",
                "my husband and i",
                "me and my husband",
                "the two of us",
                "a couple",
                "both of us",
            ],
            Language::De => &[
                "zu zweit",
                "wir beide",
                "uns beide",
                "meine frau und ich",
                "mein mann und ich",
                "zwei personen",
            ],
            Language::Ar => &["شخصين", "لشخصين", "اثنين اشخاص"],
        };
        if self.take_any(pair) {
            return Some(2);
        }
        if self.language == Language::De {
            let together = [
                "dritt", "viert", "fuenft", "sechst", "siebt", "acht", "neunt", "zehnt",
            ];
            for (i, word) in together.iter().enumerate() {
                if self.take_any(&[&format!("zu {word}")]) {
                    return u32::try_from(i + 3).ok();
                }
            }
        }
        for at in 0..self.words.len() {
            let Some((len, n)) = self.small_at(at) else {
                continue;
            };
            let before = at.checked_sub(1).map_or("", |i| self.word(i));
            let two_before = at.checked_sub(2).map_or("", |i| self.word(i));
            let behind = self.word(at + len);
            let behind_two = self.word(at + len + 1);
            let counted = match self.language {
                Language::En => {
                    matches!(
                        behind,
                        "people"
                            | "persons"
                            | "person"
                            | "guests"
                            | "adults"
                            | "pax"
                            | "seats"
                            | "folks"
                    ) || (behind == "of" && behind_two == "us")
                }
                Language::De => matches!(
                    behind,
                    "personen"
                        | "person"
                        | "leute"
                        | "leuten"
                        | "menschen"
                        | "gaeste"
                        | "gaesten"
                        | "erwachsene"
                        | "plaetze"
                        | "mann"
                ),
                Language::Ar => matches!(behind, "اشخاص" | "شخص"),
            };
            let marked = match self.language {
                Language::En => {
                    matches!(
                        (two_before, before),
                        (_, "for")
                            | ("party", "of")
                            | ("group", "of")
                            | ("we", "are")
                            | ("table", "of")
                    )
                }
                Language::De => {
                    before == "fuer"
                        || before == "zu"
                        || matches!((two_before, before), ("wir", "sind") | ("wir", "waeren"))
                }
                Language::Ar => false,
            };
            let unit = matches!(
                behind,
                "days"
                    | "hours"
                    | "weeks"
                    | "nights"
                    | "minutes"
                    | "uhr"
                    | "tage"
                    | "stunden"
                    | "wochen"
                    | "naechte"
                    | "oclock"
                    | "am"
                    | "pm"
            );
            if (counted || marked) && !unit {
                self.take(at, at + len);
                return Some(n);
            }
        }
        None
    }
}
