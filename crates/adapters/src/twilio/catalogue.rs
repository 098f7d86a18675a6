//! What Twilio's error codes mean and what to do about them, in English and German.
//!
//! What belongs here: the codes an operator of this program can meet, in our words. What does not:
//! Twilio's own messages, which change and may repeat numbers.
//! <https://www.twilio.com/docs/api/errors>

mod calls;
mod messages;
mod rest;
mod streams;
mod trunks;

use switchhook_model::Language;

/// A text in the languages of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    pub en: &'static str,
    pub de: &'static str,
}

impl Text {
    /// The text for a reader of this language; English where there is none.
    pub fn of(self, language: Language) -> &'static str {
        match language {
            Language::De => self.de,
            Language::En | Language::Ar => self.en,
        }
    }
}

/// What happened, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Codes this explains; of SIP rows their statuses.
    pub codes: &'static [u32],
    pub cause: Text,
    pub cure: Text,
}

/// One row of the table: codes, cause and cure in English, cause and cure in German.
const fn row(
    codes: &'static [u32],
    cause_en: &'static str,
    cure_en: &'static str,
    cause_de: &'static str,
    cure_de: &'static str,
) -> Explanation {
    Explanation {
        codes,
        cause: Text {
            en: cause_en,
            de: cause_de,
        },
        cure: Text {
            en: cure_en,
            de: cure_de,
        },
    }
}

const TABLES: [&[Explanation]; 5] = [
    calls::ROWS,
    rest::ROWS,
    streams::ROWS,
    messages::ROWS,
    trunks::ROWS,
];

/// What Twilio's error code means.
pub fn explain(code: u32) -> Option<&'static Explanation> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|row| row.codes.contains(&code))
}

/// What a SIP response of Twilio means, or one Twilio reports: by the code of its `X-Twilio-Error`
/// where there is one that is known, else by its status.
pub fn for_sip(status: u16, code: Option<u32>) -> Option<&'static Explanation> {
    code.and_then(explain).or_else(|| {
        trunks::SIP_STATUSES
            .iter()
            .find(|row| row.codes.contains(&u32::from(status)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of the vendor's pages this program deals with.
    const NAMED: &[u32] = &[
        10001, 10003, 10004, 11100, 11200, 11205, 11206, 11210, 11215, 11220, 11235, 11236, 11237,
        11750, 11770, 12100, 12200, 12300, 13201, 13212, 13214, 13216, 13223, 13224, 13225, 13226,
        13227, 13236, 13237, 13238, 13243, 13244, 13247, 13248, 13249, 13250, 13251, 13252, 13253,
        13254, 13255, 13335, 15003, 16020, 16021, 16022, 16023, 16024, 16025, 16026, 20003, 20008,
        20009, 20404, 20429, 21201, 21202, 21203, 21205, 21206, 21208, 21209, 21210, 21211, 21212,
        21213, 21214, 21215, 21216, 21217, 21218, 21219, 21220, 21221, 21222, 21223, 21224, 21225,
        21227, 21228, 21229, 21232, 21234, 21244, 21245, 21246, 21247, 21248, 21249, 21250, 21251,
        21252, 21262, 21263, 21405, 21406, 21408, 21421, 21422, 21602, 21603, 21606, 21608, 21610,
        21611, 21612, 21614, 21615, 21617, 21620, 21623, 21631, 21649, 21650, 21651, 21654, 21655,
        21656, 21660, 21703, 30001, 30002, 30003, 30004, 30005, 30006, 30007, 30008, 30032, 30034,
        31901, 31902, 31903, 31904, 31910, 31920, 31921, 31922, 31923, 31924, 31930, 31931, 31940,
        31941, 31950, 31951, 32001, 32006, 32010, 32011, 32012, 32013, 32014, 32015, 32016, 32017,
        32018, 32019, 32021, 32022, 32100, 32101, 32102, 32103, 32105, 32106, 32110, 32111, 32112,
        32113, 32114, 32200, 32201, 32202, 32203, 32204, 32205, 32206, 32207, 32208, 32209, 32210,
        32216, 32218, 32219, 32220, 32221, 32223, 63001, 63002, 63003, 63007, 63013, 63014, 63015,
        63016, 63018, 63020, 63024, 63027, 63028, 63030, 63032, 63040, 63041, 63042, 64101, 64102,
        64107,
    ];

    #[test]
    fn every_named_code_is_explained_once() {
        for code in NAMED {
            let rows = TABLES
                .iter()
                .flat_map(|table| table.iter())
                .filter(|row| row.codes.contains(code))
                .count();
            assert_eq!(rows, 1, "{code}");
        }
        let known: usize = TABLES
            .iter()
            .flat_map(|table| table.iter())
            .map(|row| row.codes.len())
            .sum();
        assert_eq!(known, NAMED.len(), "a code the list does not name");
        assert_eq!(explain(1), None);
    }

    #[test]
    fn every_row_has_cause_and_cure_in_both_languages() {
        let rows = TABLES.iter().flat_map(|table| table.iter());
        for row in rows.chain(trunks::SIP_STATUSES) {
            let texts = [row.cause.en, row.cure.en, row.cause.de, row.cure.de];
            for text in texts {
                assert!(text.len() > 8, "{:?}: {text:?}", row.codes);
                assert_eq!(text, text.trim(), "{:?}", row.codes);
                assert!(!text.ends_with('.'), "{:?}: {text}", row.codes);
            }
            assert_ne!(row.cause.en, row.cause.de, "{:?}", row.codes);
            assert_ne!(row.cure.en, row.cure.de, "{:?}", row.codes);
        }
    }

    #[test]
    fn a_readers_language_is_chosen() {
        let row = explain(63016).expect("a known code");
        assert_eq!(row.cure.of(Language::De), row.cure.de);
        assert_eq!(row.cure.of(Language::Ar), row.cure.en);
        assert!(row.cure.en.contains("template"));
        assert!(row.cause.de.contains("24"));
    }

    #[test]
    fn a_sip_answer_is_explained_by_its_code_and_else_by_its_status() {
        let by_code = for_sip(403, Some(32_204)).expect("by code");
        assert_eq!(by_code.codes, [32_204]);
        assert_eq!(for_sip(403, None), for_sip(403, Some(1)));
        for status in [
            400, 401, 403, 404, 405, 407, 408, 480, 482, 483, 486, 487, 488, 500, 503, 600, 603,
            607, 608,
        ] {
            assert!(for_sip(status, None).is_some(), "{status}");
        }
        assert_eq!(for_sip(200, None), None);
    }
}
