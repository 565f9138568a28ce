//! What a trace consists of: rules, the facts they looked at, sources and sockets.

use std::net::IpAddr;

use portwise_model::{
    AddrState, Basis, Cite, Exception, Family, Feature, KernelFamily, LocalRoute, Missing, Outcome,
    Protocol, Socket, State, UserNs, Version, xnu,
};
use serde::Serialize;

use crate::observe::is_orphan;

/// One rule, tried.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// The id of the rule.
    pub rule: &'static str,
    /// The requirement.
    pub title: &'static str,
    /// What is so if the rule stops the call.
    pub fault: &'static str,
    /// What the call answers if the rule stops it.
    pub outcome: Outcome,
    /// What the rule said.
    pub finding: Found,
    /// What the rule looked at.
    pub evidence: Vec<EvidenceReport>,
    /// The fact it could not do without.
    pub missing: Option<Missing>,
    /// How the rule is known.
    pub basis: BasisReport,
    /// Where it can be read.
    pub cites: Vec<CiteReport>,
}

/// What a rule said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The call goes on.
    Passes,
    /// The call fails here.
    Stops,
    /// A fact is missing.
    Unknown,
}

/// How a rule is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BasisReport {
    /// In words.
    pub how: &'static str,
    /// The lab note of a measurement.
    pub note: Option<&'static str>,
}

impl From<Basis> for BasisReport {
    fn from(basis: Basis) -> BasisReport {
        let note = match basis {
            Basis::Measured(note) => Some(note),
            _ => None,
        };
        BasisReport { how: basis.word(), note }
    }
}

/// A place in a source tree or document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CiteReport {
    /// Repository, `owner/name`.
    pub repo: &'static str,
    /// Tag.
    pub rev: &'static str,
    /// File.
    pub path: &'static str,
    /// Function.
    pub function: &'static str,
    /// An identifier in the check.
    pub needle: &'static str,
}

impl From<&Cite> for CiteReport {
    fn from(cite: &Cite) -> CiteReport {
        let &Cite { repo, rev, path, function, needle } = cite;
        CiteReport { repo, rev, path, function, needle }
    }
}

/// Returns citations as they are reported.
pub fn cites(cites: &[Cite]) -> Vec<CiteReport> {
    cites.iter().map(CiteReport::from).collect()
}

/// A fact that a rule looked at, with where it was read.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "named and described as in portwise_model::Evidence")]
pub enum EvidenceReport {
    Address {
        ip: IpAddr,
    },
    Port {
        port: u16,
    },
    Sockaddr {
        family: u16,
        len: u32,
    },
    Asking {
        socket: SocketReport,
    },
    Uid {
        uid: u32,
    },
    Sysctl {
        name: String,
        value: i64,
        from: String,
    },
    Capability {
        name: &'static str,
        counts: bool,
        held: Option<bool>,
        from: String,
    },
    UserNamespace {
        relation: UserNs,
        from: String,
    },
    LocalRoute {
        route: Option<LocalRoute>,
        device: Option<String>,
        from: String,
    },
    InterfaceAddress {
        address: Option<String>,
        device: Option<String>,
        state: Option<AddrState>,
        from: String,
    },
    Device {
        index: u32,
        name: String,
        exists: bool,
        from: String,
    },
    NoGate {
        gate: &'static str,
        from: String,
    },
    NoOwnGate {
        gate: &'static str,
        from: String,
    },
    OwnGate {
        gate: String,
        what: String,
    },
    UnseenGate {
        gate: String,
        what: String,
    },
    Inode {
        path: String,
        mode: String,
        uid: u32,
        gid: u32,
        user: Option<String>,
    },
    NoFile {
        path: String,
    },
    Mount {
        path: String,
        at: Option<String>,
        nosuid: bool,
        noexec: bool,
    },
    FileCapabilities {
        path: String,
        capabilities: String,
    },
    Bounding {
        capabilities: String,
        from: String,
    },
    Feature {
        feature: FeatureReport,
        has: bool,
        from: String,
    },
    InTheWay {
        socket: SocketReport,
    },
    Beside {
        socket: SocketReport,
    },
    LocalPorts {
        low: u16,
        high: u16,
        from: String,
    },
    SharedBefore {
        port: u16,
    },
}

