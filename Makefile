# Plain 'make' prints this help.

BIN       := $(CURDIR)/.bin
TOOLS     := $(BIN)/tools
GOLANGCI  := v2.15.0
FUZZTIME  ?= 30s
SEEDS     ?= 10000
LEDGER_OPS ?= 200000
CHAOS_KILLS ?= 1000
BENCHTIME ?= 1s
PEERFLAGS ?=
TRUTH     ?= 10000
TRUTH_FROM ?= $(shell date +%Y%m%d)00000
PEERS     ?= yes
BENCHFLAGS ?=
OUT       ?=
PKGS      ?= ./...
TESTFLAGS ?=
export CGO_ENABLED = 0
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help build run test sim chaos timed race race-host race-blobs race-store lint fmt tidy docs bench bench-peers microbench counts fuzz testdata gas-fit cross ci real golden truth truth-peers undefended

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build troupe and troupe-worker into .bin
	@go build -trimpath -o $(BIN)/ ./cmd/troupe ./cmd/troupe-worker

run: build ## the main job: prepare, cache and execute a WebAssembly hash puzzle
	@$(BIN)/troupe run --data-dir $(BIN)/data --invoke run testdata/guests/hash-puzzle.wasm -- 0 4

test: ## all tests, under ten minutes on two cores
	go test -timeout 10m $(TESTFLAGS) ./... ./testdata/bench/...

sim: ## the simulations of all actors over SEEDS=10000 seeds, and LEDGER_OPS=200000 random operations on the ledger
	TROUPE_SIM_SEEDS=$(SEEDS) go test -count 1 -timeout 60m -run 'Sim|Bar' $(TESTFLAGS) ./actors/...
	TROUPE_LEDGER_OPS=$(LEDGER_OPS) go test -count 1 -timeout 60m -run Conservation $(TESTFLAGS) ./chainbridge/ledger

chaos: ## hosts, workers and files under CHAOS_KILLS=1000 kills, storms and damage; CHAOS_SEED=n repeats a run
	CHAOS_KILLS=$(CHAOS_KILLS) go test -tags chaos -count 1 -p 1 -timeout 120m -run 'Chaos|Bar08' -v $(TESTFLAGS) ./host ./artifacts/... ./chainbridge/...
	TROUPE_OUTBOX_KILLS=$(CHAOS_KILLS) go test -count 1 -timeout 60m -run R8Killed -v $(TESTFLAGS) ./host/internal/outbox

timed: ## tests that hold a line of time or need a loaded machine; on a machine at rest
	go test -tags timed -count 1 -p 1 -timeout 30m -run 'Bar|Timed' -v $(TESTFLAGS) $(PKGS)

undefended: ## attacks with the defences left out that stop them: each gets through then (as root: all of them)
	go test -tags undefended -count 1 -p 1 -timeout 10m -run Undefended $(TESTFLAGS) ./host/... ./cmd/internal/webui ./cmd/internal/cli

real: ## real modules from public Go modules, alone and metered (needs a network, or has them already)
	go test -count 1 -timeout 10m -run 'RealModules|SharedMemory' -v $(TESTFLAGS) ./host/engine

golden: ## gas of each guest against testdata/gas, here and on an emulated arm64 (needs qemu-user-static)
	go test -count 1 -run GoldenGas -v $(TESTFLAGS) ./host/engine
	GOARCH=arm64 go test -c -o $(BIN)/engine.arm64.test ./host/engine
	cd host/engine && qemu-aarch64-static $(BIN)/engine.arm64.test -test.run 'GoldenGas|Remainders' -test.v

truth: ## TRUTH=10000 generated modules, compiled and interpreted: all must be the same; TRUTH_FROM=n is the first, and by default of today
	TROUPE_TRUTH=$(TRUTH) TROUPE_TRUTH_FROM=$(TRUTH_FROM) go test -count 1 -timeout 60m -run EngineTruth -v $(TESTFLAGS) ./host/engine

