//! The calls into the operating system that the standard library does not offer: receiving several
//! datagrams with their arrival times at once, pinning a thread, asking for real-time scheduling.
//! The only module with unsafe code.

#![expect(
    unsafe_code,
    reason = "recvmmsg with kernel arrival times, thread affinity and scheduling have no safe wrapper in std"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams taken by one system call. A leg gets one per tick; two or three after a hiccup.
pub const BATCH: usize = 4;

/// Longest datagram we look at. 60 ms of G.711 are 492 octets; what is longer is counted invalid.
pub const DATAGRAM_MAX: usize = 1_500;

/// Room for one `SCM_TIMESTAMPNS` control message.
const CONTROL_LEN: usize = 64;

/// Control buffers must be aligned like `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// Buffers for receiving, made once for a worker and used for all its sockets. `N` datagrams are
/// taken by one system call.
pub struct RecvBatch<const N: usize = BATCH> {
    data: Box<[[u8; DATAGRAM_MAX]; N]>,
    addresses: [libc::sockaddr_storage; N],
    control: [Control; N],
    lens: [usize; N],
    truncated: [bool; N],
    control_lens: [usize; N],
    received: usize,
}

/// One received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    pub data: &'a mut [u8],
    /// Nanoseconds of the kernel's wall clock; 0 when the kernel gave none.
    pub arrival_ns: u64,
    /// Longer than [`DATAGRAM_MAX`].
    pub truncated: bool,
}

impl<const N: usize> std::fmt::Debug for RecvBatch<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl<const N: usize> Default for RecvBatch<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> RecvBatch<N> {
    pub fn new() -> Self {
        Self {
            data: Box::new([[0; DATAGRAM_MAX]; N]),
            // SAFETY: sockaddr_storage is plain data for which all zeroes is a valid value.
            addresses: [unsafe { zeroed() }; N],
            control: [Control([0; CONTROL_LEN]); N],
            lens: [0; N],
            truncated: [false; N],
            control_lens: [0; N],
            received: 0,
        }
    }

    /// Takes up to `N` waiting datagrams without blocking; returns how many.
    pub fn receive(&mut self, socket: &UdpSocket) -> usize {
        self.received = 0;
        // SAFETY: iovec and mmsghdr are plain data for which all zeroes is a valid value.
        let mut vectors: [libc::iovec; N] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; N] = unsafe { zeroed() };
        for i in 0..N {
            vectors[i].iov_base = self.data[i].as_mut_ptr().cast();
            vectors[i].iov_len = DATAGRAM_MAX;
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.addresses[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.control[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_LEN;
        }
        // SAFETY: every pointer in `headers` leads to a buffer of the stated length that lives,
        // unaliased, until the call returns; the kernel keeps none of them.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                N as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        // Negative is "nothing there" or an ICMP error for something we sent (ECONNREFUSED): the
        // missing packets are noticed by the no-RTP watch either way.
        let received = usize::try_from(result).unwrap_or(0);
        for (i, header) in headers.iter().enumerate().take(received) {
            self.lens[i] = (header.msg_len as usize).min(DATAGRAM_MAX);
            self.truncated[i] = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            self.control_lens[i] = header.msg_hdr.msg_controllen.min(CONTROL_LEN);
        }
        self.received = received;
        received
    }

    /// A datagram of the last [`Self::receive`], to be decrypted in place; nothing when its source
    /// is no IP address.
    pub fn get(&mut self, i: usize) -> Option<Datagram<'_>> {
        if i >= self.received {
            return None;
        }
        Some(Datagram {
            from: socket_addr(&self.addresses[i])?,
            data: &mut self.data[i][..self.lens[i]],
            arrival_ns: arrival_ns(&self.control[i].0[..self.control_lens[i]]),
            truncated: self.truncated[i],
        })
    }
}

fn socket_addr(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in, as the family says; storage is larger and
            // aligned for every address type.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            Some(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
                u16::from_be(v4.sin_port),
            )))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(v6.sin6_addr.s6_addr),
                u16::from_be(v6.sin6_port),
                0,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

/// Reads the kernel's arrival time from a control buffer: `cmsghdr` and a `timespec`.
fn arrival_ns(control: &[u8]) -> u64 {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const LEN: usize = size_of::<usize>();
    if control.len() < HEADER + 16 {
        return 0;
    }
    let word =
        |at: usize| i64::from_ne_bytes(control[at..at + 8].try_into().expect("eight octets"));
    let int = |at: usize| i32::from_ne_bytes(control[at..at + 4].try_into().expect("four octets"));
    if int(LEN) != libc::SOL_SOCKET || int(LEN + 4) != libc::SCM_TIMESTAMPNS {
        return 0;
    }
    let (seconds, nanoseconds) = (word(HEADER), word(HEADER + 8));
    u64::try_from(
        seconds
            .wrapping_mul(1_000_000_000)
            .wrapping_add(nanoseconds),
    )
    .unwrap_or(0)
}

/// Datagrams sent by one system call from one socket: for load generators. A leg sends one packet
/// per tick from its own socket, where batching gains nothing.
#[cfg(feature = "bench")]
pub struct SendBatch<const N: usize> {
    data: Box<[[u8; DATAGRAM_MAX]; N]>,
    lens: [usize; N],
    addresses: [libc::sockaddr_in; N],
    filled: usize,
}

