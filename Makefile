# Thin names for the real commands. `make` alone lists them.

# Everything that is built, and the Python venv, go here.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET)

PYTHON ?= python3
CC ?= cc
VENV := $(TARGET)/venv
CFLAGS_STRICT := -std=c99 -pedantic -Wall -Wextra -Werror

.DEFAULT_GOAL := help
.PHONY: help demo login build test test-rust test-simulation test-c test-python test-browser test-spring test-clients test-go test-wheels test-fuzz soak lint bench deny msrv docs header abi instructions clean setup-ci install uninstall dist dist-aarch64 dist-windows deb

help:            # lists the targets
	@grep -E '^[a-z0-9-]+: .*# ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*# /\1#/' | \
	  awk -F'#' '{printf "make %-16s %s\n", $$1, $$2}'

demo: build $(TARGET)/examples/login   # runs the C example against the sandbox, with TLS; INTERACTIVE=1: you log in yourself
	@$(PYTHON) scripts/demo.py $(if $(INTERACTIVE),--interactive)

login: build $(TARGET)/examples/login  # runs the C example against the real server; needs CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET
	@LD_LIBRARY_PATH=$(TARGET)/release $(TARGET)/examples/login

build:           # builds libcmauth.so, libcmauth.a and the sandbox
	cargo build --release
	cargo build --package cmauth-sandbox

test:            # runs all tests and prints a summary: what ran, what was skipped and why
	@MAKE='$(MAKE)' scripts/test lint deny msrv test-rust test-simulation test-c test-python test-browser test-spring test-clients test-go test-wheels test-fuzz

test-rust:       # tests the core and the sandbox
	cargo test --package cmauth --package cmauth-sandbox

test-simulation: # simulates sessions on many machines: 20,000 worlds, or as many as a minute allows
	CMAUTH_SIM_SECONDS=60 cargo test --package cmauth --profile simulation --lib simulation -- --nocapture

test-c: build    # tests the C ABI: header, exported symbols, C and C++ programs
	cargo test --package cmauth-c

test-python: build $(VENV)/installed  # tests the Python package, its types and its example
	$(VENV)/bin/pip install --quiet --force-reinstall --no-deps ./bindings/python
	CMAUTH_SANDBOX=$(TARGET)/debug/cmauth-sandbox $(VENV)/bin/python -m pytest -rs bindings/python/tests
	$(VENV)/bin/python scripts/simulate_refreshes.py 1000 >/dev/null

test-browser: $(VENV)/installed  # tests the pages in Chromium; screenshots are in target/screenshots
	CMAUTH_SANDBOX=$(TARGET)/debug/cmauth-sandbox $(VENV)/bin/python -m pytest -rs tests/browser

test-spring: build $(VENV)/installed  # runs the library and the sandbox against Spring Security OAuth; needs Maven and a JDK
	$(VENV)/bin/pip show --quiet cmauth 2>/dev/null || $(VENV)/bin/pip install --quiet ./bindings/python
	CMAUTH_SANDBOX=$(TARGET)/debug/cmauth-sandbox $(VENV)/bin/python -m pytest -rs tests/spring

test-clients: build $(VENV)/installed  # other OAuth clients log in at the sandbox: two for Python, one for Go, one for Node
	$(VENV)/bin/pip show --quiet cmauth 2>/dev/null || $(VENV)/bin/pip install --quiet ./bindings/python
	CMAUTH_SANDBOX=$(TARGET)/debug/cmauth-sandbox $(VENV)/bin/python -m pytest -rs tests/clients

test-go:         # installs the library in target/go-prefix and tests the Go package: gofmt, go vet, go test -race
	@command -v go >/dev/null || { echo "SKIPPED test-go: go is missing; apt install golang-go, or https://go.dev/dl (1.21 or later)"; \
	  test -z "$$CI"; exit; }; \
	set -e; $(MAKE) --no-print-directory install PREFIX=$(TARGET)/go-prefix >/dev/null; \
	cargo build --package cmauth-sandbox; \
	export PKG_CONFIG_PATH=$(TARGET)/go-prefix/lib/pkgconfig LD_LIBRARY_PATH=$(TARGET)/go-prefix/lib; \
	export CMAUTH_SANDBOX=$(TARGET)/debug/cmauth-sandbox; \
	badly=$$(gofmt -l bindings/go examples/go); \
	test -z "$$badly" || { echo "test-go: gofmt -w $$badly" >&2; exit 1; }; \
	for module in bindings/go bindings/go/cmoauth2 examples/go; do \
	  (cd $$module && go vet ./... && go test -race -count=1 ./...) || exit 1; \
	done

test-wheels: $(VENV)/installed-dist  # installs the wheel, the source distribution and the sandbox in new venvs and uses them
	scripts/wheels

test-fuzz:       # fuzzes for a few seconds, from the corpus; scripts/fuzz 600 runs longer
	scripts/fuzz 3

