//! The program `ctrun` as its users meet it: arguments in; output, exit code
//! and what is left on the machine out.
//!
//! What needs root or control groups is skipped with a printed reason where
//! they are missing. `LIBCTR_TEST_REQUIRE=1` makes every skip a failure,
//! `LIBCTR_TEST_REQUIRE=user` those that an ordinary user need not have.

mod attached;
mod bench;
mod detached;
mod devices;
mod doctor;
mod exec;
mod features;
mod generated;
mod images;
mod life;
mod limits;
mod logs;
mod places;
mod ps;
mod root;
mod run;
mod stats;
mod terminal;
mod usage;
mod user;
mod userns;
