# The tasks of this repository. `make` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A clone that belongs to somebody else has no version stamp: git refuses to read it.
ifeq ($(shell git rev-parse HEAD 2>/dev/null),)
export GOFLAGS += -buildvcs=false
endif

FUZZTIME ?= 30s
TEST_TIMEOUT ?= 10m
# Packages that have tests for root, and only those.
ROOT_PACKAGES = $(shell find . -path ./e2e/kubernetes -prune -o -name '*_root_test.go' -printf '%h\n' | sort -u)

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build meshd, meshctl and the demonstration into bin/
	go build -o bin/ ./cmd/meshd ./cmd/meshctl ./e2e/demo

.PHONY: demo
demo: build ## show a federation of three datacenters working (root; once=1: end after the tour)
	@exec bin/demo $(if $(filter-out 0 no,$(once)),-once)

.PHONY: test
test: vet test-unit test-root test-kernel ## everything that can be tested on this machine (root)

.PHONY: vet
vet: ## go vet, of the tests behind build tags too
	go vet ./...
	go vet -tags root,kernel,vm ./...

.PHONY: test-unit
test-unit: ## the pure and simulated rings, with the race detector (no root)
	go test -race -shuffle=on -timeout $(TEST_TIMEOUT) ./...

# -count=1: what these tests find depends on more than their source.
.PHONY: test-root
test-root: ## the namespaces ring: real netlink, nft, TUN and processes (root)
	@test "$$(id -u)" = 0 || { echo "make $@: network namespaces need root: sudo make $@" >&2; exit 1; }
	go test -tags root -p 1 -count=1 -timeout $(TEST_TIMEOUT) $(ROOT_PACKAGES)

# A module of its own, so that the product's stays lean. clusters=3, keep=1.
.PHONY: e2e-kubernetes
e2e-kubernetes: ## real Kubernetes clusters: install, join, use services (root; keep=1: hold them for a look)
ifneq ($(filter-out 0 no,$(keep)),)
	go build -C e2e/kubernetes -o ../../bin/clusters ./cmd/clusters
	@cd e2e/kubernetes && exec ../../bin/clusters up --meshway --clusters $(or $(clusters),2)
else
	cd e2e/kubernetes && go vet -tags root ./... && go run ./cmd/components && \
	  CLUSTERS=$(or $(clusters),2) go test -tags root -p 1 -count=1 -timeout 30m ./...
endif

# suite= is a checkout of kubernetes-sigs/mcs-api; filter=Required, dualstack=1, reports=DIR.
.PHONY: e2e-conformance
e2e-conformance: ## the public MCS conformance suite against two clusters (root; suite=DIR: its checkout)
	@test -n "$(suite)" || { echo "make $@: which suite? clone https://github.com/kubernetes-sigs/mcs-api, then make $@ suite=DIR" >&2; exit 1; }
	go build -C e2e/kubernetes -o ../../bin/conformance ./cmd/conformance
	@cd e2e/kubernetes && exec ../../bin/conformance -suite "$(abspath $(suite))" -filter "$(filter)" \
	  -reports "$(abspath $(reports))" $(if $(filter-out 0 no,$(dualstack)),-dual-stack)

# Takes about 7 minutes. keep=1, only=join,export,ready,load,idle,burst.
.PHONY: bench-kubernetes
bench-kubernetes: ## measure two real clusters; one line of JSON on standard output (root)
	@go build -C e2e/kubernetes -o ../../bin/bench ./cmd/bench
	@cd e2e/kubernetes && exec ../../bin/bench $(if $(filter-out 0 no,$(keep)),-keep) $(if $(only),-only $(only))

.PHONY: test-kernel
test-kernel: ## the kernel ring: the kernel's WireGuard in a virtual machine (qemu; no root)
	go test -tags kernel -count=1 -timeout $(TEST_TIMEOUT) ./e2e/kernel

.PHONY: lint
lint: ## golangci-lint, at the version of .ci/tools/go.mod
	.ci/tool golangci-lint run ./...

.PHONY: generate
generate: ## generate code from the protobuf files (protoc)
	.ci/generate

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
	  go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; done

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: ci
ci: ## what CI runs; installs what is missing (root)
	.ci/run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
