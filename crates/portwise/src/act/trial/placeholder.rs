//! Sockets that stand in the copy for those that are in the way on the host.

use portwise_model::{
    Call, Machine, Outcome, Protocol, SockAddr, Socket as Model, SocketId, State,
};
use portwise_sys::{
    Errno,
    caps::{self, Sets},
    process::Credentials,
    sock::Socket,
};

use super::{
    bind::{self, BACKLOG},
    room::Room,
};
use crate::{Setting, explain, render::phrase};

/// A socket to be stood for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// As it is on the host.
    pub(super) socket: Model,
    /// The same in words, with who holds it.
    pub(super) words: String,
}

/// A socket in the copy.
pub(super) struct Placeholder {
    /// As the model knows it; its id is the number of the file of `socket`.
    pub(super) model: Model,
    /// The socket itself.
    pub(super) socket: Socket,
    /// What it stands for, in words.
    pub(super) words: String,
}

/// What stands for the sockets on some ports, and what does not.
#[derive(Default)]
pub(super) struct Plan {
    /// Those that can be stood for, the first bound first.
    pub(super) wanted: Vec<Wanted>,
    /// Those that cannot, and in which way others are not the same, in words.
    pub(super) left_out: Vec<String>,
}

impl Plan {
    /// Looks at the sockets on `ports`. `is_root`: they can have their owners.
    pub(super) fn of(setting: &mut Setting, ports: &[u16], is_root: bool) -> Plan {
        let mut plan = Plan::default();
        for &port in ports {
            let key = portwise_model::FactKey::Sockets(port);
            if setting.host.sockets.on(port).is_err() {
                let _ = setting.observe(&key);
            }
            match setting.host.sockets.on(port) {
                Ok(list) => {
                    let list = list.to_vec();
                    plan.port(setting, list, is_root);
                }
                Err(missing) => {
                    let why = setting.reason(&missing).why;
                    plan.left_out.push(format!("sockets on port {port}: {why}"));
                }
            }
        }
        if let Some(hidden) = &setting.host.sockets.hidden {
            plan.left_out.push(format!("sockets that cannot be seen: {}", hidden.why));
        }
        plan
    }

    fn port(&mut self, setting: &mut Setting, mut list: Vec<Model>, is_root: bool) {
        if list.is_empty() {
            return;
        }
        let holders = setting.holders(&list);
        // The one that was bound last stands first.
        list.reverse();
        for mut socket in list {
            if let Some((reuseaddr, reuseport)) = holders.options.get(&socket.id.0) {
                socket.options.reuseaddr = Some(*reuseaddr);
                socket.options.reuseport = Some(*reuseport);
            }
            let mut words = phrase::socket(&explain::describe(setting, &socket));
            if let Some(process) = holders.of(socket.id).first() {
                words += &format!(" ({})", phrase::holder(process));
            }
            if !matches!(socket.state, State::Listen | State::Closed) || socket.remote.is_some() {
                self.left_out.push(words);
                continue;
            }
            let mut unlike = Vec::new();
            if socket.options.reuseaddr.is_none() || socket.options.reuseport.is_none() {
                unlike.push("its reuse options are not known: without any");
            }
            if !is_root && socket.uid != Some(setting.subject.uid) {
                unlike.push("its owner: you");
                socket.uid = Some(setting.subject.uid);
            }
            if !unlike.is_empty() {
                self.left_out.push(format!("{words}: it is there, but for {}", unlike.join(", ")));
            }
            self.wanted.push(Wanted { socket, words });
        }
    }
}

/// Makes what is wanted, and lets the model know: first every bind, then every listen, since of
/// two listeners on one port the second could not be bound.
pub(super) fn make(
    room: &Room,
    wanted: &[Wanted],
    machine: &mut Machine,
    left_out: &mut Vec<String>,
) -> Vec<Placeholder> {
    let mut made = Vec::new();
    for wanted in wanted {
        match bound(room, wanted) {
            Ok(placeholder) => {
                settle_bind(machine, &placeholder.model);
                made.push(placeholder);
            }
            Err(errno) => left_out.push(format!("{}: {}", wanted.words, errno.text())),
        }
    }
    for placeholder in &mut made {
        if placeholder.model.state != State::Listen {
            continue;
        }
        match placeholder.socket.listen(BACKLOG) {
            Ok(()) => {
                let id = placeholder.model.id;
                machine.settle(id, Call::Listen(BACKLOG), Outcome::Ok, None);
            }
            Err(errno) => {
                left_out.push(format!("{}: listen: {}", placeholder.words, errno.text()));
            }
        }
    }
    made
}

fn bound(room: &Room, wanted: &Wanted) -> Result<Placeholder, Errno> {
    let model = wanted.socket;
    let socket = room.run_apart(move || {
        let permitted = caps::get(0)?.permitted;
        let owner = model.uid.filter(|_| permitted & caps::bit(caps::SETUID) != 0);
        // The owner of the socket, but with the rights to put it anywhere.
        let all = Sets { effective: permitted, permitted, inheritable: 0 };
        let who = Credentials { uid: owner, sets: Some(all), ..Credentials::default() };
        // Without a mapping for it, it belongs to this user.
        let _ = who.take();
        let socket = bind::create(model.family, model.protocol)?;
        bind::configure(&socket, &model)?;
        socket.bind(&bind::address(&SockAddr::new(model.ip, model.port, model.device)))?;
        Ok::<Socket, Errno>(socket)
    })?;
    let model = Model { id: SocketId(socket.inode()?), ..model };
    Ok(Placeholder { model, socket, words: wanted.words.clone() })
}

/// Makes the effects of the calls that made a socket.
#[cfg(test)]
pub(super) fn settle(machine: &mut Machine, model: &Model) {
    settle_bind(machine, model);
    if model.state == State::Listen {
        machine.settle(model.id, Call::Listen(BACKLOG), Outcome::Ok, None);
    }
}

/// Makes the effects of the calls that bound a socket.
fn settle_bind(machine: &mut Machine, model: &Model) {
    let addr = SockAddr::new(model.ip, model.port, model.device);
    apply(machine, model);
    machine.settle(model.id, Call::Bind(addr), Outcome::Ok, None);
}

/// Makes a socket with the options of `model`.
pub(super) fn apply(machine: &mut Machine, model: &Model) {
    use portwise_model::SockOption::*;
    machine.socket(model.id, model.family, model.protocol, model.uid.unwrap_or(0));
    let options = [
        ReuseAddr(model.options.reuseaddr == Some(true)),
        ReusePort(model.options.reuseport == Some(true)),
        V6Only(model.v6only),
        Freebind(model.options.freebind),
        BindToDevice((model.device != 0).then_some(model.device)),
    ];
    for option in options {
        machine.settle(model.id, Call::SetOption(option), Outcome::Ok, None);
    }
}

/// Returns whether a socket of this protocol takes connections or datagrams in this state.
pub(super) fn receives(model: &Model) -> bool {
    match model.protocol {
        Protocol::Tcp => model.state == State::Listen,
        Protocol::Udp => model.state == State::Closed,
    }
}