#[cfg(feature = "bench")]
impl<const N: usize> std::fmt::Debug for SendBatch<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "bench")]
impl<const N: usize> Default for SendBatch<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "bench")]
impl<const N: usize> SendBatch<N> {
    pub fn new() -> Self {
        Self {
            data: Box::new([[0; DATAGRAM_MAX]; N]),
            lens: [0; N],
            // SAFETY: sockaddr_in is plain data for which all zeroes is a valid value.
            addresses: [unsafe { zeroed() }; N],
            filled: 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.filled == N
    }

    /// Adds a datagram that `fill` writes; it returns the length.
    ///
    /// # Panics
    /// If the batch is full or the length exceeds [`DATAGRAM_MAX`].
    pub fn push(&mut self, to: SocketAddrV4, fill: impl FnOnce(&mut [u8]) -> usize) {
        let len = fill(&mut self.data[self.filled]);
        assert!(len <= DATAGRAM_MAX, "a datagram of {len} octets");
        self.lens[self.filled] = len;
        let address = &mut self.addresses[self.filled];
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = to.port().to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
        self.filled += 1;
    }

    /// Sends what was added; returns how many datagrams the kernel took.
    pub fn flush(&mut self, socket: &UdpSocket) -> usize {
        // SAFETY: iovec and mmsghdr are plain data for which all zeroes is a valid value.
        let mut vectors: [libc::iovec; N] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; N] = unsafe { zeroed() };
        for i in 0..self.filled {
            vectors[i].iov_base = self.data[i].as_mut_ptr().cast();
            vectors[i].iov_len = self.lens[i];
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.addresses[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
        }
        let mut sent = 0;
        while sent < self.filled {
            // SAFETY: the headers from `sent` on lead to buffers of the stated length that live,
            // unaliased, until the call returns.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[sent..].as_mut_ptr(),
                    (self.filled - sent) as libc::c_uint,
                    0,
                )
            };
            match usize::try_from(result) {
                Ok(n) if n > 0 => sent += n,
                _ => break,
            }
        }
        self.filled = 0;
        sent
    }
}

/// Asks the kernel to stamp arriving datagrams, so that jitter is measured where it happens and
/// not at our tick.
pub fn enable_arrival_times(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a c_int that lives during the call, with its size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps the calling thread on one core.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    // SAFETY: cpu_set_t is a plain bit mask; CPU_SET checks the index against its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: 0 is the calling thread; the set lives during the call, with its size given.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts the calling thread before all ordinary ones (`SCHED_RR`, lowest real-time priority). Needs
/// `CAP_SYS_NICE` or an `RLIMIT_RTPRIO`.
pub fn schedule_realtime() -> io::Result<()> {
    // SAFETY: sched_param is plain data for which all zeroes is a valid value.
    let mut parameters: libc::sched_param = unsafe { zeroed() };
    parameters.sched_priority = 1;
    // SAFETY: 0 is the calling thread; the parameters live during the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks the processor to fetch a value into its cache, without waiting for it. Thousands of legs do
/// not fit into the cache; while one is in a system call, the next one's memory can come.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = (&raw const *value).cast::<i8>();
        for line in 0..size_of_val(value).div_ceil(64) {
            // SAFETY: prefetching never faults, whatever the address; these lie within `value`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Raises the limit of open files as far as this process may; each leg needs one. Returns the
/// limit that holds now.
pub fn raise_file_limit() -> io::Result<u64> {
    // SAFETY: rlimit is plain data for which all zeroes is a valid value.
    let mut limit: libc::rlimit = unsafe { zeroed() };
    // SAFETY: the structure lives during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_with_source_and_arrival_time() {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        enable_arrival_times(&b).unwrap();
        for i in 0..6u8 {
            a.send_to(&[i; 20], b.local_addr().unwrap()).unwrap();
        }
        let mut batch = RecvBatch::<BATCH>::new();
        assert_eq!(batch.receive(&b), BATCH);
        let first = batch.get(0).unwrap();
        assert_eq!(first.from, a.local_addr().unwrap());
        assert_eq!(first.data, [0; 20]);
        assert!(first.arrival_ns > 1_600_000_000_000_000_000);
        assert!(!first.truncated);
        assert_eq!(batch.receive(&b), 2);
        assert_eq!(batch.get(1).unwrap().data, [5; 20]);
        assert!(batch.get(2).is_none());
        assert_eq!(batch.receive(&b), 0);
    }

    #[test]
    fn long_datagrams_are_marked() {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        a.send_to(&[1; 3_000], b.local_addr().unwrap()).unwrap();
        let mut batch = RecvBatch::<BATCH>::new();
        assert_eq!(batch.receive(&b), 1);
        assert!(batch.get(0).unwrap().truncated);
    }

    #[test]
    fn ipv6_sources_are_read() {
        let Ok(a) = UdpSocket::bind("[::1]:0") else {
            return; // no IPv6 on this system
        };
        let b = UdpSocket::bind("[::1]:0").unwrap();
        a.send_to(&[1; 20], b.local_addr().unwrap()).unwrap();
        let mut batch = RecvBatch::<BATCH>::new();
        assert_eq!(batch.receive(&b), 1);
        assert_eq!(
            batch.get(0).unwrap().from.ip(),
            a.local_addr().unwrap().ip()
        );
    }
}
