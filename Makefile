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

bench: ## latency beside bwrap, crun, runc and a plain process
	$(CARGO) bench -p libctr-tests --bench latency

lint: ## format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps -q

deny: ## licences, sources and banned crates (needs cargo-deny)
	$(CARGO) deny --log-level error check bans licenses sources

check: lint deny header-check test ## what CI runs

clean:
	$(CARGO) clean
