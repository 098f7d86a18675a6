//! A name server with the records of one test, over UDP.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part; tests may unwrap"
)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

type Records = HashMap<(String, RecordType), Vec<RData>>;

pub struct Server {
    pub address: SocketAddr,
    records: Arc<Mutex<Records>>,
    /// Every question so far.
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

impl Server {
    /// Answers with this lifetime, in seconds.
    pub async fn start(ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records: Arc<Mutex<Records>> = Arc::default();
        let asked: Arc<Mutex<Vec<(String, RecordType)>>> = Arc::default();
        let (known, log) = (records.clone(), asked.clone());
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Ok(question) = Message::from_vec(&buffer[..length]) else {
                    continue;
                };
                let answer = answer(&question, &known.lock().unwrap(), &log, ttl);
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        Self {
            address,
            records,
            asked,
        }
    }

    pub fn add(&self, owner: &str, data: RData) {
        let key = (name(owner).to_ascii().to_lowercase(), data.record_type());
        self.records
            .lock()
            .unwrap()
            .entry(key)
            .or_default()
            .push(data);
    }

    pub fn address(&self, owner: &str, ip: &str) {
        self.add(
            owner,
            match ip.parse().unwrap() {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            },
        );
    }

    pub fn srv(&self, owner: &str, priority: u16, weight: u16, port: u16, host: &str) {
        self.add(
            owner,
            RData::SRV(SRV::new(priority, weight, port, name(host))),
        );
    }

    pub fn naptr(&self, owner: &str, order: u16, service: &str, replacement: &str) {
        let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
        let record = NAPTR::new(
            order,
            1,
            bytes("s"),
            bytes(service),
            bytes(""),
            name(replacement),
        );
        self.add(owner, RData::NAPTR(record));
    }

    pub fn clear(&self) {
        self.records.lock().unwrap().clear();
    }

    pub fn times_asked(&self, owner: &str, kind: RecordType) -> usize {
        let owner = name(owner).to_ascii();
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(n, k)| *n == owner && *k == kind)
            .count()
    }
}

fn answer(
    question: &Message,
    records: &Records,
    log: &Mutex<Vec<(String, RecordType)>>,
    ttl: u32,
) -> Message {
    let query = question.queries[0].clone();
    let owner = query.name().to_ascii().to_lowercase();
    let kind = query.query_type();
    log.lock().unwrap().push((owner.clone(), kind));
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.add_query(query.clone());
    match records.get(&(owner.clone(), kind)) {
        Some(found) => {
            for data in found {
                answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data.clone()));
            }
        }
        None => {
            let exists = records.keys().any(|(name, _)| *name == owner);
            if !exists {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let zone = name("example.com");
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, 1);
            answer.add_authority(Record::from_rdata(zone, 1, RData::SOA(soa)));
        }
    }
    answer
}
