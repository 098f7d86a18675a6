//! Number words of each language, in the form [`super::super::normalise`] leaves them.

use switchhook_model::Language;

/// What one word means within a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// 0 to 19.
    Value(u32),
    /// 20, 30 … 90, the ones behind.
    Tens(u32),
    /// 20, 30 … 90, the ones before and joined: German, Arabic.
    Round(u32),
    /// Arabic "ten" behind a number that it raises above ten.
    Teen,
    Hundred,
    Thousand,
    /// The next digit twice or three times.
    Repeat(usize),
    And,
}

pub(super) fn parts(word: &str, language: Language) -> Option<Vec<Part>> {
    match language {
        Language::En => english(word).map(|part| vec![part]),
        Language::De => german(word),
        Language::Ar => arabic(word),
    }
}

fn english(word: &str) -> Option<Part> {
    Some(match word {
        "zero" | "oh" | "o" | "nought" | "naught" | "null" => Part::Value(0),
        "one" => Part::Value(1),
        "two" => Part::Value(2),
        "three" => Part::Value(3),
        "four" => Part::Value(4),
        "five" => Part::Value(5),
        "six" => Part::Value(6),
        "seven" => Part::Value(7),
        "eight" => Part::Value(8),
        "nine" | "niner" => Part::Value(9),
        "ten" => Part::Value(10),
        "eleven" => Part::Value(11),
        "twelve" => Part::Value(12),
        "thirteen" => Part::Value(13),
        "fourteen" => Part::Value(14),
        "fifteen" => Part::Value(15),
        "sixteen" => Part::Value(16),
        "seventeen" => Part::Value(17),
        "eighteen" => Part::Value(18),
        "nineteen" => Part::Value(19),
        "twenty" => Part::Tens(20),
        "thirty" => Part::Tens(30),
        "forty" | "fourty" => Part::Tens(40),
        "fifty" => Part::Tens(50),
        "sixty" => Part::Tens(60),
        "seventy" => Part::Tens(70),
        "eighty" => Part::Tens(80),
        "ninety" => Part::Tens(90),
        "hundred" => Part::Hundred,
        "thousand" => Part::Thousand,
        "double" => Part::Repeat(2),
        "triple" | "treble" => Part::Repeat(3),
        "and" => Part::And,
        _ => return None,
    })
}

/// German writes numbers as one word, and recognisers glue digits together: the word is cut into
/// its pieces, the longest first.
fn german(word: &str) -> Option<Vec<Part>> {
    const PIECES: &[(&str, Part)] = &[
        ("null", Part::Value(0)),
        ("eins", Part::Value(1)),
        ("einen", Part::Value(1)),
        ("zwei", Part::Value(2)),
        ("zwo", Part::Value(2)),
        ("dreizehn", Part::Value(13)),
        ("dreissig", Part::Round(30)),
        ("drei", Part::Value(3)),
        ("vierzehn", Part::Value(14)),
        ("vierzig", Part::Round(40)),
        ("vier", Part::Value(4)),
        ("fuffzehn", Part::Value(15)),
        ("fuffzig", Part::Round(50)),
        ("fuenfzehn", Part::Value(15)),
        ("fuenfzig", Part::Round(50)),
        ("fuenf", Part::Value(5)),
        ("sechzehn", Part::Value(16)),
        ("sechzig", Part::Round(60)),
        ("sechs", Part::Value(6)),
        ("siebzehn", Part::Value(17)),
        ("siebzig", Part::Round(70)),
        ("sieben", Part::Value(7)),
        ("achtzehn", Part::Value(18)),
        ("achtzig", Part::Round(80)),
        ("acht", Part::Value(8)),
        ("neunzehn", Part::Value(19)),
        ("neunzig", Part::Round(90)),
        ("neun", Part::Value(9)),
        ("zehn", Part::Value(10)),
        ("elf", Part::Value(11)),
        ("zwoelf", Part::Value(12)),
        ("zwanzig", Part::Round(20)),
        ("hundert", Part::Hundred),
        ("tausend", Part::Thousand),
        ("doppel", Part::Repeat(2)),
        ("doppelt", Part::Repeat(2)),
        ("zweimal", Part::Repeat(2)),
        ("dreimal", Part::Repeat(3)),
        ("viermal", Part::Repeat(4)),
        ("und", Part::And),
        ("ein", Part::Value(1)),
    ];
    // "Ein" alone is an article.
    if matches!(word, "ein" | "einen") || word.len() > 64 {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let (piece, part) = PIECES
            .iter()
            .filter(|(piece, _)| rest.starts_with(piece))
            .max_by_key(|(piece, _)| piece.len())?;
        parts.push(*part);
        rest = &rest[piece.len()..];
    }
    (!parts.is_empty()).then_some(parts)
}

/// Arabic joins by a letter before the word ("and twenty"), and has a dual ("two hundred") and many
/// spoken forms of the teens.
fn arabic(word: &str) -> Option<Vec<Part>> {
    if word == "و" {
        return Some(vec![Part::And]);
    }
    if let Some(parts) = arabic_word(word) {
        return Some(parts);
    }
    let joined = word.strip_prefix('و').filter(|w| w.chars().count() > 1)?;
    let mut parts = vec![Part::And];
    parts.extend(arabic_word(joined)?);
    Some(parts)
}

