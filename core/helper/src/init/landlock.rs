//! Landlock, a wall behind the mounts: what the program may open lies below
//! the container's root, whatever way it finds to name it
//! (landlock(7), Documentation/userspace-api/landlock.rst).
//!
//! The rules are made while this process may still open everything, and bind
//! it once it is the program's user. Rights that a directory gives hold for
//! all below it and cannot be taken back further down; a read-only root
//! therefore has a second set of rules, which only knows of writing.

use super::{at, descriptor};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Field, Kind, Plan};
use crate::sys::{self, Errno, Fd};

/// One set of rules for all rights, one for writing.
pub(crate) type Rulesets = [Option<Fd>; 2];

/// Makes the rule sets of the plan; none where it has none.
pub(crate) fn prepare(plan: Plan<'_>) -> Result<Rulesets, Fault> {
    let mut rulesets: Rulesets = [None, None];
    let mut made = 0_usize;
    for record in plan.records() {
        let mut body = record.body;
        let broken = Fault::broken_plan(Step::User, record.index);
        let failed = |call| at(Step::User, call, record.index);
        match record.kind {
            Kind::Landlock => {
                let mut number = || body.u64().ok_or(broken);
                let (rights, network, scopes) = (number()?, number()?, number()?);
                let handled = [rights, network, scopes];
                let ruleset = sys::landlock_ruleset(handled).map_err(failed(Call::Landlock))?;
                add_streams(plan, &ruleset, rights);
                *rulesets.get_mut(made).ok_or(broken)? = Some(ruleset);
                made = made.saturating_add(1);
            }
            Kind::LandlockRule => {
                let rights = body.u64().ok_or(broken)?;
                let path = body.string().ok_or(broken)?;
                let set = made.checked_sub(1).and_then(|last| rulesets.get(last)?.as_ref());
                let below = sys::open(Fd::CWD, path, sys::O_PATH, 0).map_err(failed(Call::Open))?;
                sys::landlock_rule(set.ok_or(broken)?.borrow(), rights, below.borrow())
                    .map_err(failed(Call::Landlock))?;
            }
            _ => {}
        }
    }
    Ok(rulesets)
}

/// What the caller gave as standard streams may be opened again, as programs
/// do with `/dev/stdout`, but with no more rights than it was given with.
fn add_streams(plan: Plan<'_>, ruleset: &Fd, handled: u64) {
    const READ: u64 = 1 << 2;
    const WRITE: u64 = (1 << 1) | (1 << 14);
    for stream in [Field::Stdin, Field::Stdout, Field::Stderr] {
        let Some(stream) = descriptor(plan, stream) else { continue };
        // A directory is a way out.
        if sys::stat(stream).is_ok_and(|found| found.mode & sys::S_IFMT == sys::S_IFDIR) {
            continue;
        }
        let rights = match sys::access_mode(stream) {
            Ok(sys::O_RDONLY) => READ,
            Ok(sys::O_WRONLY) => WRITE,
            Ok(sys::O_RDWR) => READ | WRITE,
            _ => continue,
        };
        // Pipes and sockets need no rule and take none.
        let _: Result<(), Errno> = sys::landlock_rule(ruleset.borrow(), rights & handled, stream);
    }
}

/// From here on the rules hold for this process and all that it starts.
pub(crate) fn restrict(rulesets: &Rulesets) -> Result<(), Fault> {
    for ruleset in rulesets.iter().flatten() {
        sys::landlock_restrict(ruleset.borrow())
            .map_err(at(Step::User, Call::Landlock, Fault::NO_RECORD))?;
    }
    Ok(())
}