truth-peers: ## the same modules on wasmtime too, without metering (needs a C compiler)
	cd testdata/bench/peers && CGO_ENABLED=1 go run . -truth $(TRUTH) $(TRUTH_FROM)

race: race-host race-blobs race-store ## the concurrent packages under the race detector (needs a C compiler); the engine runs in one goroutine of a worker

race-host:
	CGO_ENABLED=1 go test -race -timeout 30m $(TESTFLAGS) $$(go list ./actors/... ./host/... ./cmd/internal/systemd | grep -v '/host/engine$$')

race-blobs:
	CGO_ENABLED=1 go test -race -timeout 30m $(TESTFLAGS) ./artifacts/blob ./artifacts/db ./chainbridge/devchain ./chainbridge/fake

race-store:
	CGO_ENABLED=1 go test -race -timeout 30m $(TESTFLAGS) -run 'Reader|Memory|Delete|Restart' ./artifacts/store

lint: $(TOOLS)/golangci-lint ## golangci-lint with the pinned version
	$(TOOLS)/golangci-lint run ./... ./testdata/bench/...

fmt: ## format all Go files
	gofmt -w $$(git ls-files '*.go')

tidy: ## tidy go.mod and go.sum
	go mod tidy

docs: ## the reference of all commands, cmd/REFERENCE.md, from the table of verbs
	@mkdir -p $(BIN)
	go run ./cmd/troupe docs markdown >$(BIN)/REFERENCE.md && mv $(BIN)/REFERENCE.md cmd/REFERENCE.md

bench: build ## goals, what is measured, and peers; BENCHTIME=1s, OUT=file, PEERS=no (they need a C compiler), BENCHFLAGS='-only warm,starts'
	@go build -trimpath -o $(BIN)/bench-table ./testdata/bench/table
	@rm -f $(BIN)/bench-peers.json
	@[ "$(PEERS)" = no ] || (cd testdata/bench/peers && CGO_ENABLED=1 go build -o $(BIN)/bench-peers .) \
	  || { rm -f $(BIN)/bench-peers; echo 'without peers: they need a C compiler and their Go modules'; }
	@[ "$(PEERS)" = no ] || [ ! -f $(BIN)/bench-peers ] || (cd testdata/bench/peers && $(BIN)/bench-peers -rows $(BIN)/bench-peers.json $(PEERFLAGS))
	@$(BIN)/bench-table -time $(BENCHTIME) -revision "$$(git describe --always --dirty)" \
	  $$([ ! -f $(BIN)/bench-peers.json ] || echo -peers $(BIN)/bench-peers.json) $(if $(OUT),-out $(OUT)) $(BENCHFLAGS)

bench-peers: build ## kernels, small calls and compiling beside wasmtime, wazero and Extism (needs a C compiler); PEERFLAGS='-rounds 15 -only small'
	cd testdata/bench/peers && CGO_ENABLED=1 go run . $(PEERFLAGS)

microbench: ## Go benchmarks of all packages; BENCHTIME=1s
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKGS)

counts: ## write what is allocated into testdata/bench/counts.txt, which 'make test' holds
	TROUPE_COUNTS=write go test -count 1 -p 1 -run 'Counts' ./host ./host/wire ./artifacts/store

fuzz: ## every fuzz target for FUZZTIME=30s each
	@.ci/fuzz $(FUZZTIME)

testdata: ## rebuild the guests (needs clang, lld, wabt, wasi-libc, zstd)
	testdata/guests/build.sh

gas-fit: ## the gas table and its report from the committed measurements
	go run ./cmd/internal/gasfit fit
	go run ./cmd/internal/gasfit report

cross: ## build and vet for the other platforms
	@for t in linux/arm64 darwin/arm64 windows/amd64; do echo $$t; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} go build ./... && GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./... || exit 1; done

ci: ## what CI runs
	.ci/run

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
