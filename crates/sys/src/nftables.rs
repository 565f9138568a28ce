//! nf_tables over nfnetlink: the tables, chains, rules and sets of a network namespace.
//!
//! Reading needs `CAP_NET_ADMIN` over the namespace. What a rule consists of is passed on as the
//! kernel sends it: [`crate::netlink::attributes`] takes it apart.

use std::time::Instant;

use crate::Error;
use crate::netlink::{Attribute, Malformed, Message, Netlink, Request, attributes, is_whole};

const NETLINK_NETFILTER: i32 = libc::NETLINK_NETFILTER;
const SUBSYSTEM: u16 = 10;
const GETTABLE: u16 = 1;
const GETCHAIN: u16 = 4;
const GETRULE: u16 = 7;
const GETSET: u16 = 10;
const GETSETELEM: u16 = 13;
const GETGEN: u16 = 16;

/// One row of a dump: a table, chain, rule or set, as attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `nfgen_family`: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    /// The attributes.
    pub attributes: Vec<u8>,
}

impl Row {
    /// The attribute of this kind.
    pub fn get(&self, kind: u16) -> Option<Attribute<'_>> {
        attributes(&self.attributes).find(|attribute| attribute.kind == kind)
    }
}

/// A number that attributes of netfilter carry in network order.
pub fn be32(attribute: &Attribute<'_>) -> Option<u32> {
    attribute.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A long number that attributes of netfilter carry in network order.
pub fn be64(attribute: &Attribute<'_>) -> Option<u64> {
    attribute.payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// A socket that reads the nf_tables of the namespace it was opened in.
#[derive(Debug)]
pub struct NfTables {
    netlink: Netlink,
}

impl NfTables {
    /// Opens it in the thread's network namespace. Needs no privilege; reading does.
    ///
    /// # Errors
    /// Those of [`Netlink::open`].
    pub fn open() -> Result<NfTables, Error> {
        Ok(NfTables { netlink: Netlink::open(NETLINK_NETFILTER, "nf_tables")? })
    }

    /// Gives up what takes longer than until then: it is of no use afterwards.
    pub fn until(&mut self, deadline: Option<Instant>) {
        self.netlink.until(deadline);
    }

    /// Whether the time is over that was set.
    pub fn is_late(&self) -> bool {
        self.netlink.is_late()
    }

    /// A number that grows with every change of the ruleset.
    ///
    /// # Errors
    /// `EPERM` without the privilege; `EINVAL` if the kernel has no nf_tables.
    pub fn generation(&mut self) -> Result<u32, Error> {
        const NFTA_GEN_ID: u16 = 1;
        let request = request(GETGEN, 0);
        let rows = self.netlink.request(&request, 0, |message| {
            let row = attributes(message.payload.get(4..).unwrap_or_default())
                .find(|attribute| attribute.kind == NFTA_GEN_ID)
                .and_then(|attribute| be32(&attribute));
            Ok(row)
        })?;
        Ok(rows.into_iter().next().unwrap_or(0))
    }

    /// The tables, oldest first.
    ///
    /// # Errors
    /// As [`NfTables::generation`].
    pub fn tables(&mut self) -> Result<Vec<Row>, Error> {
        self.dump(&request(GETTABLE, 0))
    }

    /// The chains of every table.
    ///
    /// # Errors
    /// As [`NfTables::generation`].
    pub fn chains(&mut self) -> Result<Vec<Row>, Error> {
        self.dump(&request(GETCHAIN, 0))
    }

    /// The rules of every chain, each chain's in order.
    ///
    /// # Errors
    /// As [`NfTables::generation`].
    pub fn rules(&mut self) -> Result<Vec<Row>, Error> {
        self.dump(&request(GETRULE, 0))
    }

    /// The sets and maps of every table, without their elements.
    ///
    /// # Errors
    /// As [`NfTables::generation`].
    pub fn sets(&mut self) -> Result<Vec<Row>, Error> {
        self.dump(&request(GETSET, 0))
    }

    /// Calls `each` with the attributes of each element of a set.
    ///
    /// # Errors
    /// As [`NfTables::generation`]; `ENOENT` if the set is gone.
    pub fn elements(
        &mut self,
        family: u8,
        table: &str,
        set: &str,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
        const NFTA_SET_ELEM_LIST_SET: u16 = 2;
        const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
        let request = request(GETSETELEM, family)
            .with(NFTA_SET_ELEM_LIST_TABLE, &text(table))
            .with(NFTA_SET_ELEM_LIST_SET, &text(set));
        self.netlink.dump(&request, |message| {
            if message.kind >> 8 != SUBSYSTEM {
                return Ok(None::<()>);
            }
            let rest = message.payload.get(4..).ok_or(Malformed)?;
            let lists = attributes(rest).filter(|a| a.kind == NFTA_SET_ELEM_LIST_ELEMENTS);
            for list in lists {
                if !is_whole(list.payload) {
                    return Err(Malformed);
                }
                attributes(list.payload).for_each(|element| each(element.payload));
            }
            Ok(None)
        })?;
        Ok(())
    }

    fn dump(&mut self, request: &Request) -> Result<Vec<Row>, Error> {
        self.netlink.dump(request, row)
    }
}

fn row(message: &Message<'_>) -> Result<Option<Row>, Malformed> {
    if message.kind >> 8 != SUBSYSTEM {
        return Ok(None);
    }
    let (fixed, rest) = message.payload.split_first_chunk::<4>().ok_or(Malformed)?;
    Ok(Some(Row { family: fixed[0], attributes: rest.to_vec() }))
}

/// `nfgenmsg`: family, version, resource.
fn request(kind: u16, family: u8) -> Request {
    Request::new(SUBSYSTEM << 8 | kind, &[family, 0, 0, 0])
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}
