//! A home network behind a router that translates addresses, made of the kernel's own parts:
//!
//! ```text
//!  this machine                    router (namespace)               home (namespace)
//!  203.0.113.x  ──── veth ────  203.0.113.y  192.168.77.1 ── veth ── 192.168.77.2
//!  the gateway                     masquerade random                 the phone
//!  198.51.100.x ──────────────────── veth, for control only ──────── 198.51.100.y
//! ```
//!
//! The router gives every flow another source port (`masquerade random`) and lets nothing in that
//! was not asked for from inside, so an address of the home network in SDP or Contact leads
//! nowhere. The control line carries a softphone's control connection; no route leads over it.

use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Address of the phone in its own network.
pub const HOME: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
const HOME_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

/// What a program needs to know to be started at home.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of the network namespace.
    pub namespace: String,
    /// Address for SIP and RTP.
    pub address: Ipv4Addr,
    /// Address for control connections from this machine.
    pub control: Ipv4Addr,
}

/// Two namespaces and the wires between them; all are removed when dropped.
#[derive(Debug)]
pub struct HomeNetwork {
    id: String,
    outside: Ipv4Addr,
    router: Ipv4Addr,
    control: Ipv4Addr,
}

impl HomeNetwork {
    /// Makes it. Needs root, `ip` (package iproute2) and `nft` (package nftables); panics with
    /// what is missing.
    pub fn create() -> Self {
        let is_root = Command::new("id").arg("-u").output();
        let is_root = is_root.is_ok_and(|o| o.stdout.trim_ascii() == b"0");
        assert!(
            is_root,
            "network namespaces need root: run these tests as root (in a container also with \
             --cap-add NET_ADMIN --cap-add SYS_ADMIN), or leave them out with -- --skip nat::"
        );
        // Tests run at the same time: one looks for free addresses while the other takes them.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "{}{}",
            std::process::id(),
            (b'a' + (NEXT.fetch_add(1, Ordering::Relaxed) % 26) as u8) as char
        );
        // Two /30 networks of the documentation ranges (RFC 5737) that nobody here uses yet.
        let used = run("ip", "iproute2", &["-4", "-o", "addr", "show"]);
        let used = String::from_utf8_lossy(&used.stdout).into_owned();
        let first = std::process::id() as usize;
        let slot = (0..64)
            .map(|n| ((first + n) % 64 * 4) as u8)
            .find(|n| !used.contains(&format!("203.0.113.{}/", n + 1)))
            .expect("one of 64 networks is free");
        let network = Self {
            id,
            outside: Ipv4Addr::new(203, 0, 113, slot + 1),
            router: Ipv4Addr::new(203, 0, 113, slot + 2),
            control: Ipv4Addr::new(198, 51, 100, slot + 2),
        };
        // From here on dropping it cleans up, also when a step fails.
        network.build(slot);
        network
    }

    fn build(&self, slot: u8) {
        let (home, router) = (self.home(), self.router_namespace());
        let (out, ctl) = (format!("swo{}", self.id), format!("swc{}", self.id));
        let control_here = Ipv4Addr::new(198, 51, 100, slot + 1);
        let steps = [
            format!("netns add {home}"),
            format!("netns add {router}"),
            format!("link add {out} type veth peer name wan netns {router}"),
            format!("link add {ctl} type veth peer name ctl netns {home}"),
            format!("-n {router} link add lan type veth peer name eth0 netns {home}"),
            format!("addr add {}/30 dev {out}", self.outside),
            format!("addr add {control_here}/30 dev {ctl}"),
            format!("-n {router} addr add {}/30 dev wan", self.router),
            format!("-n {router} addr add {HOME_ROUTER}/24 dev lan"),
            format!("-n {home} addr add {HOME}/24 dev eth0"),
            format!("-n {home} addr add {}/30 dev ctl", self.control),
            format!("link set {out} up"),
            format!("link set {ctl} up"),
            format!("-n {router} link set lo up"),
            format!("-n {router} link set wan up"),
            format!("-n {router} link set lan up"),
            format!("-n {home} link set lo up"),
            format!("-n {home} link set eth0 up"),
            format!("-n {home} link set ctl up"),
            format!("-n {home} route add default via {HOME_ROUTER}"),
        ];
        for step in steps {
            let words: Vec<&str> = step.split(' ').collect();
            match words.as_slice() {
                ["-n", namespace, rest @ ..] => {
                    let within = entering(namespace);
                    run("nsenter", "util-linux", &[&[&*within, "ip"], rest].concat());
                }
                _ => {
                    run("ip", "iproute2", &words);
                }
            }
        }
        let within = entering(&router);
        let forward = ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"];
        run(
            "nsenter",
            "util-linux",
            &[&[&*within], &forward[..]].concat(),
        );
        let rules = "table ip home {\n\
             chain nat { type nat hook postrouting priority srcnat;\n\
             oifname \"wan\" masquerade random\n }\n\
             chain door { type filter hook forward priority filter; policy drop;\n\
             ct state established,related accept\n iifname \"lan\" accept\n }\n }\n";
        let nft = ["nft", rules];
        // Asked for by name first, so that what is missing is said plainly.
        run("nft", "nftables", &["--version"]);
        run("nsenter", "util-linux", &[&[&*within], &nft[..]].concat());
    }

    /// This machine's address on the outside: where the gateway is.
    pub fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// The only address of the home network that the outside sees.
    pub fn router(&self) -> Ipv4Addr {
        self.router
    }

    /// Where a phone is started.
    pub fn place(&self) -> Place {
        Place {
            namespace: self.home(),
            address: HOME,
            control: self.control,
        }
    }

    fn home(&self) -> String {
        format!("swhome{}", self.id)
    }

    fn router_namespace(&self) -> String {
        format!("swrouter{}", self.id)
    }
}

impl Drop for HomeNetwork {
    fn drop(&mut self) {
        // Wires go with either end. What was never made cannot be removed: nothing is to be said.
        for name in [self.home(), self.router_namespace()] {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
        for kind in ["swo", "swc"] {
            let name = format!("{kind}{}", self.id);
            let _ = Command::new("ip").args(["link", "del", &name]).output();
        }
    }
}

/// What makes `nsenter` run a program in a namespace. `ip netns exec` would mount a `/sys` of its own
/// there, which is refused where the root folder is no mount point (chroot).
pub fn entering(namespace: &str) -> String {
    format!("--net=/run/netns/{namespace}")
}

fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{program} cannot be started ({e}); install {package}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
