//! Doubly linked lists in one table: the ready sets of the policies.
//!
//! [`Lists`] holds `HEADS` lists over elements numbered from 0 (the clients), each element in at
//! most one list. Lists are rings through a head node, the heads come first in the table, and an
//! element that is in no list points nowhere; so linking and unlinking have no special cases, take
//! constant time, and allocate nothing once the element has its place in the table.

use alloc::vec::Vec;

/// The `next` of an element that is in no list.
const DETACHED: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    prev: u32,
}

/// `HEADS` lists of elements.
pub(crate) struct Lists<const HEADS: u32> {
    nodes: Vec<Node>,
}

impl<const HEADS: u32> Lists<HEADS> {
    /// Empty lists without elements.
    pub(crate) fn new() -> Self {
        let head = |number| Node {
            next: number,
            prev: number,
        };
        Self {
            nodes: (0..HEADS).map(head).collect(),
        }
    }

    /// Makes room for the element numbered `element`; elements are dense numbers.
    pub(crate) fn reserve(&mut self, element: u32) {
        let detached = Node {
            next: DETACHED,
            prev: DETACHED,
        };
        let needed = (HEADS as usize) + (element as usize) + 1;
        if self.nodes.len() < needed {
            self.nodes.resize(needed, detached);
        }
    }

    /// True if `element` is in one of the lists.
    #[inline]
    pub(crate) fn contains(&self, element: u32) -> bool {
        self.nodes
            .get(HEADS as usize + element as usize)
            .is_some_and(|node| node.next != DETACHED)
    }

    /// The first element of a list.
    #[inline]
    pub(crate) fn first(&self, head: u32) -> Option<u32> {
        self.node(head).next.checked_sub(HEADS)
    }

    /// Appends `element`, which has room and is in no list.
    #[inline]
    pub(crate) fn push_back(&mut self, head: u32, element: u32) {
        let number = Self::node_of(element);
        let prev = self.node(head).prev;
        *self.node_mut(number) = Node { next: head, prev };
        self.node_mut(prev).next = number;
        self.node_mut(head).prev = number;
    }

    /// Takes `element` out of its list and returns the list's head if that is now empty.
    #[inline]
    pub(crate) fn unlink(&mut self, element: u32) -> Option<u32> {
        let node = self.node_mut(Self::node_of(element));
        let (prev, next) = (node.prev, node.next);
        node.next = DETACHED;
        self.node_mut(prev).next = next;
        self.node_mut(next).prev = prev;
        // Only the head is its own neighbour on both sides.
        (prev == next).then_some(prev)
    }

    #[inline]
    const fn node_of(element: u32) -> u32 {
        element + HEADS
    }

    #[inline]
    fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    #[inline]
    fn node_mut(&mut self, number: u32) -> &mut Node {
        &mut self.nodes[number as usize]
    }
}
