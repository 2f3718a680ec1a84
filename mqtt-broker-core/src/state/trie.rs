//! Wildcard filters, level by level: finds those that match a topic name without looking at others.
//!
//! Level texts are kept once and numbered. All edges are in one hash table keyed by (node, level),
//! so that a node with one child costs no table of its own; the children `+` and `#` are in the
//! node.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use mqtt_codec::levels;
use slab::Slab;

use super::routes::FilterId;

/// The number of a node; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

const ROOT: NodeId = NodeId(0);

#[derive(Debug)]
struct Node {
    parent: NodeId,
    /// Number of its level's text; unused for `+` and the root.
    level: u32,
    plus: Option<NodeId>,
    /// Filters that end here with `#`, the first of a chain.
    hash_filters: Option<FilterId>,
    /// Filters that end here, the first of a chain.
    filters: Option<FilterId>,
    /// Children by text; the node goes when nothing is left of it.
    children: u32,
}

#[derive(Debug)]
struct Edge {
    parent: NodeId,
    level: u32,
    child: NodeId,
}

#[derive(Debug)]
struct Level {
    text: Box<[u8]>,
    edges: u32,
}

/// Where in the trie a filter is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    node: NodeId,
    /// True for a filter that ends with `#`, which is kept at the node before it.
    hash: bool,
}

