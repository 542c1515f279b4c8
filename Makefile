# What a developer does every day; CI runs the same steps through .ci/run.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The module folders, from go.work.
modules := $(shell go work edit -json | sed -n 's/.*"DiskPath": "\.\/\(.*\)".*/\1/p')
commands := ./cmd/spotserve $(foreach s,trace-replayer planner worker collector plotter,./services/$s/cmd/$s)
packages := $(modules:%=./%/...)

FUZZTIME ?= 30s
BENCHTIME ?= 1s
CHAOS_FOR ?= 10m
CHAOS_SEED ?= 1
CHAOS_RATE ?= 1.5
CHAOS_LENGTH ?= 1320
CHAOS_SCALE ?= 20

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the command line and the five services, static, into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ $(commands)

.PHONY: test
test: ## all tests of all modules
	go test work

.PHONY: race
race: ## all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race $(packages)

.PHONY: chaos
chaos: ## real processes under faults: each kind once, then CHAOS_FOR of random ones
	SPOTSERVE_CHAOS=1 go test -count=1 -v -timeout 0 ./test/chaos
	SPOTSERVE_CHAOS_FOR=$(CHAOS_FOR) SPOTSERVE_CHAOS_SEED=$(CHAOS_SEED) SPOTSERVE_CHAOS_RATE=$(CHAOS_RATE) \
	  SPOTSERVE_CHAOS_LENGTH=$(CHAOS_LENGTH) SPOTSERVE_CHAOS_SCALE=$(CHAOS_SCALE) go test -count=1 -v -timeout 0 -run TestLong ./test/chaos

.PHONY: exactness
exactness: ## a real model on workers that come and go: every answer against that of a model that was never cut
	SPOTSERVE_EXACTNESS=1 go test -count=1 -v -timeout 30m ./test/exactness ./engine/node

.PHONY: lint
lint: ## go vet, golangci-lint and buf lint
	bin=$$(bash .ci/tools buf golangci-lint); \
	go vet work; \
	"$$bin/golangci-lint" run $(packages); \
	"$$bin/buf" lint proto

.PHONY: format
format: ## gofmt and goimports
	bin=$$(bash .ci/tools golangci-lint); "$$bin/golangci-lint" fmt $(modules)

.PHONY: generate
generate: ## the Go code of proto/
	bin=$$(bash .ci/tools buf protoc-gen-go); cd proto; PATH=$$bin:$$PATH buf generate

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	bash .ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## each benchmark for BENCHTIME
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(packages)

.PHONY: release
release: ## the last commit as archives, images, bills of materials and checksums in dist/
	cd .ci/release && GOWORK=off go run . --repository ../.. --out ../../dist

.PHONY: tidy
tidy: ## go mod tidy in every module, one version of each library
	for m in $(modules); do (cd $$m && GOWORK=off go mod tidy); done
	go work sync

.PHONY: ci
ci: ## everything that CI runs
	bash .ci/run
