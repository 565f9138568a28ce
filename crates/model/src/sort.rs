//! Sorting that costs little room: each `sort_by` of the standard library adds some 5 kB to the
//! program, these share one. For lists of a screenful; a long one is better off there.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts by `compare`; what compares equal stays in its order.
pub fn sort_by<T>(list: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    if list.len() < 2 {
        return;
    }
    let mut from = sorted(list.len(), &mut |a, b| compare(&list[a], &list[b]));
    for start in 0..list.len() {
        let mut at = start;
        while from[at] != start {
            let next = core::mem::replace(&mut from[at], at);
            list.swap(at, next);
            at = next;
        }
        from[at] = at;
    }
}

/// Sorts by `key`; what has the same key stays in its order.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(list, |a, b| key(a).cmp(&key(b)));
}

/// Where each place gets its element from. The one copy.
#[inline(never)]
fn sorted(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut from: Vec<usize> = (0..count).collect();
    from.sort_by(|&a, &b| compare(a, b));
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_does() {
        let mut state = 1u32;
        for count in 0..200 {
            let mut list: Vec<(u32, usize)> = (0..count)
                .map(|at| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 28, at)
                })
                .collect();
            let mut wanted = list.clone();
            wanted.sort_by_key(|&(key, _)| key);
            sort_by_key(&mut list, |&(key, _)| key);
            assert_eq!(list, wanted);
        }
    }
}
