//! Numbers the kernel keeps of what there is: sockets, threads, open files.

use super::{Proc, malformed};
use crate::Error;

/// How many TCP sockets there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCount {
    /// Those of one network namespace that listen or are connected, of both families.
    pub in_use: u64,
    /// Those of the whole machine, also those that are only bound, or not even that. What is kept
    /// for `TIME_WAIT` is in neither number, nor a connection whose handshake is under way.
    pub allocated: u64,
}

/// What `/proc/loadavg` says of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many threads there are, those of the kernel too, whatever the pid namespace.
    pub threads: u32,
    /// The pid that was given to a process or thread last, in this pid namespace.
    pub last_pid: u32,
}

impl Proc {
    /// Reads how many TCP sockets the network namespace of the calling thread has.
    ///
    /// # Errors
    /// Those of open(2); `EBADMSG` if the numbers are not there.
    pub fn tcp_count(&self) -> Result<TcpCount, Error> {
        let four = "proc/thread-self/net/sockstat";
        // Without IPv6 there is no such file.
        let six = self.read("proc/thread-self/net/sockstat6").unwrap_or_default();
        let count = parse_tcp_count(&self.read(four)?, &six);
        count.ok_or_else(|| malformed(&self.path(four)))
    }

    /// Reads how many threads there are, and the pid given out last: as long as that stays the
    /// same, none was started.
    ///
    /// # Errors
    /// Those of open(2); `EBADMSG` if the numbers are not there.
    pub fn load(&self) -> Result<Load, Error> {
        let path = "proc/loadavg";
        let text = self.read_until(path, |read| read.ends_with(b"\n"))?;
        parse_load(&text).ok_or_else(|| malformed(&self.path(path)))
    }

    /// Reads the pid given out last, see [`Proc::load`].
    ///
    /// # Errors
    /// Those of [`Proc::load`].
    pub fn last_pid(&self) -> Result<u32, Error> {
        Ok(self.load()?.last_pid)
    }

    /// Reads how many files are open on the machine.
    ///
    /// # Errors
    /// Those of open(2); `EBADMSG` if the number is not there.
    pub fn open_files(&self) -> Result<u64, Error> {
        let text = self.sysctl("fs.file-nr")?;
        let count = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
        count.ok_or_else(|| malformed(&self.path("proc/sys/fs/file-nr")))
    }
}

/// Reads `/proc/net/sockstat` and `/proc/net/sockstat6`, which is empty without IPv6.
pub fn parse_tcp_count(four: &[u8], six: &[u8]) -> Option<TcpCount> {
    let (four, six) = (String::from_utf8_lossy(four), String::from_utf8_lossy(six));
    let in_use = number(&four, "TCP:", "inuse")?;
    let in_use6 = if six.is_empty() { 0 } else { number(&six, "TCP6:", "inuse")? };
    let allocated = number(&four, "TCP:", "alloc")?;
    Some(TcpCount { in_use: in_use.checked_add(in_use6)?, allocated })
}

/// The number behind a word of a line.
fn number(text: &str, line: &str, word: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|l| l.strip_prefix(line))?.split_ascii_whitespace();
    words.find(|next| *next == word)?;
    words.next()?.parse().ok()
}

/// Reads `/proc/loadavg`.
pub fn parse_load(text: &[u8]) -> Option<Load> {
    let text = String::from_utf8_lossy(text);
    let mut fields = text.split_ascii_whitespace().skip(3);
    let (_, threads) = fields.next()?.split_once('/')?;
    Some(Load { threads: threads.parse().ok()?, last_pid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let four =
            b"sockets: used 171\nTCP: inuse 6 orphan 0 tw 3 alloc 9 mem 1\nUDP: inuse 3 mem 2\n";
        let six = b"TCP6: inuse 2\nUDP6: inuse 1\n";
        let both = parse_tcp_count(four, six);
        assert_eq!(both, Some(TcpCount { in_use: 8, allocated: 9 }));
        assert_eq!(parse_tcp_count(four, b"").map(|count| count.in_use), Some(6));
        assert_eq!(parse_tcp_count(b"TCP: inuse 6 orphan\n", six), None);
        assert_eq!(parse_tcp_count(four, b"UDP6: inuse 1\n"), None);
        let load = Load { threads: 2155, last_pid: 17013 };
        assert_eq!(parse_load(b"3.93 4.09 1.98 2/2155 17013\n"), Some(load));
        for cut in ["", "3.93 4.09 1.98", "3.93 4.09 1.98 2/2155", "1 2 3 4 5"] {
            assert_eq!(parse_load(cut.as_bytes()), None, "{cut}");
        }
    }

    #[test]
    fn of_this_machine() {
        let proc = Proc::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let count = proc.tcp_count().unwrap();
        assert!(count.in_use >= 1 && count.allocated >= 1, "{count:?}");
        drop(listener);
        assert!(proc.load().unwrap().threads >= 1);
        assert!(proc.open_files().unwrap() >= 1);
    }
}
