# GNU make. `make` alone lists the targets.

CARGO   ?= cargo
COMPOSE ?= docker compose --file deploy/compose.yaml

# Where cargo builds.
TARGET = $(or $(CARGO_TARGET_DIR),target)

# The proxy that `make run` starts, the flags that it gets, and where `make cli` looks for it.
BIN  = $(TARGET)/release/redis-proxy
ARGS =
PORT = 8001

# How long each test of `make soak`, `make fuzz` and `make fuzz-parsers` runs.
SECONDS = 60

# How the optimised proxy is linked, to take less memory and space. Relocations take 2 KB instead of 70, where the C
# library knows that form: glibc 2.36 and later. The order of the code, and what is left out of it, is in deploy/seldom.ld,
# which GNU ld and lld can read; for another linker, give LINK= and there is none. As that leaves out what
# unwinds the stack, the feature no-frames can leave out what prints a backtrace.
GLIBC  := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
RELR   := $(shell printf '2.36\n$(GLIBC)\n' | sort -VC && echo -Clink-arg=-Wl,-z,pack-relative-relocs)
LINK    = $(RELR) '-Clink-arg=-Wl,-T,$(CURDIR)/deploy/seldom.ld' -Clink-arg=-Wl,--no-eh-frame-hdr
FRAMES  = $(if $(LINK),--features no-frames)

# STATIC=1 links the C library in: the proxy then needs nothing but a kernel. It takes 0.6 MB of memory less, and 0.9 MB
# more on disk. The function of the feature no-frames then goes before that of the unwinder, which is there too.
STATIC  =
LINKED  = $(LINK) $(if $(STATIC),-Ctarget-feature=+crt-static '-Clink-args=-z muldefs')

# What the tests start, as PROGRAM or PROGRAM=PACKAGE; see deploy/need.sh. With pip and npm they install
# the client libraries that tests/clients names.
TEST_NEEDS = redis-server redis-cli=redis-tools curl python3 pip3=python3-pip node=nodejs npm \
	chromium promtool=prometheus

# What the tests of all frameworks start beside that.
FRAMEWORK_NEEDS = redis-server python3 pip3=python3-pip node=nodejs npm php=php-cli 'php --ri redis=php-redis' \
	ruby 'ruby -rredis -e 0=ruby-redis'

# What the benchmarks start. With pip they install the client library that tests/clients names.
BENCH_NEEDS = redis-server redis-cli=redis-tools nutcracker stunnel=stunnel4 setpriv=util-linux taskset=util-linux \
	python3 pip3=python3-pip

# What `make dist` builds for. With musl, the binary runs on any Linux; where Rust has no such target, a target that ends in
# -gnu links glibc statically.
DIST_TARGET = $(shell uname -m)-unknown-linux-musl
DIST        = $(TARGET)/dist
DIST_NEEDS  = dpkg-deb=dpkg readelf=binutils $(if $(findstring -musl,$(DIST_TARGET)),musl-gcc=musl-tools)

# What checks the packages.
PACKAGE_NEEDS = redis-server redis-cli=redis-tools lintian systemd-analyze=systemd man=man-db fish python3 pip3=python3-pip

.DEFAULT_GOAL := help
.PHONY: help build build-small run run-cluster cli dist test test-packages test-frameworks redis-suite lint commands docker-run dev-run clean soak fuzz fuzz-parsers bench bench-check bench-record

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build the proxy, optimised
	$(CARGO) rustc --release --locked $(FRAMES) --bin redis-proxy -- $(LINKED)

build-small: ## build it without TLS, into target/small
	$(CARGO) rustc --profile small --locked --no-default-features $(FRAMES) --bin redis-proxy -- $(LINKED)

run: build ## run the proxy, and a Redis if none is there; flags in ARGS="--cache_ttl 1000"
	@exec deploy/run.sh $(BIN) $(ARGS)

run-cluster: build ## run the proxy, and a Redis Cluster of six nodes if none is there; flags in ARGS=
	@exec deploy/run-cluster.sh $(BIN) $(ARGS)

