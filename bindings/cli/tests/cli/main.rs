//! The program `ctrun` as its users meet it: arguments in; output, exit code
//! and what is left on the machine out.
//!
//! Needs root. Where that is missing the tests are skipped with a printed
//! reason; `LIBCTR_TEST_REQUIRE=1` makes a skip a failure.

mod attached;
mod bench;
mod detached;
mod devices;
mod exec;
mod features;
mod generated;
mod images;
mod life;
mod limits;
mod logs;
mod ps;
mod root;
mod run;
mod stats;
mod terminal;
mod usage;
mod user;
