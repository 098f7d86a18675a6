//! Who is asking, and what they may do.

mod me;
mod password;
mod principal;
mod refresh;
mod role;
mod token;
mod tokens;
mod users;

pub(super) use me::{__path_me, me};
pub(super) use password::PasswordCheck;
pub use password::WeakPassword;
pub(super) use principal::{OptionalPrincipal, Principal};
pub(super) use refresh::{__path_refresh, refresh};
pub use role::{Permission, Role};
pub(super) use token::{__path_token, token};
pub use tokens::{TokenKeys, TokenUse, WeakKey};
pub use users::{AddUserError, add_user, seed_user, set_password};
