//! Several rules for one call: which one is asked first.
//!
//! Rules whose actions differ can both hold for a call. A filter asks them one
//! after the other, so their order is part of a profile's meaning, and it is
//! not the order in which they are written but libseccomp's: a rule without
//! conditions stands for all others, rules on later arguments come before
//! those on earlier ones, `==` and `!=` before `<` before `>`, large values
//! before small ones (small before large for `<`). Rules that begin alike are
//! kept together, so they form a tree.

use std::cmp::Ordering;

use crate::profile::{Action, Argument, Compare};

/// What is known of one call number.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The same for all arguments.
    Always(Action),
    /// The first chain that holds; none: the default. `wide`: arguments have
    /// 64 bits.
    Rules { tree: Vec<Node>, count: usize, wide: bool },
}

/// Conditions that must all hold, arguments ascending, and what then becomes
/// of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) tests: Vec<Argument>,
    pub(crate) action: Action,
}

/// Two rules say different things of the same call.
#[derive(Debug)]
pub(crate) struct Contradiction;

impl Verdict {
    pub(crate) const fn new(wide: bool) -> Verdict {
        Verdict::Rules { tree: Vec::new(), count: 0, wide }
    }

    /// Adds a rule.
    pub(crate) fn add(&mut self, chain: Chain) -> Result<(), Contradiction> {
        let Verdict::Rules { tree, count, wide } = self else { return Ok(()) };
        let steps: Vec<Step> = chain.tests.iter().flat_map(|test| steps(test, *wide)).collect();
        if steps.is_empty() {
            *self = Verdict::Always(chain.action);
            return Ok(());
        }
        *count += 1;
        insert(tree, &steps, chain)
    }

    /// How many rules were added, an upper bound of how many there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Verdict::Always(_) => 0,
            Verdict::Rules { count, .. } => *count,
        }
    }
}

/// The chains of a tree in the order in which they are asked.
pub(crate) fn chains(tree: &[Node]) -> Vec<&Chain> {
    let mut found = Vec::new();
    collect(tree, &mut found);
    found
}

fn collect<'a>(level: &'a [Node], found: &mut Vec<&'a Chain>) {
    for branch in level.iter().flat_map(|node| &node.branches) {
        match branch {
            Branch::End(chain) => found.push(chain),
            Branch::Level(level) => collect(level, found),
        }
    }
}

/// One comparison of a word; the first words of equal chains are one node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    key: Key,
    /// What follows: whatever the word says, where it is equal or greater,
    /// where it is not.
    branches: [Branch; 3],
}

#[derive(Clone, Debug)]
enum Branch {
    End(Chain),
    Level(Vec<Node>),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    key: Key,
    branch: usize,
}

const THROUGH: usize = 0;
const HOLDS: usize = 1;
const FAILS: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Key {
    /// Twice the argument's index, plus one for its upper word.
    word: usize,
    kind: Kind,
    /// Precedence among comparisons of one word.
    rank: u8,
    value: u32,
    mask: u32,
    ascending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equal,
    Masked,
    Greater,
    GreaterOrEqual,
}

impl Key {
    fn is(&self, other: &Key) -> bool {
        (self.word, self.kind, self.value, self.mask)
            == (other.word, other.kind, other.value, other.mask)
    }

    /// Whether a node of this key is asked before one of `other`.
    fn precedes(&self, other: &Key) -> bool {
        let values = other.value.cmp(&self.value);
        let values = if self.ascending { values.reverse() } else { values };
        let order = (other.word, other.rank).cmp(&(self.word, self.rank));
        order.then(values) == Ordering::Less
    }
}

/// The words of a condition. A mask without bits always holds.
fn steps(test: &Argument, wide: bool) -> Vec<Step> {
    let (mask, value) = match test.compare {
        Compare::MaskedEqual => (test.value, test.value_two & test.value),
        _ => (u64::MAX, test.value),
    };
    let ([low_mask, high_mask], [low, high]) = (words(mask), words(value));
    if low_mask == 0 && (!wide || high_mask == 0) {
        return Vec::new();
    }
    let (kind, rank, branch) = match test.compare {
        Compare::MaskedEqual => (Kind::Masked, 3, HOLDS),
        Compare::Equal => (Kind::Equal, 3, HOLDS),
        Compare::NotEqual => (Kind::Equal, 3, FAILS),
        Compare::Less => (Kind::GreaterOrEqual, 2, FAILS),
        Compare::LessOrEqual => (Kind::Greater, 2, FAILS),
        Compare::GreaterOrEqual => (Kind::GreaterOrEqual, 1, HOLDS),
        Compare::Greater => (Kind::Greater, 1, HOLDS),
    };
    let (word, ascending) = (test.index * 2, rank == 2);
    let lower = Key { word, kind, rank, value: low, mask: low_mask, ascending };
    let last = Step { key: lower, branch };
    if !wide {
        return vec![last];
    }
    let kind = if kind == Kind::GreaterOrEqual { Kind::Greater } else { kind };
    let upper = Key { word: word + 1, kind, value: high, mask: high_mask, ..lower };
    vec![Step { key: upper, branch: THROUGH }, last]
}

/// Lower and upper half.
pub(crate) fn words(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn insert(level: &mut Vec<Node>, steps: &[Step], chain: Chain) -> Result<(), Contradiction> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    let stop = |node: &Node| node.key.is(&step.key) || step.key.precedes(&node.key);
    let at = level.iter().position(stop).unwrap_or(level.len());
    if !level.get(at).is_some_and(|node| node.key.is(&step.key)) {
        let branches = [(); 3].map(|()| Branch::Level(Vec::new()));
        level.insert(at, Node { key: step.key, branches });
    }
    let branch = &mut level[at].branches[step.branch];
    match (&mut *branch, rest.is_empty()) {
        // The shorter rule stands for the longer one, whatever that says.
        (Branch::End(_), false) => Ok(()),
        (Branch::Level(level), false) => insert(level, rest, chain),
        (Branch::End(other), true) if other.action == chain.action => Ok(()),
        (Branch::Level(level), true)
            if chains(level).iter().all(|longer| longer.action == chain.action) =>
        {
            *branch = Branch::End(chain);
            Ok(())
        }
        (_, true) => Err(Contradiction),
    }
}