/// The trie.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Slab<Node>,
    edges: HashTable<Edge>,
    levels: Slab<Level>,
    level_numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl Default for Trie {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(ROOT, 0));
        Self {
            nodes,
            edges: HashTable::new(),
            levels: Slab::new(),
            level_numbers: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl Trie {
    /// The place of a filter, made if it is not there.
    pub(crate) fn place(&mut self, filter: &[u8]) -> Place {
        let mut node = ROOT;
        for level in levels(filter) {
            match level {
                b"#" => return Place { node, hash: true },
                b"+" => node = self.plus_child(node),
                text => node = self.child(node, text),
            }
        }
        Place { node, hash: false }
    }

    /// The place of a filter, if it is there.
    pub(crate) fn find(&self, filter: &[u8]) -> Option<Place> {
        let mut node = ROOT;
        for level in levels(filter) {
            match level {
                b"#" => return Some(Place { node, hash: true }),
                b"+" => node = self.nodes.get(node.0 as usize)?.plus?,
                text => node = self.find_child(node, self.level_number(text)?)?,
            }
        }
        Some(Place { node, hash: false })
    }

    /// The first filter at a place.
    pub(crate) fn first(&self, place: Place) -> Option<FilterId> {
        let node = self.nodes.get(place.node.0 as usize)?;
        if place.hash {
            node.hash_filters
        } else {
            node.filters
        }
    }

    /// Sets the first filter at a place; with `None`, what is left empty is removed.
    pub(crate) fn set_first(&mut self, place: Place, filter: Option<FilterId>) {
        if let Some(node) = self.nodes.get_mut(place.node.0 as usize) {
            *(if place.hash {
                &mut node.hash_filters
            } else {
                &mut node.filters
            }) = filter;
        }
        self.prune(place.node);
    }

    /// Calls `found` with the first filter of each place that matches a topic name.
    ///
    /// Costs a hash look-up for each level and matching prefix, however many filters there are.
    pub(crate) fn matches(&self, topic: &[u8], mut found: impl FnMut(FilterId)) {
        let Some(root) = self.nodes.get(ROOT.0 as usize) else {
            return;
        };
        // [MQTT-4.7.2-1]
        if !topic.starts_with(b"$") {
            root.hash_filters.into_iter().for_each(&mut found);
        }
        self.walk(root, ROOT, topic, &mut found);
    }

    /// Looks for what matches `topic` below `node`. Recursion is as deep as the filters are, which
    /// have a limit.
    fn walk(&self, node: &Node, id: NodeId, topic: &[u8], found: &mut impl FnMut(FilterId)) {
        let (level, rest) = match topic.iter().position(|byte| *byte == b'/') {
            Some(at) => (topic.get(..at).unwrap_or_default(), topic.get(at + 1..)),
            None => (topic, None),
        };
        let by_text = (node.children > 0)
            .then(|| self.find_child(id, self.level_number(level)?))
            .flatten();
        // [MQTT-4.7.2-1]
        let plus = node.plus.filter(|_| id != ROOT || !level.starts_with(b"$"));
        for child_id in [by_text, plus].into_iter().flatten() {
            let Some(child) = self.nodes.get(child_id.0 as usize) else {
                continue;
            };
            // `a/#` matches `a` too.
            child.hash_filters.into_iter().for_each(&mut *found);
            match rest {
                Some(rest) => self.walk(child, child_id, rest, found),
                None => child.filters.into_iter().for_each(&mut *found),
            }
        }
    }

    /// True if nothing is left but the root.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
            && self.edges.is_empty()
            && self.levels.is_empty()
            && self.level_numbers.is_empty()
    }

    fn plus_child(&mut self, parent: NodeId) -> NodeId {
        let there = self.nodes.get(parent.0 as usize).and_then(|node| node.plus);
        there.unwrap_or_else(|| {
            let child = NodeId(self.nodes.insert(Node::new(parent, 0)) as u32);
            if let Some(node) = self.nodes.get_mut(parent.0 as usize) {
                node.plus = Some(child);
            }
            child
        })
    }

    fn child(&mut self, parent: NodeId, text: &[u8]) -> NodeId {
        let level = self
            .level_number(text)
            .unwrap_or_else(|| self.add_level(text));
        if let Some(child) = self.find_child(parent, level) {
            return child;
        }
        let child = NodeId(self.nodes.insert(Node::new(parent, level)) as u32);
        let hash = self.hasher.hash_one((parent.0, level));
        self.edges.insert_unique(
            hash,
            Edge {
                parent,
                level,
                child,
            },
            |edge| self.hasher.hash_one((edge.parent.0, edge.level)),
        );
        if let Some(node) = self.nodes.get_mut(parent.0 as usize) {
            node.children += 1;
        }
        if let Some(level) = self.levels.get_mut(level as usize) {
            level.edges += 1;
        }
        child
    }

    fn find_child(&self, parent: NodeId, level: u32) -> Option<NodeId> {
        let hash = self.hasher.hash_one((parent.0, level));
        let edge = self
            .edges
            .find(hash, |edge| edge.parent == parent && edge.level == level)?;
        Some(edge.child)
    }

    fn level_number(&self, text: &[u8]) -> Option<u32> {
        let same = |number: &u32| {
            self.levels
                .get(*number as usize)
                .is_some_and(|level| *level.text == *text)
        };
        self.level_numbers
            .find(self.hasher.hash_one(text), same)
            .copied()
    }

    fn add_level(&mut self, text: &[u8]) -> u32 {
        let number = self.levels.insert(Level {
            text: text.into(),
            edges: 0,
        }) as u32;
        let hash = self.hasher.hash_one(text);
        self.level_numbers.insert_unique(hash, number, |number| {
            self.levels
                .get(*number as usize)
                .map_or(0, |level| self.hasher.hash_one(&*level.text))
        });
        number
    }

    /// Removes the node if nothing is left of it, and then its parent likewise.
    fn prune(&mut self, mut id: NodeId) {
        while id != ROOT
            && let Some(node) = self.nodes.get(id.0 as usize)
            && node.is_empty()
        {
            let (parent, level) = (node.parent, node.level);
            self.nodes.remove(id.0 as usize);
            let is_plus = self
                .nodes
                .get(parent.0 as usize)
                .is_some_and(|node| node.plus == Some(id));
            if let Some(node) = self.nodes.get_mut(parent.0 as usize) {
                if is_plus {
                    node.plus = None;
                } else {
                    node.children -= 1;
                }
            }
            if !is_plus {
                self.remove_edge(parent, level);
            }
            id = parent;
        }
    }

    fn remove_edge(&mut self, parent: NodeId, level: u32) {
        let hash = self.hasher.hash_one((parent.0, level));
        if let Ok(edge) = self
            .edges
            .find_entry(hash, |edge| edge.parent == parent && edge.level == level)
        {
            edge.remove();
        }
        let Some(text) = self.levels.get_mut(level as usize) else {
            return;
        };
        text.edges -= 1;
        if text.edges == 0 {
            let hash = self.hasher.hash_one(&*text.text);
            if let Ok(number) = self
                .level_numbers
                .find_entry(hash, |number| *number == level)
            {
                number.remove();
            }
            self.levels.remove(level as usize);
        }
    }
}

impl Node {
    const fn new(parent: NodeId, level: u32) -> Self {
        Self {
            parent,
            level,
            plus: None,
            hash_filters: None,
            filters: None,
            children: 0,
        }
    }

    const fn is_empty(&self) -> bool {
        self.plus.is_none()
            && self.hash_filters.is_none()
            && self.filters.is_none()
            && self.children == 0
    }
}
