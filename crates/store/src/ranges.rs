//! Which of many ranges hold a key: a treap ordered by range, with the greatest end below each node.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

type Bytes = Arc<[u8]>;
type Link<V> = Option<Box<Node<V>>>;

/// Ranges `[low, high)` of bytes, each with any number of owners. Equal ranges share one node.
#[derive(Debug)]
pub(crate) struct RangeMap<V> {
    root: Link<V>,
    inserted: u64,
}

#[derive(Debug)]
struct Node<V> {
    low: Bytes,
    high: Bytes,
    /// The greatest `high` in this subtree.
    reach: Bytes,
    priority: u64,
    owners: BTreeMap<u64, V>,
    left: Link<V>,
    right: Link<V>,
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self { root: None, inserted: 0 }
    }
}

impl<V> RangeMap<V> {
    /// Adds `owner` to the range `[low, high)`.
    pub(crate) fn insert(&mut self, low: &Bytes, high: &Bytes, owner: u64, value: V) {
        self.inserted += 1;
        let (before, found, after) = split_at(self.root.take(), low, high);
        let mut node = found.unwrap_or_else(|| {
            Box::new(Node {
                low: low.clone(),
                high: high.clone(),
                reach: high.clone(),
                priority: scatter(self.inserted),
                owners: BTreeMap::new(),
                left: None,
                right: None,
            })
        });
        node.owners.insert(owner, value);
        self.root = join(join(before, Some(node)), after);
    }

    /// Takes `owner` off the range `[low, high)`.
    pub(crate) fn remove(&mut self, low: &Bytes, high: &Bytes, owner: u64) {
        let (before, mut found, after) = split_at(self.root.take(), low, high);
        if let Some(node) = &mut found {
            node.owners.remove(&owner);
        }
        let kept = found.filter(|node| !node.owners.is_empty());
        self.root = join(join(before, kept), after);
    }

    /// Shows the owners of every range that holds `key`.
    pub(crate) fn holding(&self, key: &[u8], visit: &mut impl FnMut(u64, &V)) {
        holding(self.root.as_deref(), key, visit);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

fn holding<V>(node: Option<&Node<V>>, key: &[u8], visit: &mut impl FnMut(u64, &V)) {
    let Some(node) = node.filter(|node| *key < *node.reach) else { return };
    holding(node.left.as_deref(), key, visit);
    if *node.low <= *key {
        if *key < *node.high {
            node.owners.iter().for_each(|(owner, value)| visit(*owner, value));
        }
        holding(node.right.as_deref(), key, visit);
    }
}

/// Takes the tree apart at a range: what is before it, its node alone, what is after it.
fn split_at<V>(tree: Link<V>, low: &Bytes, high: &Bytes) -> (Link<V>, Link<V>, Link<V>) {
    let Some(mut node) = tree else { return (None, None, None) };
    match (low, high).cmp(&(&node.low, &node.high)) {
        Ordering::Less => {
            let (before, found, rest) = split_at(node.left.take(), low, high);
            node.left = rest;
            (before, found, Some(mended(node)))
        }
        Ordering::Greater => {
            let (rest, found, after) = split_at(node.right.take(), low, high);
            node.right = rest;
            (Some(mended(node)), found, after)
        }
        Ordering::Equal => {
            let (before, after) = (node.left.take(), node.right.take());
            (before, Some(mended(node)), after)
        }
    }
}

/// Joins two trees of which every range of the first is before every range of the second.
fn join<V>(first: Link<V>, second: Link<V>) -> Link<V> {
    match (first, second) {
        (None, tree) | (tree, None) => tree,
        (Some(mut first), Some(second)) if first.priority > second.priority => {
            first.right = join(first.right.take(), Some(second));
            Some(mended(first))
        }
        (first, Some(mut second)) => {
            second.left = join(first, second.left.take());
            Some(mended(second))
        }
    }
}

/// Brings `reach` up to date after the children changed.
fn mended<V>(mut node: Box<Node<V>>) -> Box<Node<V>> {
    let children = [node.left.as_ref(), node.right.as_ref()];
    let reach = children.into_iter().flatten().map(|child| &child.reach).max();
    node.reach = reach.filter(|reach| **reach > node.high).unwrap_or(&node.high).clone();
    node
}

/// Spreads consecutive numbers over all 64 bits, so that priorities keep the tree shallow.
fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