soak: $(VENV)/installed  # runs the long tests: many threads with faults, many machines, an hour of simulation, AddressSanitizer, fuzzing
	CMAUTH_SOAK=1 cargo test --release --package cmauth --test soak --test session_processes --test store_kill -- --nocapture
	CMAUTH_SOAK=1 $(VENV)/bin/python -m pytest -s bindings/python/tests/test_machines.py
	CMAUTH_SIM_SECONDS=3600 CMAUTH_SIM_WORLDS=1000000000 CMAUTH_SIM_FIRST=$$(date +%s)0000 \
	  cargo test --package cmauth --profile simulation --lib simulation -- --nocapture
	scripts/sanitize
	scripts/fuzz 300

lint: $(VENV)/installed  # checks format and warnings of Rust, Python, C and C++, and that git tracks no build output
	scripts/check-tree
	$(VENV)/bin/pre-commit validate-config
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --package cmauth --no-deps --quiet
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.cpp' '*.hpp' 'bindings/c/tests/c/*.h' 'examples/c/*.h' 'examples/qt/*.h')

bench: build     # compares with libcurl and Python libraries; needs nginx, libcurl, cJSON and valgrind (scripts/setup-bench)
	cargo build --release --package cmauth --example baseline
	$(PYTHON) -m venv $(TARGET)/bench-venv
	$(TARGET)/bench-venv/bin/pip install --quiet --disable-pip-version-check -r bench/requirements-peers.txt ./bindings/python
	$(PYTHON) bench/run.py $(TARGET) $(TARGET)/bench $(BENCH)
	$(TARGET)/bench-venv/bin/python bench/many_users.py

deny:            # checks licences, duplicates, sources and advisories of all dependencies; CARGO_DENY_DB: folder of the advisory database
	@scripts/deny

msrv:            # compiles everything with the oldest Rust that Cargo.toml allows
	@scripts/msrv

docs: $(VENV)/installed  # builds the HTML reference of C (needs doxygen) and Python, with the tutorial, in target/docs
	@command -v doxygen >/dev/null || { echo "docs: doxygen is missing; make setup-ci installs it" >&2; exit 1; }
	@mkdir -p $(TARGET)/docs/c
	OUT=$(TARGET)/docs/c VERSION=$$(sed -n '/^.workspace.package/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml) doxygen docs/c/Doxyfile
	cd $(VENV) && bin/pip show --quiet cmauth 2>/dev/null || bin/pip install --quiet $(CURDIR)/bindings/python
	$(VENV)/bin/python -m pdoc --output-directory $(TARGET)/docs/python docs/python/tutorial.py cmauth cmauth.testing '!cmauth._pytest'
	@echo "docs: $(TARGET)/docs/c/index.html $(TARGET)/docs/python/index.html"

header:          # writes include/cmauth.h from bindings/c/src, and bindings/c/abi.json, its description for tools
	CMAUTH_WRITE_HEADER=1 cargo test --quiet --package cmauth-c --test header
	CMAUTH_WRITE_HEADER=1 cargo test --quiet --package cmauth-c --test abi_json

abi:             # writes bindings/c/abi.txt, the list of everything that the header promises; for a release
	CMAUTH_WRITE_ABI=1 cargo test --quiet --package cmauth-c --test abi

instructions:    # writes bench/instructions.txt, the instruction counts that a test checks
	CMAUTH_WRITE_INSTRUCTIONS=1 cargo test --quiet --package cmauth-c --test instructions

clean:           # removes everything that was built
	cargo clean

install:         # installs library, headers, pkg-config, CMake and man page; PREFIX=/usr/local, LIBDIR, DESTDIR
	cargo build --release --package cmauth-c
	@PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' scripts/install install

uninstall:       # removes what install installed, with the same variables
	@PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' scripts/install uninstall

dist: $(VENV)/installed-dist  # builds and checks the library for Linux x86_64 with glibc 2.17 or later
	cargo build --package cmauth-sandbox
	scripts/dist

dist-aarch64: $(VENV)/installed-dist  # builds it for aarch64 and tests it under qemu
	cargo build --package cmauth-sandbox
	scripts/dist aarch64

dist-windows: $(VENV)/installed-dist  # builds it for 64-bit Windows and tests it under Wine
	cargo build --package cmauth-sandbox
	scripts/dist-windows

deb:             # builds the Debian packages; checks, installs, uses and removes them
	cargo build --package cmauth-sandbox
	scripts/deb

setup-ci:        # installs what the tests need besides Rust, cc, make and Python 3
	scripts/setup-ci

$(TARGET)/examples/login: examples/c/login.c include/cmauth.h | build
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_STRICT) -Iinclude $< -L$(TARGET)/release -lcmauth -o $@

# Tools by name, in a venv of our own.
$(VENV)/installed-dist: scripts/requirements-dist.txt $(VENV)/installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/installed: scripts/requirements-test.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
