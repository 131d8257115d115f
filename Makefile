# Weir. `make` lists what there is to do.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

TOOL := go tool -modfile=tools/go.mod
# Tools are built without cgo: sqlc's parser then is the WebAssembly one, which needs no C compiler.
tool = env CGO_ENABLED=0 $(TOOL) $(1)
# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)
GO_FILES = $$(git ls-files -co --exclude-standard "*.go" | grep -vE "sqlc_|\.sql\.go|graph/generated|graph/model/generated")
UI_SOURCES := $(shell find ui -path ui/node_modules -prune -o -path ui/dist -prune -o -type f -print 2>/dev/null)
STEP := ./tools/step

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-zA-Z0-9/_-]*:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

# --- to try it --------------------------------------------------------------------------------------

.PHONY: dev
dev: bin/weir ## install what is needed, build, and run everything on an embedded Postgres with sample work
	@exec ./bin/weir dev

.PHONY: build
build: bin/weir ## build the dashboard and the binary, bin/weir

.PHONY: bin/weir
bin/weir: ui/dist/index.html
	@$(STEP) "build bin/weir" go build -o bin/weir .

# --- the dashboard ----------------------------------------------------------------------------------

.PHONY: ui
ui: ui/dist/index.html ## build the dashboard into ui/dist

ui/node_modules/.installed: ui/package.json ui/package-lock.json
	@./tools/need node npm
	@$(STEP) "dashboard's packages" npm ci --prefix ui --no-audit --no-fund --loglevel=error
	@touch $@

ui/dist/index.html: ui/node_modules/.installed $(UI_SOURCES)
	@$(STEP) "build the dashboard" bash -c 'npm run --prefix ui -s build && npm run --prefix ui -s size && touch ui/dist/index.html'

# --- tests ------------------------------------------------------------------------------------------

.PHONY: test
test: check test/go test/oidc test/model test/ui test/e2e ## install what is needed and run every test
	@echo "all tests passed"

.PHONY: test/go
test/go: ui/dist/index.html ## run the Go tests, with the race detector if there is a C compiler
	@test -n "$(RACE)" || echo "no C compiler: the tests run without the race detector"
	go test $(RACE) -shuffle=on -timeout 15m $$(go list ./... | grep -v /test/model)

.PHONY: test/oidc
test/oidc: ui/dist/index.html ## sign in at a real OpenID provider, which is in a module of its own
	cd test/oidc && go vet ./... && go mod tidy -diff && go test -timeout 5m ./...

.PHONY: test/model
test/model: ## explore the model of the commit protocol, the part that takes less than a minute
	go test -timeout 5m ./test/model/...

.PHONY: test/ui
test/ui: ui/node_modules/.installed ## run the dashboard's unit tests
	npm run --prefix ui -s test

.PHONY: test/e2e
test/e2e: bin/weir test/e2e/node_modules/.installed chromium ## run the browser tests, on the real binary in Chromium
	cd test/e2e && npx playwright test

.PHONY: chromium
chromium:
	@./tools/chromium

test/e2e/node_modules/.installed: test/e2e/package.json test/e2e/package-lock.json
	@./tools/need node npm
	@$(STEP) "browser tests' packages" npm ci --prefix test/e2e --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: check
check: ui/node_modules/.installed test/e2e/node_modules/.installed ## look for what compilers and linters find: format, lint, drift of generated code and of go.mod
	@$(STEP) "go vet" go vet ./...
	@$(STEP) "format" bash -c 'out=$$($(call tool,gofumpt) -extra -l $(GO_FILES)) && test -z "$$out" || { echo "not formatted: $$out"; exit 1; }'
	@$(STEP) "lint" $(call tool,golangci-lint) run
	@$(STEP) "generated SQL code" $(call tool,sqlc) diff
	@$(STEP) "generated GraphQL code" ./tools/drift graph go tool gqlgen generate
	@$(STEP) "go.mod" go mod tidy -diff
	@$(STEP) "dashboard: types" npm run --prefix ui -s typecheck
	@$(STEP) "dashboard: lint" npm run --prefix ui -s lint
	@$(STEP) "dashboard: generated code" ./tools/drift ui/src/api/gql npm run --prefix ui -s codegen
	@$(STEP) "browser tests: types" npm run --prefix test/e2e -s typecheck

# --- longer runs ------------------------------------------------------------------------------------

.PHONY: bench
bench: ## measure the workloads on a Postgres of its own; writes bench.json (ONLY=W1 for a part)
	go build -o bin/load ./test/load
	./bin/load -json bench.json $(if $(ONLY),-only '$(ONLY)')

.PHONY: soak
soak: ## break things at random under load for 10 minutes (SOAK="-for 1h -workers 5 -seed 1")
	go run $(RACE) ./test/faults/cmd/soak $(SOAK)

.PHONY: prop
prop: ## try 10,000 random sequences of operations against a model, and 10,000 seeds of the simulation (PROP="-rapid.seed=1")
	go test ./engine -run TestSimulation -sim.seeds 10000 -v | grep -aE "^(---|ok|FAIL|panic)|To reproduce|seeds"
	for part in 1 2 3 4 5; do $(PROPERTIES) || exit 1; done

# Each part has a database of its own, which is not vacuumed.
PROPERTIES = go test ./test/property -timeout 60m -count 1 -sequences 2000 -v $(PROP) | grep -aE "^(---|ok|FAIL|panic)|[Rr]eproduce|left in histories"

.PHONY: screenshots
screenshots: bin/weir test/e2e/node_modules/.installed chromium ## take the pictures of the docs anew
	cd test/e2e && npx playwright test -c shots.config.ts

.PHONY: model
model: ## explore the model of the commit protocol, all of it
	go run ./test/model/cmd/model -full

# --- upkeep -----------------------------------------------------------------------------------------

.PHONY: generate
generate: ui/node_modules/.installed ## write the generated code anew
	$(call tool,sqlc) generate
	go tool gqlgen generate
	npm run --prefix ui -s codegen

.PHONY: fmt
fmt: ## format the Go code
	$(call tool,gofumpt) -extra -l -w $(GO_FILES)

.PHONY: clean
clean: ## remove what was built and installed here; the database of weir dev stays
	rm -rf bin ui/node_modules test/e2e/node_modules
	find ui/dist -mindepth 1 ! -name placeholder.html -delete
