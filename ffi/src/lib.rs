//! libctr-ffi
