//! Work that two threads share.

use std::{panic::resume_unwind, thread};

/// Does the work on all items, or on each half of them at once if there are more than `many` and
/// two processors. What comes of it is in the order of the items.
pub(crate) fn in_halves<T: Sync, R: Send>(
    items: &[T],
    many: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    if items.len() <= many || processors() < 2 {
        return vec![work(items)];
    }
    let (first, second) = items.split_at(items.len() / 2);
    thread::scope(|scope| {
        let second = scope.spawn(|| work(second));
        let first = work(first);
        vec![first, second.join().unwrap_or_else(|panic| resume_unwind(panic))]
    })
}

#[cfg(target_os = "linux")]
fn processors() -> usize {
    portwise_sys::proc::processors()
}

#[cfg(not(target_os = "linux"))]
fn processors() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_done_in_order() {
        let items: Vec<u32> = (0..7).collect();
        for many in [0, 6, 7] {
            let done = in_halves(&items, many, <[u32]>::to_vec).concat();
            assert_eq!(done, items, "{many}");
        }
        assert_eq!(in_halves(&[0u8; 0], 0, <[u8]>::len), [0]);
    }
}
