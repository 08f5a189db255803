.PHONY: build clients platforms test race bench bench-peers profile mutants image lint soak fuzz model real-input alerts promtool

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

build: ## the one binary, static
	CGO_ENABLED=0 go build -trimpath -pgo cmd/edgehold/edgehold.pgo -ldflags '$(LDFLAGS)' -o dist/edgehold ./cmd/edgehold

test: ## what the README says
	go test ./...

race: ## with one processor, for the reason that .ci/run gives
	go test -race -short -cpu 1 ./...

clients: integration/clients/node_modules/.installed api/js/node_modules/.installed integration/clients/venv/.installed integration/clients/bin/consul-template ## the real clients of integration/fronts, as pinned; Redis's by apt
	@cd integration/platforms/wasmer && go mod download # the runtime is in the module
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; }
	@command -v redis-cli >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends redis-tools; }

%/node_modules/.installed: %/package-lock.json
	@command -v node npm >/dev/null || { echo "make clients needs Node.js 20 or newer, with npm" >&2; exit 1; }
	cd $* && npm ci --no-progress
	@touch $@

integration/clients/bin/consul-template: integration/consul/go.mod
	cd integration/consul && go build -o ../clients/bin/consul-template github.com/hashicorp/consul-template && go test -run '^$$' .

integration/clients/venv/.installed: integration/clients/requirements.txt
	@command -v python3 >/dev/null || { echo "make clients needs Python 3.11 or newer" >&2; exit 1; }
	python3 -m venv --clear integration/clients/venv
	integration/clients/venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r integration/clients/requirements.txt
	@touch $@

platforms: ## a program on each platform of the edge world (docs/fronts/platforms.md), one line each; installs runtimes in dist/platforms
	go run ./integration/platforms

bench: ## reads and writes, in process and over HTTP
	go test -run '^$$' -bench . -benchmem ./fsm/... ./cluster/... ./api/... ./integration/...

bench-peers: ## the same work against etcd, NATS and Redis, side by side (docs/benchmarks/peers.md): make bench-peers PEERS='-rounds 5 -markdown'
	cd integration/peers && go build -o ../../dist/peers .
	dist/peers -json dist/bench-peers.json $(PEERS)

profile: ## make cmd/edgehold/edgehold.pgo again: what nodes do under the loads of bench-peers, for the compiler
	rm -rf dist/profiles
	cd integration/peers && go build -trimpath -o ../../dist/peers .
	dist/peers -products edgehold -profile dist/profiles -rounds 1 -seconds 8 -puts 64 -reads 64 -conns 64 -resp 1,64 -watchers 1000
	dist/peers merge cmd/edgehold/edgehold.pgo dist/profiles/*edgehold*cpu.pprof

mutants: ## every guard switched off must be caught
	go run ./integration/mutants

soak: ## more seeds of the faulty planet, and an hour of one that must not grow: make soak SEEDS=200
	go test ./integration -run 'TestGrowth$$' -count=1 -timeout 0 -v -planettime 1h
	go test ./integration -run 'TestFaults|TestTransactionFaults' -count=1 -timeout 0 -v -seeds $(or $(SEEDS),100) -ops 10400 -txnseeds $(or $(SEEDS),100) -txnops 220

model: ## every state of the protocol's cores with the large bounds too: 110 million states, 6 minutes (11 on a busy machine), 4 GB
	go test ./fsm/model -count=1 -timeout 2h -v -all

FUZZTIME ?= 10m
FUZZ ?= Fuzz

fuzz: ## each fuzz target of the tests for 10 minutes: make fuzz FUZZTIME=1m, of api/resp alone: make fuzz FUZZ=api/resp
	@git grep -Eo 'func Fuzz[A-Za-z0-9]+' -- '*_test.go' | sed -E 's,/[^/]*:func , ,' | grep -E '$(FUZZ)' | while read -r package target; do \
		echo "$$package $$target"; \
		go test "./$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -timeout 0 </dev/null || exit 1; \
	done

real-input: ## the Debian package index through an edge: one process, then twelve with a leader killed (apt-get update first)
	mkdir -p dist && docs/examples/debian-packages.sh > dist/packages.jsonl
	go test ./integration -run TestRealInput -count=1 -v -timeout 30m -realinput $(CURDIR)/dist/packages.jsonl

promtool: ## Prometheus' tool, which checks metrics, alerts and the dashboard, by apt if it is absent
	@command -v promtool >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends prometheus; }

alerts: promtool ## check docs/alerts.yaml with its tests, and docs/grafana.json
	go test ./integration -run 'TestAlert|TestDashboard' -count=1 -v

lint: ## the linters of .golangci.yml: make lint ARGS=--fix
	.ci/lint $(ARGS)

image: build ## a container image from the host's static binary; docker build . makes one from the source
	mkdir -p dist/rootfs/data dist/rootfs/init/bootstrap dist/rootfs/init/server dist/rootfs/init/edge
	chmod 0700 dist/rootfs/data dist/rootfs/init/*
	docker build -t edgehold:dev --target host -f Dockerfile dist