dist: ## pack a static binary: a tarball, a Debian package and checksums, into target/dist
	@deploy/need.sh $(DIST_NEEDS)
	@! command -v rustup >/dev/null || rustup target add $(DIST_TARGET)
	$(if $(findstring -gnu,$(DIST_TARGET)),CARGO_ENCODED_RUSTFLAGS=-Ctarget-feature=+crt-static) \
		$(CARGO) build --release --locked --target $(DIST_TARGET)
	$(CARGO) build --locked --example manual
	deploy/dist.sh $(TARGET)/$(DIST_TARGET)/release/redis-proxy $(DIST_TARGET) $(TARGET)/debug/examples/manual $(DIST)

cli: ## connect redis-cli to the running proxy; another port with PORT=8002
	@deploy/need.sh redis-cli=redis-tools
	@exec redis-cli -p $(PORT)

# Most tests wait for most of their time: three at once for each core take half as long.
test: export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
test: ## run all unit and end-to-end tests; installs what they need
	@deploy/need.sh $(TEST_NEEDS)
	@CARGO="$(CARGO)" tests/run.sh

test-packages: dist ## install the Debian package into an empty root, and check all that `make dist` makes
	@deploy/need.sh $(PACKAGE_NEEDS)
	DIST=$(abspath $(DIST)) $(CARGO) test --locked --test packages -- --include-ignored

test-frameworks: ## run frameworks with default settings through the proxy, and show their hit ratios
	@deploy/need.sh $(FRAMEWORK_NEEDS)
	$(CARGO) test --locked --test frameworks -- --include-ignored --test-threads 1

redis-suite: build ## run Redis's test suite directly and through the proxy, for docs/redis-suite.md; REDIS_SOURCES=path
	@deploy/need.sh redis-server python3 tclsh=tcl
	tests/redis-suite.py $(REDIS_SOURCES) $(BIN)

soak: ## run random workloads with faults, and a misbehaving Redis, for SECONDS=600 each
	@deploy/need.sh redis-server
	SOAK_SECONDS=$(SECONDS) $(CARGO) test --locked --release --test coherence --test fake -- --nocapture

fuzz: ## compare random commands and garbled bytes with Redis, with new seeds, for SECONDS=600 each
	@deploy/need.sh redis-server
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --release --test differential --test dedicated --test garbled -- \
		--nocapture random

fuzz-parsers: ## feed random bytes to every parser, with new seeds, for SECONDS=600 each
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --profile fuzz --test parsers -- --nocapture

lint: ## check the format, clippy's and rustdoc's warnings, and the licences and sources of dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --locked --quiet
	@if ! command -v cargo-deny >/dev/null; then \
		echo 'lint: licences and sources not checked, as cargo-deny is missing: cargo install cargo-deny' >&2; \
	elif ! $(CARGO) fetch --locked --quiet; then \
		echo 'lint: licences and sources not checked, as dependencies of other systems cannot be fetched' >&2; \
	else \
		$(CARGO) deny --locked --offline check licenses bans sources; \
	fi

commands: ## renew what the documentation takes from the code, Redis and the benchmarks
	@deploy/need.sh $(TEST_NEEDS)
	UPDATE_DOCS=1 $(CARGO) test --locked --test docs -- commands figures

bench: build build-small ## compare with Redis and twemproxy, for docs/benchmarks.md; quickly with ARGS=--quick, a section with ARGS=far
	@deploy/need.sh $(BENCH_NEEDS)
	cp $(BIN) $(BIN)-linked
	$(CARGO) bench --locked --bench bench -- --proxy $(abspath $(BIN))-linked $(ARGS)

bench-check: ## count instructions, and show changes of more than 2%
	@deploy/need.sh valgrind
	$(CARGO) bench --locked --bench micro -- --check

bench-record: ## count instructions, and record them for bench-check
	@deploy/need.sh valgrind
	$(CARGO) bench --locked --bench micro -- --record

docker-run: ## run Redis and the proxy in containers; builds the image if needed
	$(COMPOSE) up

dev-run: ## the same, after rebuilding the image
	$(COMPOSE) up --build

clean: ## remove build results
	$(CARGO) clean
