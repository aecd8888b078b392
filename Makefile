# Tasks of this repository. `make` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# In a clone of another user git refuses to run, so that there is no version stamp.
ifeq ($(shell git rev-parse HEAD 2>/dev/null),)
export GOFLAGS += -buildvcs=false
endif

FUZZTIME ?= 30s
TEST_TIMEOUT ?= 20m
MODULE = github.com/meshway/meshway
# The packages with tests for root.
ROOT_PACKAGES = $(shell find . \( -path ./e2e/kubernetes -o -path ./e2e/bench \) -prune -o -name '*_root_test.go' -printf '%h\n' | sort -u)

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build meshd, meshctl and the demonstration into bin/
	go build -o bin/ ./cmd/meshd ./cmd/meshctl ./e2e/demo

.PHONY: demo
demo: ## run a federation of three datacenters (root; once=1: stop after the tour)
	@.ci/setup $@
	@$(MAKE) --no-print-directory build
	@exec bin/demo $(if $(filter-out 0 no,$(once)),-once)

.PHONY: test
test: ## run all tests that this machine can run, and name the failed rings at the end (root)
	@.ci/setup $@
	@.ci/test vet test-unit test-sim test-root test-kernel

.PHONY: check
check: vet lint ## run vet, lint, unit tests and simulations without the race detector: about two minutes
	go test -timeout $(TEST_TIMEOUT) ./...

.PHONY: vet
vet: ## run go vet, including tests with build tags
	go vet ./...
	go vet -tags root,kernel,vm,packages ./...

# Left out: vet, which is a target, and debug information. The race detector does not
# instrument the arithmetic of crypto, a quarter of the time of e2e/sim, which shares no
# memory with other goroutines; all its callers are instrumented. The compiler adds no
# checks of unsafe pointers, a tenth of the time, nearly all of it in protobuf. A program
# does not wait for a second after its tests.
ARITHMETIC = edwards25519/... nistec/... mlkem sha3
UNIT_FLAGS = -shuffle=on -timeout $(TEST_TIMEOUT) -vet=off -ldflags=-w
RACE = GORACE=atexit_sleep_ms=0
RACE_FLAGS = -race -gcflags=all=-d=checkptr=0 $(ARITHMETIC:%=-gcflags=crypto/internal/fips140/%=-race=false)

# Packages that start no goroutine, and whose tests start none, which
# cmd/meshd/serial_test.go checks. There the race detector has nothing to detect, and
# would take most of the time. In the tests of packages that use them it instruments
# them, too.
SERIAL = agent/config agent/interference agent/kube/mcs agent/membership/internal/noaddress agent/membership/internal/noleader \
  agent/membership/internal/recovery agent/plaintext agent/plan agent/plan/gatewayplan agent/plan/prefixset agent/plan/sighting agent/plan/tunnelend \
  agent/rotation agent/rpc agent/state agent/suggest \
  cmd/flagvalue cmd/manual cmd/meshctl/internal/corefile cmd/meshctl/internal/human cmd/meshctl/internal/limits cmd/meshctl/internal/registration \
  consensus consensus/archive consensus/catalog consensus/catalog/agreement consensus/catalog/allowlist consensus/catalog/budget \
  consensus/catalog/entrycheck consensus/catalog/quota consensus/catalog/replica consensus/catalog/replica/internal/keys \
  consensus/catalog/replica/internal/table consensus/catalog/snapshot consensus/catalog/sponsor consensus/consensustest/memdisk \
  consensus/raftnode/internal/history consensus/raftnode/internal/quorum deploy routes routes/ruleset tunnel tunnel/device tunnel/secret tunnel/tunneltest

# Whole agents and catalogs in simulated time, and the growth of costs.
SIMULATED = e2e/sim e2e/history e2e/scale

# Takes by far the longest, most of it in one goroutine at a time: it is started first,
# so that the others run beside it and not before it.
LONGEST = consensus/raftnode

