# Weir. `make` lists what there is to do.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

TOOL := go tool -modfile=tools/go.mod
# Tools are built without cgo: sqlc's parser then is the WebAssembly one, which needs no C compiler.
tool = env CGO_ENABLED=0 $(TOOL) $(1)
# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-zA-Z/_-]*:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

.PHONY: test
test: check test/go ## install what is needed and run every test
	@echo "all tests passed"

.PHONY: test/go
test/go: ## run the Go tests, with the race detector if there is a C compiler
	@test -n "$(RACE)" || echo "no C compiler: the tests run without the race detector"
	go test $(RACE) -shuffle=on -timeout 15m ./...

.PHONY: check
check: ## look for what compilers and linters find: format, lint, drift of generated code and of go.mod
	@./tools/step "go vet" go vet ./...
	@./tools/step "format" bash -c 'out=$$($(call tool,gofumpt) -extra -l $$(git ls-files "*.go" | grep -vE "sqlc_|\.sql\.go|graph/generated|graph/model/generated")) && test -z "$$out" || { echo "not formatted: $$out"; exit 1; }'
	@./tools/step "lint" $(call tool,golangci-lint) run
	@./tools/step "generated SQL code" $(call tool,sqlc) diff
	@./tools/step "generated GraphQL code" ./tools/drift graph go tool gqlgen generate
	@./tools/step "go.mod" go mod tidy -diff

.PHONY: generate
generate: ## write the generated code anew
	$(call tool,sqlc) generate
	go tool gqlgen generate

.PHONY: fmt
fmt: ## format the Go code
	$(call tool,gofumpt) -extra -l -w $$(git ls-files '*.go' | grep -vE 'sqlc_|\.sql\.go|graph/generated|graph/model/generated')

.PHONY: model
model: ## explore the model of the commit protocol, all of it
	go run ./test/model/cmd/model -full
