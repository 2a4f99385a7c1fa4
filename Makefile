# GNU make. `make` alone lists the targets.

CARGO   ?= cargo
COMPOSE ?= docker compose --file deploy/compose.yaml

# The proxy that `make run` starts, the flags that it gets, and where `make cli` looks for it.
BIN  = $(or $(CARGO_TARGET_DIR),target)/release/redis-proxy
ARGS =
PORT = 8001

# How long each test of `make soak`, `make fuzz` and `make fuzz-parsers` goes on.
SECONDS = 60

# How the optimised proxy is linked, to take less memory. Relocations take 2 KB instead of 70, where the C library knows
# that form: glibc 2.36 and later. The order of the code is in deploy/seldom.ld, which GNU ld and lld can read; for another
# linker, give LINK= and there is none.
GLIBC  := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
RELR   := $(shell printf '2.36\n$(GLIBC)\n' | sort -VC && echo -Clink-arg=-Wl,-z,pack-relative-relocs)
LINK    = $(RELR) '-Clink-arg=-Wl,-T,$(CURDIR)/deploy/seldom.ld' -Clink-arg=-Wl,--no-eh-frame-hdr
LINKED  = CARGO_ENCODED_RUSTFLAGS="$$(printf '\037%s' $(RUSTFLAGS) $(LINK) | cut -c 2-)"

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

.DEFAULT_GOAL := help
.PHONY: help build build-small run run-cluster cli test test-frameworks redis-suite lint commands docker-run dev-run clean soak fuzz fuzz-parsers bench bench-check bench-record

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build the proxy, optimised
	$(LINKED) $(CARGO) build --release --locked

build-small: ## build it without TLS, into target/small
	$(LINKED) $(CARGO) build --profile small --locked --no-default-features

run: build ## run the proxy, and a Redis for it if none is there; flags in ARGS="--cache_ttl 1000"
	@exec deploy/run.sh $(BIN) $(ARGS)

run-cluster: build ## run the proxy, and a Redis Cluster of six nodes for it if none is there; flags in ARGS=
	@exec deploy/run-cluster.sh $(BIN) $(ARGS)

cli: ## talk to the running proxy with redis-cli; another port as PORT=8002
	@deploy/need.sh redis-cli=redis-tools
	@exec redis-cli -p $(PORT)

# Most tests wait for most of their time: three at once for each core take half as long.
test: export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
test: ## run all tests, unit and end to end; installs what they need
	@deploy/need.sh $(TEST_NEEDS)
	$(CARGO) test --locked

test-frameworks: ## run what frameworks do by default through the proxy, and show what they gain
	@deploy/need.sh $(FRAMEWORK_NEEDS)
	$(CARGO) test --locked --test frameworks -- --include-ignored --test-threads 1

redis-suite: build ## run Redis's own tests straight and through the proxy; REDIS_SOURCES=path, for docs/redis-suite.md
	@deploy/need.sh redis-server python3 tclsh=tcl
	tests/redis-suite.py $(REDIS_SOURCES) $(BIN)

soak: ## let the random tests of what is cached, and of a Redis that misbehaves, go on; each as long as SECONDS=600
	@deploy/need.sh redis-server
	SOAK_SECONDS=$(SECONDS) $(CARGO) test --locked --release --test coherence --test fake -- --nocapture

fuzz: ## compare random commands and garbled bytes with Redis, with new seeds; for how long as SECONDS=600
	@deploy/need.sh redis-server
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --release --test differential --test dedicated --test garbled -- \
		--nocapture random

fuzz-parsers: ## give all that reads bytes what nobody sends, with new seeds; for how long as SECONDS=600
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --profile fuzz --test parsers -- --nocapture

lint: ## check the format, and for what clippy has to say
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings

commands: ## renew what the documentation takes from the code, Redis and the benchmarks
	@deploy/need.sh $(TEST_NEEDS)
	UPDATE_DOCS=1 $(CARGO) test --locked --test docs -- commands figures

bench: build-small ## measure side by side with Redis and twemproxy, into docs/; a try with ARGS=--quick, a part with ARGS=far
	@deploy/need.sh $(BENCH_NEEDS)
	$(LINKED) $(CARGO) bench --locked --bench bench -- $(ARGS)

bench-check: ## count instructions, and show what moved by more than 2%
	@deploy/need.sh valgrind
	$(CARGO) bench --locked --bench micro -- --check

bench-record: ## count instructions, and keep the counts for bench-check
	@deploy/need.sh valgrind
	$(CARGO) bench --locked --bench micro -- --record

docker-run: ## run Redis and the proxy in containers; builds the image if there is none
	$(COMPOSE) up

dev-run: ## the same, with the image built anew from this tree
	$(COMPOSE) up --build

clean: ## remove what was built
	$(CARGO) clean
