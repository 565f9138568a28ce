//! Makes a disagreement small: leaves out calls as long as it stays.

use portwise_model::SocketId;

use super::script::Op;

/// Returns the smallest part of `ops` that still fails, where `fails` plays a part and says
/// whether it does.
pub(super) fn shrink(ops: Vec<Op>, mut fails: impl FnMut(&[Op]) -> bool) -> Vec<Op> {
    let mut best = ops;
    loop {
        let before = best.len();
        for id in sockets(&best) {
            let without: Vec<Op> = best.iter().filter(|op| op.socket() != id).copied().collect();
            if without.len() < best.len() && fails(&without) {
                best = without;
            }
        }
        let mut at = 0;
        while at < best.len() {
            let mut without = best.clone();
            without.remove(at);
            if fails(&without) {
                best = without;
            } else {
                at += 1;
            }
        }
        if best.len() == before {
            return best;
        }
    }
}

fn sockets(ops: &[Op]) -> Vec<SocketId> {
    let mut ids: Vec<SocketId> = ops.iter().map(Op::socket).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use portwise_model::{Call, scenario::Who};

    fn listen(id: u64, backlog: i32) -> Op {
        Op::Call { id: SocketId(id), call: Call::Listen(backlog), who: Who::ROOT }
    }

    #[test]
    fn keeps_only_what_the_failure_needs() {
        let ops: Vec<Op> = (0..20).map(|n| listen(n % 4, n as i32)).collect();
        let needs = [listen(1, 5), listen(3, 11)];
        let small = shrink(ops, |part| needs.iter().all(|op| part.contains(op)));
        assert_eq!(small, needs);
    }
}