.PHONY: test-unit
test-unit: ## run the tests of packages, with the race detector where goroutines meet (no root)
	@.ci/setup $@
	@status=0; \
	go test $(UNIT_FLAGS) $(SERIAL:%=./%) || status=1; \
	$(RACE) go test $(UNIT_FLAGS) $(RACE_FLAGS) $(LONGEST:%=./%) $(filter-out $(addprefix $(MODULE)/,$(SERIAL) $(SIMULATED) $(LONGEST)),$(shell go list ./...)) || status=1; \
	exit $$status

.PHONY: test-sim
test-sim: ## run whole agents and catalogs in simulated time, with the race detector (no root)
	@.ci/setup test-unit
	$(RACE) go test $(UNIT_FLAGS) $(RACE_FLAGS) $(SIMULATED:%=./%)

# -count=1: the results depend on more than the source.
.PHONY: test-root
test-root: ## run the namespace tests: netlink, nft, TUN and processes (root)
	@.ci/setup $@
	go test -tags root -p 1 -count=1 -timeout $(TEST_TIMEOUT) $(ROOT_PACKAGES)

# from= is a revision; the default is the oldest one that has to run together with this one.
.PHONY: test-upgrade
test-upgrade: ## upgrade a federation under traffic from an older build and back (root; from=REV)
	@.ci/setup $@
	go test -tags root -count=1 -timeout $(TEST_TIMEOUT) -v ./e2e/upgrade $(if $(from),-from=$(from))

# A separate module, so that the product has few dependencies. clusters=3, keep=1.
.PHONY: e2e-kubernetes
e2e-kubernetes: ## test on real Kubernetes clusters (root; keep=1: only install and keep them)
	@.ci/setup $@
ifneq ($(filter-out 0 no,$(keep)),)
	go build -C e2e/kubernetes -o ../../bin/clusters ./cmd/clusters
	@cd e2e/kubernetes && exec ../../bin/clusters up --meshway --clusters $(or $(clusters),2)
else
	cd e2e/kubernetes && go vet -tags root ./... && go run ./cmd/components && \
	  CLUSTERS=$(or $(clusters),2) go test -tags root -p 1 -count=1 -timeout 30m ./...
endif

# suite= is a checkout of kubernetes-sigs/mcs-api; filter=Required, dualstack=1, reports=DIR.
.PHONY: e2e-conformance
e2e-conformance: ## run the public MCS conformance suite on two clusters (root; suite=DIR)
	@test -n "$(suite)" || { echo "make $@: suite is missing: clone https://github.com/kubernetes-sigs/mcs-api, then run make $@ suite=DIR" >&2; exit 1; }
	@.ci/setup e2e-kubernetes
	go build -C e2e/kubernetes -o ../../bin/conformance ./cmd/conformance
	@cd e2e/kubernetes && exec ../../bin/conformance -suite "$(abspath $(suite))" -filter "$(filter)" \
	  -reports "$(abspath $(reports))" $(if $(filter-out 0 no,$(dualstack)),-dual-stack)

# Takes about 7 minutes. keep=1, only=join,export,ready,load,idle,burst.
.PHONY: bench-kubernetes
bench-kubernetes: ## measure two real clusters, one line of JSON on stdout (root)
	@.ci/setup e2e-kubernetes
	@go build -C e2e/kubernetes -o ../../bin/bench ./cmd/bench
	@cd e2e/kubernetes && exec ../../bin/bench $(if $(filter-out 0 no,$(keep)),-keep) $(if $(only),-only $(only))

# A separate module, because of etcd. Takes about 7 minutes. keep=1, rounds=3,
# only=lan,wan,cost,restart,socket, profile=DIR.
.PHONY: bench-catalog
bench-catalog: ## measure the catalog beside etcd, one line of JSON on stdout (root)
	@.ci/setup $@
	@go build -o bin/ ./cmd/meshd ./cmd/meshctl
	@go build -C e2e/bench -o ../../bin/catalog ./cmd/catalog
	@exec bin/catalog -rounds $(or $(rounds),3) $(if $(filter-out 0 no,$(keep)),-keep) $(if $(only),-only $(only)) \
	  $(if $(profile),-profile "$(abspath $(profile))")

