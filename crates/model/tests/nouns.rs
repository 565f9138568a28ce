//! The nouns: versions, features, capabilities, ids, routes, the table of sockets, and names.

use std::net::{IpAddr, SocketAddr};

use portwise_model::{
    Basis, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CapSet, Coverage, Credentials, Errno,
    Exception, Fact, FactKey, Family, Feature, IdMap, Interface, Interfaces, KernelFamily,
    LocalRoute, LocalRoutes, Missing, Outcome, Protocol, RouteKind, SockAddr, SockOption, Socket,
    SocketId, Sockets, Subject, UserNs, Version, choices, features, is_unspecified, linux, rules,
    v4_mapped,
};

#[test]
fn versions_are_read_and_written() {
    for (text, parts, shown) in [
        ("6.18.44-fc-v782", [6, 18, 44, 0, 0], "6.18.44"),
        ("6.12", [6, 12, 0, 0, 0], "6.12"),
        ("6", [6, 0, 0, 0, 0], "6.0"),
        ("6.1.0-13-amd64", [6, 1, 0, 0, 0], "6.1"),
        ("6.12.+", [6, 12, 0, 0, 0], "6.12"),
        ("5.15.167.4-microsoft-standard-WSL2", [5, 15, 167, 4, 0], "5.15.167.4"),
        ("7195.50.7.100.1", [7195, 50, 7, 100, 1], "7195.50.7.100.1"),
    ] {
        let version = Version::parse(text).unwrap();
        assert_eq!((version.0, version.to_string().as_str()), (parts, shown), "{text}");
    }
    for text in ["", "x", "-6.1", ".", "99999999999.1", "6..1"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
    assert!(Version::new(6, 2, 0) < Version::new(6, 18, 0));
}

#[test]
fn a_feature_is_open_between_the_versions_that_were_read() {
    let feature = |last_without, first_with| Feature {
        id: "linux.some-thing",
        title: "",
        last_without,
        first_with,
        exceptions: &[],
        cites: &[],
    };
    let v = |minor| Version::new(6, minor, 0);
    let gap = feature(Some(v(2)), v(5));
    let found: Vec<_> = (1..=6).map(|minor| gap.in_version(v(minor))).collect();
    assert_eq!(found, [Some(false), Some(false), None, None, Some(true), Some(true)]);
    // One that no version was read without is in those before as well.
    let always = feature(None, v(5));
    assert_eq!((always.in_version(v(1)), always.in_version(v(5))), (Some(true), Some(true)));
    // What was carried back or lost goes before the edges.
    static EXCEPTIONS: &[Exception] = &[
        Exception::carried_back(6, 1, 32),
        Exception::lost(Version::new(6, 7, 0), Version::new(6, 8, 5)),
    ];
    let uneven = Feature { exceptions: EXCEPTIONS, ..feature(Some(v(2)), v(5)) };
    let found = [(1, 31), (1, 32), (1, 99), (2, 0), (6, 9), (7, 0), (8, 4), (8, 5)]
        .map(|(minor, patch)| uneven.in_version(Version::new(6, minor, patch)));
    let [no, yes] = [Some(false), Some(true)];
    assert_eq!(found, [no, yes, yes, no, yes, no, no, yes]);
    // Features are the same if their names are.
    assert_eq!(gap, always);
    assert_ne!(linux::UNPRIVILEGED_PORT_START, linux::LANDLOCK_TCP);
}

#[test]
fn the_registry_is_whole() {
    let ids: Vec<&str> = rules().iter().map(|rule| rule.id).collect();
    assert!(ids.contains(&"linux.bind.reserved-port") && ids.contains(&"xnu.bind.reserved-port"));
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((distinct.len(), ids.len() > 80), (ids.len(), true));
    let names: Vec<&str> = features().map(|feature| feature.id).collect();
    assert!(names.contains(&"linux.landlock-tcp") && names.contains(&"xnu.wildcard-exempt"));
    assert!(choices().count() > 0);
}

#[test]
fn names() {
    assert_eq!((KernelFamily::Linux.name(), KernelFamily::Xnu.name()), ("linux", "xnu"));
    assert_eq!((KernelFamily::Linux.title(), KernelFamily::Xnu.title()), ("Linux", "macOS (XNU)"));
    assert_eq!((Protocol::Tcp.name(), Protocol::Udp.name()), ("tcp", "udp"));
    let bases = [Basis::Source, Basis::Measured("lab/x.md"), Basis::Documented, Basis::Guess];
    let words = ["read in the source", "measured", "documented", "a guess"];
    assert_eq!(bases.map(Basis::word), words);
    for (option, name) in [
        (SockOption::ReuseAddr(true), "reuseaddr"),
        (SockOption::ReusePort(true), "reuseport"),
        (SockOption::ShareUid(true), "shareuid"),
        (SockOption::V6Only(true), "v6only"),
        (SockOption::Freebind(true), "freebind"),
        (SockOption::Transparent(true), "transparent"),
        (SockOption::BindAddressNoPort(true), "bind_address_no_port"),
        (SockOption::LocalPortRange(1, 2), "local_port_range"),
        (SockOption::PortRangeLow(true), "portrange"),
        (SockOption::BindToDevice(None), "bindtodevice"),
    ] {
        assert_eq!(option.name(), name);
    }
    for &errno in Errno::ALL {
        assert_eq!(Errno::from_name(errno.name()), Some(errno));
        assert_eq!(Outcome::from_name(Outcome::Errno(errno).name()), Some(Outcome::Errno(errno)));
    }
    assert_eq!((Outcome::Ok.name(), Outcome::from_name("ok")), ("ok", Some(Outcome::Ok)));
    assert_eq!((Outcome::from_name("EWHAT"), Errno::from_name("ok")), (None, None));
    let written = |outcome: Outcome| serde_json::to_string(&outcome).unwrap();
    assert_eq!(written(Outcome::Errno(Errno::EACCES)), r#""EACCES""#);
    assert_eq!(written(Outcome::Ok), r#""ok""#);
    assert_eq!(serde_json::to_string(&Errno::EPERM).unwrap(), r#""EPERM""#);
    assert_eq!(
        serde_json::from_str::<Outcome>(r#""EPERM""#).unwrap(),
        Outcome::Errno(Errno::EPERM)
    );
    assert!(serde_json::from_str::<Outcome>(r#""EWHAT""#).is_err());
}

#[test]
fn sets_of_capabilities() {
    let (bind, raw) = (CapSet(1 << 10), CapSet(1 << 13));
    assert_eq!(CapSet::NONE.with(CAP_NET_BIND_SERVICE), bind);
    assert_eq!(bind.with(CAP_NET_BIND_SERVICE), bind);
    assert_eq!(bind.with(CAP_NET_RAW), CapSet(1 << 10 | 1 << 13));
    assert_eq!(CapSet::ALL.without(CAP_NET_RAW), CapSet(!(1 << 13)));
    assert_eq!(bind.without(CAP_NET_RAW), bind);
    assert!(bind.has(CAP_NET_BIND_SERVICE) && !bind.has(CAP_NET_RAW) && !bind.has(CAP_NET_ADMIN));
    assert_eq!((bind.or(raw), bind.or(bind)), (CapSet(1 << 10 | 1 << 13), bind));
    assert_eq!((bind.and(raw), bind.and(CapSet::ALL)), (CapSet::NONE, bind));
    assert!(bind.is_within(bind) && bind.is_within(CapSet::ALL) && CapSet::NONE.is_within(bind));
    assert!(!bind.is_within(raw) && !CapSet::ALL.is_within(bind) && !bind.is_within(CapSet::NONE));
    assert!(CapSet::NONE.is_empty() && !bind.is_empty());
}

#[test]
fn credentials_and_the_ids_that_a_namespace_maps() {
    let map = IdMap {
        root: Some(100_000),
        roots_around: vec![0],
        uids: vec![(1000, 1000), (100_000, 165_535)],
        gids: vec![(50, 60)],
    };
    for (uid, gid, maps) in [
        (1000, 50, true),
        (165_535, 60, true),
        (100_000, 55, true),
        (999, 50, false),
        (1001, 50, false),
        (165_536, 50, false),
        (1000, 49, false),
        (1000, 61, false),
    ] {
        assert_eq!(map.maps(uid, gid), maps, "{uid} {gid}");
    }
    assert!(map.is_root(100_000) && map.is_root(0) && !map.is_root(1000));
    assert!(IdMap::initial().maps(0, u32::MAX - 1) && !IdMap::initial().maps(u32::MAX, 0));
    assert!(IdMap::initial().is_root(0) && !IdMap::initial().is_root(1));
    let login = Credentials::login(1000, 100, vec![4, 27]);
    assert!(login.in_group(100) && login.in_group(27) && !login.in_group(1000));
    assert!(login.permitted.is_empty() && login.bounding == CapSet::ALL);
    assert_eq!(Credentials::login(0, 0, Vec::new()).permitted, CapSet::ALL);
    assert_eq!(login.ids, Fact::not_asked(FactKey::IdMap));
}

#[test]
fn a_plain_subject() {
    let root = Subject::plain(0, "test");
    assert_eq!(root.capabilities, Fact::known(CapSet::ALL, "test"));
    let user = Subject::plain(1000, "test");
    assert_eq!(user.capabilities, Fact::known(CapSet::NONE, "test"));
    assert_eq!(user.userns, Fact::known(UserNs::Owner, "test"));
    assert!(user.gates.value().is_some_and(|g| g.present.is_empty() && g.unseen.is_empty()));
    assert_eq!((user.uid, user.user, user.programs.len()), (1000, None, 0));
    let unasked = Subject::not_asked(7);
    assert_eq!((unasked.uid, unasked.capabilities.get().is_err()), (7, true));
}

#[test]
fn addresses() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(is_unspecified(ip("0.0.0.0")) && is_unspecified(ip("::")));
    assert!(!is_unspecified(ip("::ffff:0.0.0.0")) && !is_unspecified(ip("127.0.0.1")));
    assert_eq!(v4_mapped("::ffff:192.0.2.1".parse().unwrap()), Some([192, 0, 2, 1].into()));
    assert_eq!(v4_mapped("::192.0.2.1".parse().unwrap()), None);
    for text in ["192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%3]:80"] {
        let addr: SocketAddr = text.parse().unwrap();
        let made = SockAddr::from(addr);
        assert_eq!((made.ip(Family::of(addr.ip())), made.port), (addr.ip(), 80), "{text}");
        assert_eq!(made.scope, if text.contains('%') { 3 } else { 0 });
        assert_eq!(made.len, if addr.is_ipv4() { 16 } else { 28 });
        assert_eq!(made, SockAddr::new(addr.ip(), 80, made.scope));
    }
    assert_eq!(Family::Inet.unspecified(), ip("0.0.0.0"));
    assert_eq!(Family::Inet6.unspecified(), ip("::"));
}

#[test]
fn routes_and_interfaces() {
    let route = |dst: [u8; 4], prefix| LocalRoute {
        kind: RouteKind::Local,
        dst: dst.into(),
        prefix,
        device: 1,
    };
    for (dst, prefix, ip, covers) in [
        ([127, 0, 0, 0], 8, [127, 255, 0, 1], true),
        ([127, 0, 0, 0], 8, [128, 0, 0, 1], false),
        ([127, 9, 9, 9], 8, [127, 0, 0, 1], true),
        ([192, 0, 2, 10], 32, [192, 0, 2, 10], true),
        ([192, 0, 2, 10], 32, [192, 0, 2, 11], false),
        ([192, 0, 2, 10], 31, [192, 0, 2, 11], true),
        ([10, 0, 0, 0], 0, [192, 0, 2, 11], true),
        ([255, 0, 0, 0], 1, [128, 0, 0, 1], true),
        ([255, 0, 0, 0], 1, [127, 0, 0, 1], false),
    ] {
        assert_eq!(route(dst, prefix).covers(ip.into()), covers, "{dst:?}/{prefix} {ip:?}");
    }
    let list = vec![route([10, 0, 0, 0], 8), route([10, 1, 0, 0], 16), route([0, 0, 0, 0], 0)];
    let routes = LocalRoutes { list, complete: true, exists: true };
    let prefix = |ip: [u8; 4]| routes.lookup(ip.into()).map(|r| r.prefix);
    assert_eq!((prefix([10, 1, 2, 3]), prefix([10, 2, 2, 3])), (Some(16), Some(8)));
    assert_eq!(prefix([11, 2, 2, 3]), Some(0));
    let interface = |index, name: &'static str| Interface {
        index,
        name: name.into(),
        loopback: false,
        up: true,
        vrf: 0,
        addresses: Vec::new(),
    };
    let both = Interfaces { list: vec![interface(1, "lo"), interface(4, "eth0")], complete: true };
    assert_eq!(both.by_index(4).map(|i| &*i.name), Some("eth0"));
    assert_eq!(both.by_name("lo").map(|i| i.index), Some(1));
    assert!(both.by_index(2).is_none() && both.by_name("eth").is_none());
}

#[test]
fn facts() {
    let known = Fact::known(7, "/proc/x");
    assert_eq!((known.get(), known.value(), known.source()), (Ok(&7), Some(&7), "/proc/x"));
    let missing: Fact<u8> = Fact::not_asked(FactKey::Gates);
    assert_eq!(missing.get(), Err(Missing::not_asked(FactKey::Gates)));
    assert_eq!((missing.value(), missing.source()), (None, "not observed"));
}

#[test]
fn the_table_of_sockets() {
    let socket = |id, port| {
        let socket = Socket::new(SocketId(id), Family::Inet, Protocol::Tcp, 0);
        Socket { port, ..socket }
    };
    let mut table = Sockets::none("test");
    table.push_front(socket(1, 80));
    table.push_front(socket(2, 80));
    table.push_back(socket(3, 80));
    table.push_back(socket(4, 81));
    let ids = |list: &[Socket]| list.iter().map(|s| s.id.0).collect::<Vec<_>>();
    assert_eq!(ids(table.on(80).unwrap()), [2, 1, 3]);
    assert!(table.on(82).unwrap().is_empty());
    let all: Vec<_> = table.all().unwrap().map(|(port, list)| (port, list.len())).collect();
    assert_eq!((all, table.observed().count()), (vec![(80, 3), (81, 1)], 4));
    assert_eq!(table.get(SocketId(3)).map(|s| s.port), Some(80));
    assert!(table.get(SocketId(9)).is_none() && table.get_mut(80, SocketId(4)).is_none());
    table.get_mut(80, SocketId(3)).unwrap().device = 5;
    assert_eq!(table.get(SocketId(3)).unwrap().device, 5);
    assert_eq!(table.remove(80, SocketId(1)).map(|s| s.id), Some(SocketId(1)));
    assert_eq!((table.remove(80, SocketId(1)), table.remove(99, SocketId(1))), (None, None));
    assert_eq!(ids(table.on(80).unwrap()), [2, 3]);
    table.remove(81, SocketId(4));
    assert_eq!(table.all().unwrap().count(), 1, "a port that nobody holds is not listed");
    table.clear();
    assert!(table.observed().next().is_none() && table.on(80).is_ok());

    let mut some = Sockets::not_asked();
    assert_eq!(some.on(80), Err(Missing::not_asked(FactKey::Sockets(80))));
    some.set_port(80, vec![socket(1, 80)]);
    some.set_port(80, vec![socket(2, 80)]);
    assert_eq!(ids(some.on(80).unwrap()), [2]);
    assert_eq!(some.coverage, Coverage::Ports(vec![80]));
    assert!(some.on(81).is_err());
    assert_eq!(some.all().map(|_| ()), Err(Missing::not_asked(FactKey::AllSockets)));
    let why = Missing::new(FactKey::Gates, "not permitted", "be root");
    some.coverage = Coverage::None(why.clone());
    assert_eq!(some.on(80), Err(Missing { key: FactKey::Sockets(80), ..why.clone() }));
    assert_eq!(some.all().map(|_| ()), Err(Missing { key: FactKey::AllSockets, ..why }));
}

/// A series that is named without a release is taken as its newest, where that was read.
#[test]
fn a_series_is_its_newest_release() {
    let feature = Feature {
        id: "linux.some-thing",
        title: "",
        last_without: Some(Version::new(6, 15, 0)),
        first_with: Version::new(6, 17, 0),
        exceptions: const { &[Exception::carried_back(6, 12, 80)] },
        cites: &[],
    };
    let has = |release: &'static str, version| {
        let mut host = portwise_model::assumed_host(portwise_model::Kernel {
            family: KernelFamily::Linux,
            version,
            release: release.into(),
        });
        host.probed.clear();
        host.has(&feature)
    };
    assert_eq!(has("linux-6.12", Version::new(6, 12, 0)), Some(true));
    assert_eq!(has("linux-6.12.79", Version::new(6, 12, 79)), Some(false));
    assert_eq!(has("linux-6.12.80", Version::new(6, 12, 80)), Some(true));
    assert_eq!(has("6.12.0-generic", Version::new(6, 12, 0)), Some(false));
    assert_eq!(has("linux-6.15", Version::new(6, 15, 0)), Some(false));
    assert_eq!(has("linux-6.16", Version::new(6, 16, 0)), None);
    assert_eq!(has("linux-6.17", Version::new(6, 17, 0)), Some(true));
}
