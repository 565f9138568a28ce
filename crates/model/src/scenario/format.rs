//! The file: one scenario a line, as JSON. Unknown fields are refused, so that nothing a
//! scenario says is passed over.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub id: String,
    /// The kernel it was recorded on, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The kernels it holds for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why the kernel answers so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it was executed, read in source, or documented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Versions it holds for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Value>,
    /// Features a kernel may lack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// The surroundings.
    #[serde(default, skip_serializing_if = "Setup::is_empty")]
    pub setup: Setup,
    /// The calls, in order.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Every kernel the scenario names.
    pub fn all_kernels(&self) -> impl Iterator<Item = &str> {
        self.kernel.iter().chain(&self.kernels).map(String::as_str)
    }
}

/// The surroundings of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Sysctls to set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, Value>,
    /// Commands to run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmds: Vec<String>,
    /// Commands to run in the peer namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_cmds: Vec<String>,
    /// Veth pairs `NAME` and `NAMEp`, up, without address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devs: Vec<String>,
    /// A veth pair into a peer namespace, with addresses.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub veth: bool,
    /// Leave `lo` down.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub lo_down: bool,
    /// The port lies in an excluded range (Windows).
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub excluded_port_range: bool,
}

impl Setup {
    /// Returns whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Setup::default()
    }
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// What is done.
    pub op: String,
    /// On which socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// `inet`, `inet6`, `unix`, `unspec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// `stream`, `dgram`, `raw`, `seqpacket`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `tcp`, `udp`, `mptcp`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// Options set when the step creates its socket.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub opts: BTreeMap<String, Value>,
    /// Effective user id; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Effective capabilities kept, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Vec<String>>,
    /// An address, with `%dev` for a zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<String>,
    /// The zone, a device name or an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Value>,
    /// A number, 0, or a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Value>,
    /// The variable to store the port in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_port: Option<String>,
    /// The length passed with the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addrlen: Option<i64>,
    /// The family written in the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr_family: Option<Value>,
    /// Whose layout the address has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr_layout: Option<String>,
    /// The address byte for byte, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rawaddr: Option<String>,
    /// `ok`, an errno, or a list of alternatives; `ok` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Value>,
    /// Length of the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Name of the accepted socket.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// What to shut down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<Value>,
    /// Seconds to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Value>,
    /// Seconds to sleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Value>,
    /// Name of an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Value of an option or sysctl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The value an option has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_value: Option<Value>,
    /// The address a name has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_addr: Option<String>,
    /// The port a name has: a number, a variable, `nonzero`, or a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_port: Option<Value>,
    /// The socket that got the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_socket: Option<Value>,
    /// The share of each socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_dist: Option<Value>,
    /// How often to probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// From where to probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The source address of a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// The source port of a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<Value>,
    /// The state of the socket looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What a documented lookup gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
    /// The name of a sysctl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// What to notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Access rights a Landlock ruleset handles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handled: Option<Value>,
    /// The rules of a Landlock ruleset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
}

/// A value whose kind depends on where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Names with values.
    Map(BTreeMap<String, Value>),
    /// Nothing.
    Null(()),
}

impl Value {
    /// The number, if it is one; `true` is 1.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some((*b).into()),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}
