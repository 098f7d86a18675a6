//! REGISTER from the network.

use std::sync::{Arc, PoisonError};

use rsipstack::sip::Response;
use rsipstack::transaction::Transaction;
use switchhook_model::Extension;

use crate::auth::Who;
use crate::core::Core;
use crate::door::source_of;
use crate::event::{SipEvent, UnregisterReason};
use crate::message::{self, header_of};
use crate::registrar::{Binding, Contacts, RegisterError, RegisterRequest, RegistrarLimits};
use crate::tap::now;

impl Core {
    /// Answers through the transaction; a failure to send is the network's.
    pub(crate) async fn finish(&self, transaction: &mut Transaction, response: Response) {
        let status = response.status_code.code();
        if let Err(error) = transaction.respond(response).await {
            tracing::debug!(%error, status, "SIP response not sent");
        }
    }

    pub(crate) async fn handle_register(self: Arc<Self>, mut transaction: Transaction) {
        let Some((transport, source)) = source_of(&transaction.original) else {
            return;
        };
        if let Some(response) = self.unsupported_options(&transaction.original) {
            return self.finish(&mut transaction, response).await;
        }
        let Some(who) = self.authenticate(&mut transaction, source).await else {
            return;
        };
        let request = &transaction.original;
        let address_of_record = message::name_addr(&request.headers, "To")
            .map(|to| to.user())
            .unwrap_or_default();
        let extension = match who {
            Who::Extension(extension) if extension.as_str() == address_of_record => extension,
            // Nobody registers for another (RFC 3261 §10.3 step 3).
            Who::Extension(_) | Who::Trunk(_) => {
                let response = self.response(request, 403, None);
                return self.finish(&mut transaction, response).await;
            }
        };
        let contacts = Contacts::parse(
            message::headers_all(&request.headers, "Contact"),
            message::header(&request.headers, "Expires"),
        );
        let sip_call_id = message::header(&request.headers, "Call-ID").unwrap_or("");
        let cseq = message::cseq(&request.headers).map_or(0, |(number, _)| number);
        let user_agent = message::header(&request.headers, "User-Agent").unwrap_or("");
        let result = contacts.and_then(|contacts| {
            let is_query = contacts == Contacts::Query;
            let asked = RegisterRequest {
                extension: extension.clone(),
                contacts,
                source,
                transport,
                sip_call_id: sip_call_id.to_owned(),
                cseq,
                user_agent: user_agent.chars().filter(|c| !c.is_control()).collect(),
            };
            let limits = &self.config.limits;
            let limits = RegistrarLimits {
                max_contacts: limits.max_contacts,
                min_expires_s: limits.min_expires_s,
                max_expires_s: limits.max_expires_s,
            };
            let mut registrar = self
                .registrar
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let (bindings, _) = registrar.register(asked, limits, now())?;
            Ok((bindings, is_query))
        });
        let response = match result {
            Ok((bindings, is_query)) => {
                let mut response = self.response(request, 200, None);
                for binding in &bindings {
                    let remaining_s = binding.expires_at.millis_since(now()).div_ceil(1_000);
                    let value = format!("<{}>;expires={remaining_s}", binding.contact);
                    response.headers.push(header_of("Contact", value));
                }
                if !is_query {
                    self.report_bindings(extension, bindings);
                }
                response
            }
            Err(error) => self.register_refusal(request, error),
        };
        self.finish(&mut transaction, response).await;
    }

    fn register_refusal(
        &self,
        request: &rsipstack::sip::Request,
        error: RegisterError,
    ) -> Response {
        tracing::debug!(%error, "REGISTER refused");
        match error {
            RegisterError::Contact(_)
            | RegisterError::Wildcard
            | RegisterError::Expires
            | RegisterError::TooMany => {
                let mut response = self.response(request, 400, None);
                response
                    .headers
                    .push(header_of("Warning", format!("399 switchhook \"{error}\"")));
                response
            }
            RegisterError::TooBrief { min_expires_s } => {
                let mut response = self.response(request, 423, None);
                response
                    .headers
                    .push(header_of("Min-Expires", min_expires_s.to_string()));
                response
            }
            RegisterError::OutOfOrder => self.response(request, 500, None),
        }
    }

    fn report_bindings(&self, extension: Extension, bindings: Vec<Binding>) {
        self.events.send(if bindings.is_empty() {
            SipEvent::Unregistered {
                extension,
                bindings,
                reason: UnregisterReason::Removed,
            }
        } else {
            SipEvent::Registered {
                extension,
                bindings,
            }
        });
    }

    /// Called every second.
    pub(crate) fn expire_bindings(&self) {
        let expired = self
            .registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .expire(now());
        for (extension, bindings) in expired {
            self.events.send(SipEvent::Unregistered {
                extension,
                bindings,
                reason: UnregisterReason::Expired,
            });
        }
    }

    /// 420 when the request requires what we do not have (RFC 3261 §8.2.2.3).
    pub(crate) fn unsupported_options(
        &self,
        request: &rsipstack::sip::Request,
    ) -> Option<Response> {
        let required: Vec<&str> = message::headers_all(&request.headers, "Require")
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|option| !option.is_empty())
            .filter(|option| !message::SUPPORTED.eq_ignore_ascii_case(option))
            .collect();
        if required.is_empty() {
            return None;
        }
        let mut response = self.response(request, 420, None);
        response
            .headers
            .push(header_of("Unsupported", required.join(", ")));
        Some(response)
    }
}
