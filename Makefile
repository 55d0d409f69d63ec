# libctr: everything a newcomer, a packager and CI call.

CARGO  ?= cargo
PYTHON ?= python3
# Several test files start containers at the same time; the leak checks count
# descriptors of their own process only.
TEST_FLAGS ?=
# A program that runs a command in a machine with pure cgroup v2, for `make
# test-vm`, and the tests that run there.
RUN_IN_VM ?= run-in-vm
VM_TESTS ?= wait|deadline|cleanup|cgroup|sandbox|init|devices
# The tests that run there as an ordinary user, too.
VM_USER_TESTS ?= wait|deadline|cgroup|sweep|rootless|rootless_images|host_root
# Those that `make test-user` runs as a user with subordinate ids and as one
# without.
USER_TESTS ?= .
SINGLE_TESTS ?= rootless|rootless_images|host_root|sandbox|streams
# System calls that `make test-old-kernel` takes away, a set at a time, and the
# tests that run without them (all take 4 minutes for each set). Those of the
# filter of system calls would see the one that takes them away.
OLD_KERNELS ?= clone3 openat2 mount mount_setattr pidfd_open close_range landlock all
OLD_KERNEL_TESTS ?= .
.DEFAULT_GOAL := help

# header, header-check, install-c
include ffi/install.mk

# Seconds that `make fuzz` gives each target.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= layer archive manifest reference runspec oci_spec plan message passwd mountinfo

.PHONY: help build run test test-user test-vm test-systemd test-old-kernel fuzz bench lint deny \
    wheel python-test install check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the library, the C library and the command line
	$(CARGO) build --release -p libctr -p libctr-ffi -p libctr-cli

run: ## run one command, isolated and limited, and say how it ended
	$(CARGO) build --release -q -p libctr --example hello
	target/release/examples/hello

test: ## all tests that this machine can run; what it cannot is said
	$(CARGO) test --workspace $(TEST_FLAGS)
	$(MAKE) python-test

test-user: ## the behaviour tests and the command line's, as ordinary users (as root: makes two users)
	$(CARGO) build -p libctr -p libctr-cli -p libctr-ffi --lib --bins
	$(CARGO) build -p libctr --example hello
	$(CARGO) test -p libctr-tests -p libctr-cli --no-run --message-format=json \
	    | sed -n 's/.*"executable":"\([^"]*deps[^"]*\)".*/\1/p' \
	    | grep -vE '/(old_kernel|host|probe|report|ctrun|libctr_tests)-[0-9a-f]+$$' >target/user-tests
	tests/as-user $$(grep -E '/($(USER_TESTS))' target/user-tests)
	tests/as-user --single $$(grep -E '/($(SINGLE_TESTS))-' target/user-tests)

test-vm: ## the behaviour tests in a small machine with pure cgroup v2 (RUN_IN_VM=program)
	$(CARGO) test -p libctr-tests --no-run --message-format=json \
	    | sed -n 's/.*"executable":"\([^"]*deps[^"]*\)".*/\1/p' \
	    | grep /deps/ >target/vm-all-tests
	grep -E '/($(VM_TESTS))-' target/vm-all-tests >target/vm-tests
	grep -E '/($(VM_USER_TESTS))-' target/vm-all-tests >target/vm-user-tests
	# Only this directory is certain to be seen from inside.
	mkdir -p target/vm-images
	test -z "$(LIBCTR_TEST_IMAGES)" || cp -r --no-preserve=mode "$(LIBCTR_TEST_IMAGES)"/busybox-oci target/vm-images/
	$(RUN_IN_VM) -t 1800 -w $(CURDIR)/target $(if $(LIBCTR_TEST_IMAGES),-e LIBCTR_TEST_IMAGES=$(CURDIR)/target/vm-images) -- \
	    sh -c 'status=0; for test in $$(cat $(CURDIR)/target/vm-tests); do $$test || status=1; done; exit $$status'
	$(RUN_IN_VM) -t 1800 -u 1000 -e LIBCTR_TEST_REQUIRE=user -- \
	    sh -c 'status=0; for test in $$(cat $(CURDIR)/target/vm-user-tests); do $$test || status=1; done; exit $$status'

