# GNU make. `make` alone lists the targets.

CARGO   ?= cargo
COMPOSE ?= docker compose --file deploy/compose.yaml

# The proxy that `make run` starts, the flags that it gets, and where `make cli` looks for it.
BIN  = $(or $(CARGO_TARGET_DIR),target)/release/redis-proxy
ARGS =
PORT = 8001

# What the tests start, as PROGRAM or PROGRAM=PACKAGE; see deploy/need.sh.
TEST_NEEDS = redis-server redis-cli=redis-tools

.DEFAULT_GOAL := help
.PHONY: help build run cli test lint commands docker-run dev-run clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build the proxy, optimised
	$(CARGO) build --release --locked

run: build ## run the proxy, and a Redis for it if none is there; flags in ARGS="--cache_ttl 1000"
	@exec deploy/run.sh $(BIN) $(ARGS)

cli: ## talk to the running proxy with redis-cli; another port as PORT=8002
	@deploy/need.sh redis-cli=redis-tools
	@exec redis-cli -p $(PORT)

test: ## run all tests, unit and end to end; installs the Redis that they need
	@deploy/need.sh $(TEST_NEEDS)
	$(CARGO) test --locked

lint: ## check the format, and for what clippy has to say
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings

commands: ## renew the table of commands in the README
	@deploy/need.sh $(TEST_NEEDS)
	UPDATE_README=1 $(CARGO) test --locked --test readme

docker-run: ## run Redis and the proxy in containers; builds the image if there is none
	$(COMPOSE) up

dev-run: ## the same, with the image built anew from this tree
	$(COMPOSE) up --build

clean: ## remove what was built
	$(CARGO) clean
