# What a person types daily. Each line calls a script, which says at its top why it exists.
.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench bench-quick ci fmt lint sqlx openapi css screenshots audit clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\): ## /\1\t/p' Makefile | expand -t 13

demo: ## start everything with a simulated Stripe and show its revenue (STRIPE_API_KEY: a real account)
	@scripts/demo

test: ## run every test against a private PostgreSQL and a private RabbitMQ
	@scripts/test

test-long: ## run the tests that draw what happens, longer and on larger accounts
	@scripts/test --long -E 'test(/crash_points|end_to_end_exact|process_kills|programs|randomized|malformed_objects|filter_parity|webhook_kills|ledger_kills|billing_lives|restatements/)'

bench: ## measure every target and write docs/performance.md
	@scripts/bench

bench-quick: ## measure the same in under five minutes, most of it at a tenth of the size; writes nothing
	@scripts/bench --quick

ci: ## everything a change must pass
	@scripts/ci

fmt: ## format the code
	@cargo fmt --all

lint: ## clippy, as strict as CI
	@SQLX_OFFLINE=true cargo clippy --workspace --all-targets -- -D warnings

sqlx: ## refresh the query data in .sqlx after changing a query or a migration
	@scripts/sqlx-prepare

openapi: ## write api/openapi.json after changing a call
	@SQLX_OFFLINE=true cargo run --quiet --package api --example openapi >api/openapi.json.new
	@mv api/openapi.json.new api/openapi.json

css: ## build api/assets/dist after changing a template or a style
	@scripts/css

screenshots: ## write docs/images after changing how a page looks
	@scripts/screenshots

audit: ## ask the RustSec database about known vulnerabilities (needs the network)
	@scripts/tool cargo-deny check advisories

clean: ## stop the demo and remove what was built and everything under .local
	@scripts/clean