fn arabic_word(word: &str) -> Option<Vec<Part>> {
    let part = match word {
        "صفر" | "زيرو" => Part::Value(0),
        "صفرين" => return Some(vec![Part::Value(0), Part::Value(0)]),
        "واحد" | "واحده" | "احد" | "احدي" => Part::Value(1),
        "اثنين" | "اثنان" | "اثنا" | "اثني" | "اثنتين" | "اثنتان" | "ثنتين" | "اتنين" | "تنين" => {
            Part::Value(2)
        }
        "ثلاثه" | "ثلاث" | "تلاته" | "تلات" => Part::Value(3),
        "اربعه" | "اربع" => Part::Value(4),
        "خمسه" | "خمس" => Part::Value(5),
        "سته" | "ست" => Part::Value(6),
        "سبعه" | "سبع" => Part::Value(7),
        "ثمانيه" | "ثماني" | "ثمان" | "تمانيه" | "تمنيه" | "تمن" => {
            Part::Value(8)
        }
        "تسعه" | "تسع" => Part::Value(9),
        "عشره" => Part::Value(10),
        "عشر" => Part::Teen,
        "احدعشر" | "احداعش" | "حداعش" | "حداشر" => Part::Value(11),
        "اثناعشر" | "اثنعش" | "اطنعش" | "اطناعش" | "اتناشر" => {
            Part::Value(12)
        }
        "ثلاثطعش" | "تلتاعش" | "تلطاعش" | "تلتاشر" => Part::Value(13),
        "اربعطعش" | "اربعتاعش" | "اربعتاشر" => Part::Value(14),
        "خمسطعش" | "خمستاعش" | "خمستاشر" => Part::Value(15),
        "ستطعش" | "ستاعش" | "سطاعش" | "ستاشر" => Part::Value(16),
        "سبعطعش" | "سبعتاعش" | "سبعتاشر" => Part::Value(17),
        "ثمنطعش" | "تمنتاعش" | "تمنتاشر" => Part::Value(18),
        "تسعطعش" | "تسعتاعش" | "تسعتاشر" => Part::Value(19),
        "عشرين" | "عشرون" => Part::Round(20),
        "ثلاثين" | "ثلاثون" | "تلاتين" => Part::Round(30),
        "اربعين" | "اربعون" => Part::Round(40),
        "خمسين" | "خمسون" => Part::Round(50),
        "ستين" | "ستون" => Part::Round(60),
        "سبعين" | "سبعون" => Part::Round(70),
        "ثمانين" | "ثمانون" | "تمانين" => Part::Round(80),
        "تسعين" | "تسعون" => Part::Round(90),
        "مئه" | "مائه" | "ميه" => Part::Hundred,
        "مئتين" | "مئتان" | "مائتين" | "ميتين" => {
            return Some(vec![Part::Value(2), Part::Hundred]);
        }
        "الف" | "الاف" => Part::Thousand,
        "الفين" | "الفان" => return Some(vec![Part::Value(2), Part::Thousand]),
        "دبل" => Part::Repeat(2),
        "تربل" => Part::Repeat(3),
        _ => return arabic_hundreds(word),
    };
    Some(vec![part])
}

/// "Three hundred" as one word.
fn arabic_hundreds(word: &str) -> Option<Vec<Part>> {
    let stem = ["مئه", "مائه", "ميه"]
        .iter()
        .find_map(|hundred| word.strip_suffix(hundred))?;
    let value = match stem {
        "ثلاث" | "تلت" | "تلات" => 3,
        "اربع" | "ربع" => 4,
        "خمس" => 5,
        "ست" => 6,
        "سبع" => 7,
        "ثمان" | "ثماني" | "تمن" => 8,
        "تسع" => 9,
        _ => return None,
    };
    Some(vec![Part::Value(value), Part::Hundred])
}

/// Words a recogniser writes for digits.
pub(super) fn sounds_like(word: &str, language: Language) -> Option<u32> {
    let value = match (language, word) {
        (Language::En, "owe" | "ho" | "row" | "nero" | "near" | "nearer" | "mirror" | "xero") => 0,
        (Language::En, "won" | "wun") => 1,
        (Language::En, "to" | "too" | "tu") => 2,
        (Language::En, "tree" | "free") => 3,
        (Language::En, "for" | "fore" | "foe") => 4,
        (Language::En, "fife" | "hive" | "time" | "times") => 5,
        (Language::En, "sex" | "sics") => 6,
        (Language::En, "ate" | "hate") => 8,
        (Language::En, "nein" | "mine") => 9,
        (Language::De, "nul" | "nulle") => 0,
        (Language::De, "ein" | "eines") => 1,
        (Language::De, "zwai" | "so" | "two") => 2,
        (Language::De, "frei") => 3,
        (Language::De, "fuer" | "wir") => 4,
        (Language::De, "fuenft") => 5,
        (Language::De, "lieben") => 7,
        (Language::De, "nein" | "neu") => 9,
        (Language::De, "fier") => 4,
        (Language::De, "sex" | "sechse") => 6,
        (Language::Ar, "سفر" | "سفرا" | "زفر") => 0,
        (Language::Ar, "وحد" | "واحدا") => 1,
        (Language::Ar, "طنين" | "اتنن" | "الاثنين") => 2,
        (Language::Ar, "الثلاثاء" | "ثلاثاء" | "تلاتا") => 3,
        (Language::Ar, "الاربعاء" | "اربعاء" | "اربعا") => 4,
        (Language::Ar, "الخميس" | "خميس" | "خمسا") => 5,
        (Language::Ar, "سطه" | "ستا") => 6,
        (Language::Ar, "صبعه" | "سبعا" | "السبعه") => 7,
        (Language::Ar, "ثمنيه" | "تماني") => 8,
        (Language::Ar, "تسعا" | "تسعي" | "تصعه") => 9,
        (Language::En | Language::De | Language::Ar, _) => return None,
    };
    Some(value)
}
