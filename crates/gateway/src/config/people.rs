//! Extensions, and the users of the console who are made from the file.

use std::collections::BTreeMap;

use switchhook_media::srtp::sdes::SrtpPolicy;
use switchhook_model::Extension;

use super::problems::Problems;
use super::raw::{RawExtension, RawUser};
use super::types::{DtmfMode, ExtensionConfig, Mode, UserSeed};

pub(super) fn extensions(
    raw: BTreeMap<String, RawExtension>,
    (media_srtp, media_dtmf): (SrtpPolicy, DtmfMode),
    mode: Mode,
    problems: &mut Problems,
) -> BTreeMap<Extension, ExtensionConfig> {
    raw.into_iter()
        .filter_map(|(digits, extension)| {
            let srtp_key = format!("extensions.{digits}.srtp");
            let srtp = problems.srtp(&srtp_key, extension.srtp.as_deref(), media_srtp);
            let dtmf_key = format!("extensions.{digits}.dtmf");
            let dtmf = problems.dtmf(&dtmf_key, extension.dtmf.as_deref(), media_dtmf);
            let key = format!("extensions.{digits}.password");
            let number: Option<Extension> = problems.parse("extensions", &digits);
            let Some(password) = problems.secret(&key, extension.password, extension.password_file)
            else {
                problems.add(format!("{key} is missing"));
                return None;
            };
            if mode == Mode::Production && password.expose().chars().count() < 12 {
                problems.add(format!("{key} is shorter than 12 characters"));
            }
            Some((
                number?,
                ExtensionConfig {
                    name: extension.name,
                    password,
                    srtp,
                    dtmf,
                },
            ))
        })
        .collect()
}

pub(super) fn users(
    raw: BTreeMap<String, RawUser>,
    mode: Mode,
    problems: &mut Problems,
) -> Vec<UserSeed> {
    raw
        .into_iter()
        .filter_map(|(name, user)| {
            let key = format!("users.{name}.password");
            let password = problems.secret(&key, user.password, user.password_file);
            let role = user.role.unwrap_or_else(|| "operator".to_owned());
            if !["operator", "admin", "desk"].contains(&role.as_str()) {
                problems.add(format!("users.{name}.role: expected operator, admin or desk"));
            }
            if mode == Mode::Production {
                problems.add(format!(
                    "users.{name}: users are not made from the file in production: `switchhook user add {name}`"
                ));
            }
            Some(UserSeed { name, role, password: password? })
        })
        .collect()
}
