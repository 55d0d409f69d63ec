//! libctr-python