.PHONY: vet-bench
vet-bench: ## vet and test the programs of bench-catalog
	cd e2e/bench && go vet ./... && go test -timeout $(TEST_TIMEOUT) ./...

# Takes about 5 minutes. only=plan,status,commit,routes,gateway,restart,snapshot,watch; rounds=5.
.PHONY: bench-scale
bench-scale: ## measure what a large federation costs an agent, one line of JSON on stdout (root)
	@.ci/setup $@
	@go build -o bin/scale ./e2e/scale
	@exec bin/scale $(if $(only),-only $(only)) $(if $(rounds),-rounds $(rounds))

# A seed that failed reproduces: go test ./e2e/history -first SEED -seeds 1. minutes=10, seeds=3000.
.PHONY: check-history
check-history: ## inject faults into the catalog, and check what its clients got (root; minutes=60)
	@.ci/setup test-root
	go test -count=1 -timeout 0 -run TestHistoriesAre ./e2e/history -seeds $(or $(seeds),3000)
	go test -tags root -count=1 -timeout 0 -run TestHistoriesOfProcesses -v ./e2e/history -minutes $(or $(minutes),10)

.PHONY: test-kernel
test-kernel: ## run the kernel tests: WireGuard of the kernel, in a virtual machine (qemu; no root)
	@.ci/setup $@
	go test -tags kernel -count=1 -timeout $(TEST_TIMEOUT) ./e2e/kernel

# root= keeps the files of the bare machine in a directory; only=demo.
.PHONY: test-fresh
test-fresh: ## run make demo and make test in a bare Debian system (root, debootstrap)
	@.ci/setup $@
	@.ci/fresh $(or $(only),demo test)

# Makes dist/ from the commit that is checked out. platforms=linux/amd64,darwin/arm64
# for some of them; IMAGE=ghcr.io/OWNER/meshway if the image is pushed to another
# repository than the chart in the source tree names.
.PHONY: release
release: ## make the files of a release in dist/ (VERSION=v0.2.0)
	@.ci/setup $@
	@go run -C .ci/release . make -repository "$(CURDIR)" -output "$(CURDIR)/dist" -version "$(VERSION)" $(if $(IMAGE),-image "$(IMAGE)") -platforms "$(platforms)"

# To try the chart of the source tree: push the image, or load it on the nodes.
.PHONY: image
image: ## build the image for the processor of this machine, as an OCI archive bin/image.tar
	@.ci/setup release
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/meshd ./cmd/meshctl
	@go run -C .ci/release . image -repository "$(CURDIR)" -programs "$(CURDIR)/bin" -output "$(CURDIR)/bin/image.tar" -tag dev $(if $(IMAGE),-name "$(IMAGE)")

.PHONY: release-verify
release-verify: ## build a release twice, in different directories, and compare the bytes (VERSION=v0.2.0)
	@.ci/setup $@
	@go run -C .ci/release . verify -repository "$(CURDIR)" -version "$(VERSION)" $(if $(IMAGE),-image "$(IMAGE)") -platforms "$(platforms)"

.PHONY: test-release
test-release: ## test the program that makes releases (no root)
	@.ci/setup $@
	cd .ci/release && go vet ./... && go test ./...

.PHONY: test-packages
test-packages: ## install, upgrade and purge the deb and the rpm of a release in a bare Debian system (root, debootstrap)
	@.ci/setup $@
	@.ci/packages

.PHONY: lint
lint: ## run golangci-lint at the version of .ci/tools/go.mod
	.ci/tool golangci-lint run ./...

.PHONY: generate
generate: ## generate code from the protobuf files (protoc), and the references in deploy
	@.ci/setup $@
	.ci/generate

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
	  go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; done

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: ci
ci: ## run the stages of CI, and install what is missing (root)
	.ci/run

.PHONY: clean
clean: ## remove build results
	rm -rf bin dist