/// A difference between versions.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureReport {
    /// Its id.
    pub id: &'static str,
    /// What is so with it.
    pub title: &'static str,
    /// The last version read without it.
    pub last_without: Option<String>,
    /// The first version read with it.
    pub first_with: String,
    /// The same as people know it, such as `macOS 10.14.1 (xnu-4903.221.2)`.
    pub since: String,
    /// The last version read without it, as people know it.
    pub not_in: Option<String>,
    /// Versions of which this is not so.
    pub exceptions: Vec<ExceptionReport>,
    /// Where it can be read.
    pub cites: Vec<CiteReport>,
}

/// Versions that have or lack a feature, whatever those around them do.
#[derive(Clone, Debug, Serialize)]
pub struct ExceptionReport {
    /// Whether they have it.
    pub has: bool,
    /// The first of them.
    pub from: String,
    /// The first that is none of them any more.
    pub below: String,
}

impl From<&Feature> for FeatureReport {
    fn from(feature: &Feature) -> FeatureReport {
        let family = kernel_of(feature.id);
        FeatureReport {
            id: feature.id,
            title: feature.title,
            last_without: feature.last_without.map(|v| v.to_string()),
            first_with: feature.first_with.to_string(),
            since: version_name(family, feature.first_with),
            not_in: feature.last_without.map(|version| version_name(family, version)),
            exceptions: feature.exceptions.iter().map(ExceptionReport::from).collect(),
            cites: cites(feature.cites),
        }
    }
}

impl From<&Exception> for ExceptionReport {
    fn from(exception: &Exception) -> ExceptionReport {
        ExceptionReport {
            has: exception.has,
            from: exception.from.to_string(),
            below: exception.below.to_string(),
        }
    }
}

/// The kernel that a rule or feature belongs to, which its id starts with.
pub fn kernel_of(id: &str) -> KernelFamily {
    let named = id.split('.').next();
    let family = KernelFamily::ALL.into_iter().find(|family| Some(family.name()) == named);
    family.unwrap_or(KernelFamily::Linux)
}

/// A version as people know it.
pub fn version_name(family: KernelFamily, version: Version) -> String {
    match (family, xnu::macos_of(version)) {
        (KernelFamily::Illumos, _) => "illumos".into(),
        (family, _) if family != KernelFamily::Xnu => format!("{} {version}", family.title()),
        (_, Some(macos)) => format!("macOS {macos} (xnu-{version})"),
        (_, None) => format!("xnu-{version}"),
    }
}

/// A socket as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SocketReport {
    /// The number of its file; none if no program has it open.
    pub inode: Option<u64>,
    /// Its address and port as `ss` prints them.
    pub local: String,
    /// The other end.
    pub remote: Option<String>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its family.
    pub family: Family,
    /// Its state.
    pub state: State,
    /// Its owner.
    pub uid: Option<u32>,
    /// The login name of its owner.
    pub user: Option<String>,
    /// Whether it serves IPv6 only.
    pub v6only: bool,
    /// Whether it serves both families.
    pub dual_stack: bool,
    /// The interface it is bound to.
    pub device: Option<String>,
    /// `SO_REUSEADDR`; null if not known.
    pub reuseaddr: Option<bool>,
    /// `SO_REUSEPORT`; null if not known.
    pub reuseport: Option<bool>,
    /// `IP_FREEBIND`.
    pub freebind: bool,
}

impl SocketReport {
    /// Describes a socket; names are added by whoever can look them up.
    pub fn new(socket: &Socket, device: Option<String>, user: Option<String>) -> SocketReport {
        let zone = device.as_deref().filter(|_| matches!(socket.ip, IpAddr::V6(_)));
        let wild = portwise_model::is_unspecified(socket.ip);
        SocketReport {
            inode: (!is_orphan(socket.id)).then_some(socket.id.0),
            local: crate::endpoint::shown(socket.ip, zone, socket.port),
            remote: socket.remote.map(|remote| remote.to_string()),
            protocol: socket.protocol,
            family: socket.family,
            state: socket.state,
            uid: socket.uid,
            user,
            v6only: socket.v6only,
            dual_stack: socket.family == Family::Inet6 && wild && !socket.v6only,
            device,
            reuseaddr: socket.options.reuseaddr,
            reuseport: socket.options.reuseport,
            freebind: socket.options.freebind,
        }
    }
}
