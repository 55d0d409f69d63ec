//! libctr-tests
