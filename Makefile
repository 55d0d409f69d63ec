# libctr: everything a newcomer, a packager and CI call.

CARGO  ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
# Containers need root in this version; `make run` asks for it only there.
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
# Several test files start containers at the same time; the leak checks count
# descriptors of their own process only.
TEST_FLAGS ?=
# A program that runs a command in a machine with pure cgroup v2, for `make
# test-vm`, and the tests that run there.
RUN_IN_VM ?= run-in-vm
VM_TESTS ?= wait|deadline|cleanup|cgroup|sandbox|init
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

.PHONY: help build run test test-vm bench lint deny header header-check wheel python-test install check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the library, the C library and the command line
	$(CARGO) build --release -p libctr -p libctr-ffi -p libctr-cli

run: ## run one command, isolated and limited, and say how it ended
	$(CARGO) build --release -q -p libctr --example hello
	$(SUDO) target/release/examples/hello

test: ## all tests that this machine can run; what it cannot is said
	$(CARGO) test --workspace $(TEST_FLAGS)
	$(MAKE) python-test

test-vm: ## the behaviour tests in a small machine with pure cgroup v2 (RUN_IN_VM=program)
	$(CARGO) test -p libctr-tests --no-run --message-format=json \
	    | sed -n 's/.*"executable":"\([^"]*deps[^"]*\)".*/\1/p' \
	    | grep -E '/($(VM_TESTS))-' >target/vm-tests
	test -s target/vm-tests
	$(RUN_IN_VM) -t 1800 -w $(CURDIR)/target -e LIBCTR_TEST_REQUIRE=$(LIBCTR_TEST_REQUIRE) -- \
	    sh -c 'status=0; for test in $$(cat $(CURDIR)/target/vm-tests); do $$test || status=1; done; exit $$status'

bench: ## latency beside bwrap, crun, runc and a plain process
	$(CARGO) bench -p libctr-tests --bench latency

lint: ## format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps -q

deny: ## licences, sources and banned crates (needs cargo-deny)
	$(CARGO) deny --log-level error check bans licenses sources

HEADER = cbindgen --quiet --config ffi/cbindgen.toml --crate libctr-ffi --output include/ctr.h

header: ## include/ctr.h from the sources (needs cbindgen)
	$(HEADER)

header-check: ## the committed header is that of the sources
	$(HEADER) --verify

.venv/bin/maturin:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q 'maturin>=1.9.4,<2' pytest mypy

wheel: .venv/bin/maturin ## the Python wheel, in python/dist
	cd python && ../.venv/bin/maturin build --release --out dist

python-test: .venv/bin/maturin ## the Python module and its tests
	cd python && ../.venv/bin/maturin develop -q
	cd python && ../.venv/bin/python -m pytest -q
	cd python && ../.venv/bin/python -m mypy

install: ## the C library, its header and pkg-config file, and ctrun
	$(CARGO) build --release -p libctr-ffi -p libctr-cli
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(PREFIX)/bin
	install -m 755 target/release/libctr.so $(DESTDIR)$(LIBDIR)/libctr.so.$(VERSION)
	ln -sf libctr.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libctr.so.0
	ln -sf libctr.so.0 $(DESTDIR)$(LIBDIR)/libctr.so
	install -m 644 target/release/libctr.a $(DESTDIR)$(LIBDIR)/libctr.a
	install -m 644 include/ctr.h $(DESTDIR)$(INCLUDEDIR)/ctr.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' ffi/libctr.pc.in \
	    >$(DESTDIR)$(LIBDIR)/pkgconfig/libctr.pc
	install -m 755 target/release/ctrun $(DESTDIR)$(PREFIX)/bin/ctrun

check: lint deny header-check test ## what CI runs

clean:
	$(CARGO) clean
