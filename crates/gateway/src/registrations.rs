//! Registrations survive a restart: a phone that registered an hour ago still rings.

use switchhook_model::Extension;
use switchhook_sip::Binding;
use switchhook_store::{BindingRow, Store, StoreError};

use crate::clock;

/// Those that have not expired.
pub async fn load(store: &Store) -> Result<Vec<Binding>, StoreError> {
    let rows = store.bindings(clock::now()).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| serde_json::from_value(row.data).ok())
        .collect())
}

/// Replaces all bindings of an extension.
pub async fn keep(
    store: &Store,
    extension: &Extension,
    bindings: Vec<Binding>,
) -> Result<(), StoreError> {
    let now = clock::now();
    let rows = bindings
        .into_iter()
        .map(|binding| BindingRow {
            extension: extension.to_string(),
            contact: binding.contact.clone(),
            expires_at: binding.expires_at,
            data: serde_json::to_value(&binding).unwrap_or_default(),
            updated_at: now,
        })
        .collect();
    store.replace_bindings(extension.as_str(), rows).await
}
