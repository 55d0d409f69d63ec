//! libctr-cli
