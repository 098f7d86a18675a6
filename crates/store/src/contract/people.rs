//! Users and registrations.

use serde_json::json;

use super::make::at;
use crate::error::UserError;
use crate::rows::{BindingRow, UserRow};
use crate::store::Store;

fn user(name: &str) -> UserRow {
    UserRow {
        name: name.into(),
        password_hash: "$argon2id$v=19$...".into(),
        role: "operator".into(),
        credential_version: 1,
        disabled: false,
        created_at: at(0),
    }
}

pub async fn users_are_unique_by_name(store: &Store) {
    store.add_user(user("eve")).await.unwrap();
    store.add_user(user("ada")).await.unwrap();
    assert_eq!(
        store.add_user(user("ada")).await,
        Err(UserError::Exists { name: "ada".into() })
    );
    assert!(store.user("ada").await.unwrap() == Some(user("ada")));
    assert!(store.user("Ada").await.unwrap().is_none());
    let changed = UserRow {
        credential_version: 2,
        disabled: true,
        ..user("ada")
    };
    assert!(store.update_user(changed.clone()).await.unwrap());
    assert!(!store.update_user(user("nobody")).await.unwrap());
    assert!(store.users().await.unwrap() == vec![changed, user("eve")]);
}

pub async fn bindings_are_replaced_per_extension_and_expire(store: &Store) {
    let binding = |extension: &str, contact: &str, second| BindingRow {
        extension: extension.into(),
        contact: contact.into(),
        data: json!({"transport": "udp"}),
        expires_at: at(second),
        updated_at: at(0),
    };
    let phone = binding("2001", "sip:2001@192.0.2.1:5060", 60);
    let desk = binding("2001", "sip:2001@192.0.2.2:5060", 90);
    let other = binding("2005", "sip:2005@192.0.2.3:5060", 60);
    store
        .replace_bindings("2001", vec![desk.clone(), phone.clone()])
        .await
        .unwrap();
    store
        .replace_bindings("2005", vec![other.clone()])
        .await
        .unwrap();
    assert_eq!(
        store.bindings(at(0)).await.unwrap(),
        vec![phone.clone(), desk.clone(), other.clone()]
    );
    assert_eq!(store.bindings(at(60)).await.unwrap(), vec![desk.clone()]);
    store
        .replace_bindings("2001", vec![desk.clone()])
        .await
        .unwrap();
    assert_eq!(
        store.bindings(at(0)).await.unwrap(),
        vec![desk, other.clone()]
    );
    store.replace_bindings("2001", vec![]).await.unwrap();
    assert_eq!(store.bindings(at(0)).await.unwrap(), vec![other]);
}
