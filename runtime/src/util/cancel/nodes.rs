//! The tree of frames as a table: nodes by number, each with its parent and its neighbours.
//!
//! No user code runs in here: wakers and targets go back to the caller.

use std::rc::Weak;
use std::task::Waker;

use super::frames::{Leaf, MARKED, Mark};
use super::{CancelTarget, LOST, Message, POLL, Scope, WORDS, Wait, set_event};

const INDEX_BITS: u32 = 24;
pub(super) const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// No node. Index zero is never given out.
pub(super) const NONE: u32 = 0;

pub(super) struct Frames {
    pub(super) nodes: Vec<Node>,
    free: Vec<u32>,
}

pub(super) struct Node {
    generation: u32,
    taken: bool,
    /// It stands for a task, not for a frame.
    is_root: bool,
    parent: u32,
    pub(super) children: Ends,
    previous: u32,
    next: u32,
    /// The task's number.
    pub(super) task: u64,
    pub(super) waker: Option<Waker>,
    pub(super) mark: Option<Mark>,
    pub(super) message: Message,
    /// The task that the scope of this frame has asked to end what is below.
    pub(super) asked: Option<u64>,
    pub(super) wait: Wait,
    pub(super) target: Option<Weak<dyn CancelTarget>>,
}

/// What a node held, for the caller to drop outside the borrow.
pub(super) type Held = (Option<Waker>, Option<Weak<dyn CancelTarget>>);

