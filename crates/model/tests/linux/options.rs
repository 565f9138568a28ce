//! `setsockopt`: who may set what, and what is then set.

use portwise_model::{
    CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, Call, CapSet, Family, Options, Protocol::Tcp,
    SockOption, Socket, SocketId, State, Version, decide,
};

use super::{answer, case, kernel, known};

/// What setting `option` answers on a socket of `ip` after `change`, with `caps`.
fn set(ip: &str, option: SockOption, caps: CapSet, change: impl FnOnce(&mut Socket)) -> String {
    answer(case(Tcp, ip, 0), |c| {
        c.request.call = Call::SetOption(option);
        c.subject.capabilities = known(caps);
        change(&mut c.request.socket);
    })
}

fn fresh(_: &mut Socket) {}

const RAW: CapSet = CapSet::NONE.with(CAP_NET_RAW);
const ADMIN: CapSet = CapSet::NONE.with(CAP_NET_ADMIN);

#[test]
fn v6only_is_for_ipv6_and_before_bind() {
    for on in [false, true] {
        let option = SockOption::V6Only(on);
        assert_eq!(set("0.0.0.0", option, CapSet::ALL, fresh), "ENOPROTOOPT");
        assert_eq!(set("::", option, CapSet::NONE, fresh), "ok");
        assert_eq!(set("::", option, CapSet::ALL, |s| s.port = 8080), "EINVAL");
        let bound_to_no_port = |s: &mut Socket| s.ip = "::1".parse().unwrap();
        assert_eq!(set("::", option, CapSet::NONE, bound_to_no_port), "ok");
    }
}

#[test]
fn transparent_needs_one_of_two_capabilities() {
    let ask = |on, caps| set("0.0.0.0", SockOption::Transparent(on), caps, fresh);
    assert_eq!(ask(true, CapSet::NONE), "EPERM");
    assert_eq!(ask(true, CapSet::NONE.with(CAP_NET_BIND_SERVICE)), "EPERM");
    assert_eq!((ask(true, RAW).as_str(), ask(true, ADMIN).as_str()), ("ok", "ok"));
    assert_eq!(ask(false, CapSet::NONE), "ok", "clearing needs none");
}

#[test]
fn a_device_is_chosen_once() {
    let ask = |device, current, caps| {
        set("0.0.0.0", SockOption::BindToDevice(device), caps, |s| s.device = current)
    };
    assert_eq!(ask(Some(2), 0, CapSet::NONE), "ok");
    assert_eq!(ask(Some(2), 1, CapSet::NONE), "EPERM");
    assert_eq!(ask(Some(0), 1, CapSet::NONE), "EPERM");
    assert_eq!(ask(Some(0), 1, ADMIN), "EPERM");
    assert_eq!((ask(Some(2), 1, RAW).as_str(), ask(Some(0), 1, RAW).as_str()), ("ok", "ok"));
    assert_eq!(ask(None, 0, CapSet::ALL), "ENODEV");
    assert_eq!(ask(None, 1, CapSet::NONE), "ENODEV", "the name is looked up first");
    // Until 5.6 no user could choose one at all.
    let old = |caps| {
        answer(case(Tcp, "0.0.0.0", 0), |c| {
            c.request.call = Call::SetOption(SockOption::BindToDevice(Some(2)));
            c.host.kernel = kernel(Version::new(5, 6, 0));
            c.subject.capabilities = known(caps);
        })
    };
    assert_eq!((old(CapSet::NONE).as_str(), old(RAW).as_str()), ("EPERM", "ok"));
}

#[test]
fn a_port_range_goes_upwards() {
    for (low, high, expected) in [
        (40000, 40001, "ok"),
        (40000, 40000, "ok"),
        (40001, 40000, "EINVAL"),
        (0, 40000, "ok"),
        (40000, 0, "ok"),
        (0, 0, "ok"),
        (1, 65535, "ok"),
        (65535, 1, "EINVAL"),
    ] {
        let option = SockOption::LocalPortRange(low, high);
        assert_eq!(set("0.0.0.0", option, CapSet::NONE, fresh), expected, "{low} to {high}");
    }
}

#[test]
fn other_options_are_for_everybody_at_any_time() {
    for option in [
        SockOption::ReuseAddr(true),
        SockOption::ReusePort(true),
        SockOption::Freebind(true),
        SockOption::BindAddressNoPort(true),
    ] {
        let listening = |s: &mut Socket| (s.port, s.state) = (8080, State::Listen);
        assert_eq!(set("127.0.0.1", option, CapSet::NONE, listening), "ok", "{option:?}");
        let mut asked = case(Tcp, "127.0.0.1", 0);
        asked.request.call = Call::SetOption(option);
        assert!(decide(&asked).trace.is_empty(), "{option:?}");
    }
}

#[test]
fn what_an_option_sets() {
    let socket = Socket::new(SocketId(1), Family::Inet6, Tcp, 0);
    let set = |option: SockOption| option.applied(socket);
    let with = |change: fn(&mut Options)| {
        let mut options = Options::NONE;
        change(&mut options);
        Socket { options, ..socket }
    };
    for (option, expected) in [
        (SockOption::ReuseAddr(true), with(|o| o.reuseaddr = Some(true))),
        (SockOption::ReusePort(true), with(|o| o.reuseport = Some(true))),
        (SockOption::ShareUid(true), with(|o| o.shareuid = true)),
        (SockOption::Freebind(true), with(|o| o.freebind = true)),
        (SockOption::Transparent(true), with(|o| o.transparent = true)),
        (SockOption::BindAddressNoPort(true), with(|o| o.bind_address_no_port = true)),
        (SockOption::PortRangeLow(true), with(|o| o.portrange_low = true)),
        (SockOption::LocalPortRange(7, 9), with(|o| o.local_port_range = Some((7, 9)))),
        (SockOption::LocalPortRange(0, 9), with(|o| o.local_port_range = Some((0, 9)))),
        (SockOption::LocalPortRange(7, 0), with(|o| o.local_port_range = Some((7, 0)))),
        (SockOption::LocalPortRange(0, 0), with(|o| o.local_port_range = None)),
        (SockOption::V6Only(true), Socket { v6only: true, ..socket }),
        (SockOption::BindToDevice(Some(2)), Socket { device: 2, ..socket }),
        (SockOption::BindToDevice(None), socket),
    ] {
        assert_eq!(set(option), expected, "{option:?}");
    }
    let both = SockOption::ReuseAddr(false).applied(with(|o| o.reuseaddr = Some(true)));
    assert_eq!(both, socket, "cleared again");
}