test-systemd: ## an ordinary user's control groups in that machine, with a real systemd and without
	mkdir -p target
	$(CARGO) test -p libctr -p libctr-tests --lib --test systemd --no-run --message-format=json \
	    | sed -n 's/.*"executable":"\([^"]*deps[^"]*\)".*/\1/p' >target/systemd-tests
	systemd=$$(grep /systemd- target/systemd-tests); unit=$$(grep /libctr- target/systemd-tests); \
	for where in 0 1; do \
	    $(RUN_IN_VM) -e IN_MANAGER=$$where -- $(CURDIR)/tests/with-systemd \
	        sh -c "$$systemd && $$unit cgroup::live::systemd" || exit 1; \
	done; \
	$(RUN_IN_VM) -u 1000 -e LIBCTR_TEST_DELEGATED=1 -- $$systemd group_that_is_delegated

test-old-kernel: ## the behaviour tests without the newer system calls (as root)
	$(CARGO) build -p libctr-cli -p libctr --bins --example hello
	$(CARGO) test -p libctr-tests --no-run --message-format=json \
	    | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' >target/old-kernel-programs
	grep -E '/deps/($(OLD_KERNEL_TESTS))' target/old-kernel-programs \
	    | grep -vE '/(old_kernel|host|probe|report|libctr_tests|seccomp)-[0-9a-f]+$$' >target/old-kernel-tests
	test -s target/old-kernel-tests
	cd tests && wrapper=$$(grep '/old_kernel$$' ../target/old-kernel-programs) && status=0; \
	for calls in $(OLD_KERNELS); do for test in $$(cat ../target/old-kernel-tests); do \
	    echo "== without $$calls: $${test##*/}"; \
	    "$$wrapper" $$calls $$test -q || status=1; \
	done; done; exit $$status
fuzz: ## each fuzz target for FUZZ_SECONDS (needs a nightly compiler and cargo-fuzz)
	@if ! $(CARGO) +nightly fuzz --version >/dev/null 2>&1; then \
	    echo 'skipped: no nightly compiler with cargo-fuzz'; exit 0; fi; \
	for target in $(FUZZ_TARGETS); do \
	    case $$target in layer|archive) [ "$$(id -u)" = 0 ] || \
	        { echo "skipped: $$target needs root, for a file system of its own"; continue; };; esac; \
	    echo "fuzz $$target"; mkdir -p tests/fuzz/corpus/$$target; \
	    $(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz $$target \
	        tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=25 -verbosity=0 || exit 1; \
	done

bench: ## latency beside bwrap, crun, runc and a plain process
	$(CARGO) bench -p libctr-tests --bench latency

lint: ## format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	# The doors of the fuzz targets are compiled only for them.
	$(CARGO) clippy -p libctr --lib -- --cfg fuzzing -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps -q

deny: ## licences, sources and banned crates (needs cargo-deny)
	$(CARGO) deny --log-level error check bans licenses sources

.venv/bin/maturin:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q 'maturin>=1.9.4,<2' pytest mypy

wheel: .venv/bin/maturin ## the Python wheel, in python/dist
	cd python && ../.venv/bin/maturin build --release --out dist

python-test: .venv/bin/maturin ## the Python module and its tests
	cd python && ../.venv/bin/maturin develop -q
	cd python && ../.venv/bin/python -m pytest -q
	cd python && ../.venv/bin/python -m mypy
	cd python && ../.venv/bin/python -m mypy.stubtest libctr._libctr

install: build install-c ## the C library, its header and pkg-config file, and ctrun
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 target/release/ctrun $(DESTDIR)$(PREFIX)/bin/ctrun

check: lint deny header-check test ## what CI runs

clean:
	$(CARGO) clean