#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) first: u32,
    last: u32,
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new() }
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Node> {
        let node = self.nodes.get_mut((number & INDEX_MASK) as usize)?;
        let is_same = node.taken && u64::from(node.generation) == number >> INDEX_BITS;
        is_same.then_some(node)
    }

    /// Adds a frame below `scope`, which is being polled.
    pub(super) fn insert(&mut self, scope: Scope, waker: Waker) -> u64 {
        let (parent, task) = match self.parent_of(scope) {
            Some(found) => found,
            None => (self.root(scope), scope.number()),
        };
        let index = self.add(task, parent);
        let node = &mut self.nodes[index as usize];
        node.waker = Some(waker);
        u64::from(node.generation) << INDEX_BITS | u64::from(index)
    }

    fn parent_of(&mut self, scope: Scope) -> Option<(u32, u64)> {
        if !scope.is_frame() {
            return None;
        }
        let task = self.find(scope.number())?.task;
        Some(((scope.number() & INDEX_MASK) as u32, task))
    }

    /// The node of the task that is being polled.
    fn root(&mut self, scope: Scope) -> u32 {
        let root = super::current_root();
        if root != NONE {
            return root;
        }
        let root = self.add(scope.number(), NONE);
        self.nodes[root as usize].is_root = true;
        POLL.with(|poll| poll.step.set(poll.step.get() | u64::from(root)));
        root
    }

    fn add(&mut self, task: u64, parent: u32) -> u32 {
        if self.nodes.is_empty() {
            self.nodes.push(Node::empty());
        }
        let index = self.free.pop().unwrap_or_else(|| {
            assert!(
                self.nodes.len() as u64 <= INDEX_MASK,
                "a thread holds 16,777,215 frames at most"
            );
            self.nodes.push(Node::empty());
            (self.nodes.len() - 1) as u32
        });
        let node = &mut self.nodes[index as usize];
        let generation = node.generation;
        *node = Node { generation, taken: true, task, ..Node::empty() };
        self.hang(index, parent);
        index
    }

    /// Makes a node that hangs nowhere the last child of `parent`.
    fn hang(&mut self, index: u32, parent: u32) {
        let mut previous = NONE;
        if parent != NONE {
            let children = &mut self.nodes[parent as usize].children;
            previous = std::mem::replace(&mut children.last, index);
            if previous == NONE {
                children.first = index;
            }
        }
        if previous != NONE {
            self.nodes[previous as usize].next = index;
        }
        let node = &mut self.nodes[index as usize];
        (node.parent, node.previous, node.next) = (parent, previous, NONE);
    }

    /// Has a node hang nowhere.
    fn unhang(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let parent = std::mem::replace(&mut node.parent, NONE);
        let previous = std::mem::replace(&mut node.previous, NONE);
        let next = std::mem::replace(&mut node.next, NONE);
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if parent != NONE {
            let children = &mut self.nodes[parent as usize].children;
            if children.first == index {
                children.first = next;
            }
            if children.last == index {
                children.last = previous;
            }
        }
    }

    /// A frame is polled below `scope`: it hangs there from now on, if it was moved since its last poll.
    pub(super) fn follow(&mut self, number: u64, scope: Scope) -> Option<&mut Node> {
        self.find(number)?;
        let index = (number & INDEX_MASK) as u32;
        let (parent, task) = match self.parent_of(scope) {
            Some(found) => found,
            None => (self.root(scope), scope.number()),
        };
        if self.nodes[index as usize].parent != parent {
            self.unhang(index);
            self.hang(index, parent);
            self.nodes[index as usize].task = task;
        }
        self.find(number)
    }

    /// The node of the task that a frame belongs to; the outermost frame around one that belongs to none.
    fn top(&self, mut index: u32) -> u32 {
        while self.nodes[index as usize].parent != NONE {
            index = self.nodes[index as usize].parent;
        }
        index
    }

    /// The number of the task that a frame belongs to.
    pub(super) fn task_of(&mut self, number: u64) -> Option<u64> {
        self.find(number)?;
        let top = self.top((number & INDEX_MASK) as u32);
        Some(self.nodes[top as usize].task)
    }

    /// Takes a frame out; what it held comes back, and whether its waker is to be woken.
    pub(super) fn remove(&mut self, number: u64) -> Option<(Held, bool)> {
        let node = self.find(number)?;
        let mut wakes = false;
        if let Some(mark) = node.mark.take() {
            MARKED.set(MARKED.get() - 1);
            if mark != Mark::Unwinding {
                let message = node.message.take();
                wakes = self.lose((number & INDEX_MASK) as u32, message);
            }
        }
        Some((self.remove_index((number & INDEX_MASK) as u32), wakes))
    }

    /// The frame that was asked goes without an answer. Its own task makes that good, even if another one, or
    /// nobody's step, drops the frame: such a request waits at the task's node for a step, and true says that
    /// the task has to be woken for it.
    fn lose(&mut self, index: u32, message: Message) -> bool {
        let top = self.top(index);
        let is_polled = super::current() != Scope::NONE && super::current_root() == top;
        if is_polled {
            let _ = WORDS.try_with(|words| words.set(message));
            set_event(LOST);
            return false;
        }
        let root = &mut self.nodes[top as usize];
        if root.is_root {
            root.set_mark(Mark::Recorded, &message);
        }
        root.is_root
    }

    pub(super) fn remove_index(&mut self, index: u32) -> Held {
        let node = &mut self.nodes[index as usize];
        node.taken = false;
        node.generation = (node.generation + 1) & INDEX_MASK as u32;
        node.generation = node.generation.max(1);
        let held = (node.waker.take(), node.target.take());
        if node.mark.take().is_some() {
            MARKED.set(MARKED.get() - 1);
        }
        let mut child = std::mem::replace(&mut node.children, Ends::EMPTY).first;
        // A frame that ends before those inside it did so by moving them out: they hang on nothing.
        while child != NONE {
            let orphan = &mut self.nodes[child as usize];
            child = std::mem::replace(&mut orphan.next, NONE);
            orphan.parent = NONE;
            orphan.previous = NONE;
        }
        self.unhang(index);
        self.free.push(index);
        held
    }

    pub(super) fn collect_leaves(&self, top: u32, leaves: &mut Vec<Leaf>) {
        self.walk(top, |index, node| {
            if node.children.first == NONE {
                leaves.push(Leaf(u64::from(node.generation) << INDEX_BITS | u64::from(index)));
            }
        });
    }

    /// Shows a node and all below it, without recursion: frames may nest deeper than the stack.
    pub(super) fn walk(&self, top: u32, mut show: impl FnMut(u32, &Node)) {
        let mut at = top;
        loop {
            let node = &self.nodes[at as usize];
            show(at, node);
            if node.children.first != NONE {
                at = node.children.first;
                continue;
            }
            while at != top && self.nodes[at as usize].next == NONE {
                at = self.nodes[at as usize].parent;
            }
            if at == top {
                return;
            }
            at = self.nodes[at as usize].next;
        }
    }
}

impl Ends {
    const EMPTY: Self = Self { first: NONE, last: NONE };
}

impl Node {
    const fn empty() -> Self {
        Self {
            generation: 1,
            taken: false,
            is_root: false,
            parent: NONE,
            children: Ends::EMPTY,
            previous: NONE,
            next: NONE,
            task: 0,
            waker: None,
            mark: None,
            message: None,
            asked: None,
            wait: Wait::NOTHING,
            target: None,
        }
    }

    /// A mark that is there stays, with its words: a waiter that was struck is struck (rule G28).
    pub(super) fn set_mark(&mut self, mark: Mark, message: &Message) {
        match self.mark {
            None => MARKED.set(MARKED.get() + 1),
            Some(Mark::Recorded) if mark == Mark::Recorded => {}
            Some(_) => return,
        }
        self.mark = Some(mark);
        self.message.clone_from(message);
    }
}
