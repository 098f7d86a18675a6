//! REGISTER from the network.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use rsipstack::sip::{Headers, Method, Response};
use rsipstack::transaction::Transaction;
use switchhook_model::Extension;

use crate::accounts::Who;
use crate::config::SipTransport;
use crate::core::Core;
use crate::door::source_of;
use crate::event::{SipEvent, UnregisterReason};
use crate::message::{self, header_of};
use crate::registrar::{Binding, Contacts, RegisterError, RegisterRequest, RegistrarLimits};
use crate::stack_error;
use crate::tap::now;
use crate::uri::NameAddr;

impl Core {
    /// Answers through the transaction; a failure to send is the network's.
    pub(crate) async fn finish(&self, transaction: &mut Transaction, response: Response) {
        let status = response.status_code.code();
        if let Err(error) = transaction.respond(response).await {
            tracing::debug!(
                error.kind = stack_error::kind(&error),
                status,
                "SIP response not sent"
            );
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
        let Some(path) = path_of(&request.headers) else {
            let response = self.response(request, 400, None);
            return self.finish(&mut transaction, response).await;
        };
        let route = path.clone();
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
                path,
                instance: instance_of(&request.headers),
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
                for entry in &route {
                    // RFC 3327 §5.3: the phone sees which way it is reached.
                    response.headers.push(header_of("Path", entry.as_str()));
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

    /// A connection is gone, and with it every binding that only it could reach.
    pub(crate) fn connection_closed(&self, transport: SipTransport, source: SocketAddr) {
        if !transport.is_opened_by_peer() {
            return;
        }
        let ended = self
            .registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .disconnected(transport, source, now());
        for (extension, bindings) in ended {
            self.events.send(SipEvent::Unregistered {
                extension,
                bindings,
                reason: UnregisterReason::Disconnected,
            });
        }
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

    /// Extensions we have, where they mean something.
    fn is_supported(&self, request: &rsipstack::sip::Request, option: &str) -> bool {
        let is_invite = request.method == Method::Invite;
        let is_register = request.method == Method::Register;
        option.eq_ignore_ascii_case("replaces")
            || (is_register && option.eq_ignore_ascii_case("path"))
            || (is_invite
                && self.config.reliable_provisionals
                && option.eq_ignore_ascii_case("100rel"))
            || (is_invite
                && self.config.session_timer.is_some()
                && option.eq_ignore_ascii_case("timer"))
    }

    /// 420 when the request requires what we do not have (RFC 3261 §8.2.2.3).
    pub(crate) fn unsupported_options(
        &self,
        request: &rsipstack::sip::Request,
    ) -> Option<Response> {
        let required: Vec<&str> = message::headers_all(&request.headers, "Require")
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|option| !option.is_empty() && !self.is_supported(request, option))
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

/// The Path entries, nearest first, at most 8; None when one is not an address.
fn path_of(headers: &Headers) -> Option<Vec<String>> {
    let path: Vec<String> = message::route_entries(headers, "Path");
    let good = |entry: &String| {
        entry.len() <= 512
            && !entry.chars().any(char::is_control)
            && NameAddr::parse(entry)
                .and_then(|entry| entry.sip_uri())
                .is_ok()
    };
    (path.len() <= 8 && path.iter().all(good)).then_some(path)
}

/// `+sip.instance` of the first Contact (RFC 5626 §4.1).
fn instance_of(headers: &Headers) -> Option<String> {
    let contact = message::header(headers, "Contact")?;
    let first = crate::uri::split_entries(contact).into_iter().next()?;
    let instance = NameAddr::parse(first).ok()?;
    let instance = instance.param("+sip.instance")?.trim_matches('"');
    let good = !instance.is_empty() && instance.len() <= 256;
    good.then(|| instance.to_owned())
}

/// Path and instance of any text, for the fuzz target.
pub(crate) fn fuzz_register(text: &str) {
    let headers: Headers = vec![header_of("Path", text), header_of("Contact", text)].into();
    if let Some(path) = path_of(&headers) {
        assert!(path.iter().all(|entry| NameAddr::parse(entry).is_ok()));
    }
    if let Some(instance) = instance_of(&headers) {
        assert!(instance.len() <= 256);
    }
}
