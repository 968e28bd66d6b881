# SPDX-License-Identifier: Apache-2.0
# The front door. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check bench rig build install packages cargo

CARGO ?= cargo
APXS ?= apxs
RUST_WANTED := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
MODULE_DIR ?= $(DESTDIR)$(shell $(APXS) -q LIBEXECDIR 2>/dev/null)
CONF_DIR ?= $(DESTDIR)$(shell $(APXS) -q SYSCONFDIR 2>/dev/null)
BINDIR ?= /usr/local/bin
UNIT_DIR ?= /usr/local/lib/systemd/system

help: ## this text
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

run: packages cargo ## two real Tomcats in a cluster with the agent, and httpd with Margay before them; Ctrl-C ends all of it; by HTTP: make run EXAMPLE=tutorial-http; in mod_jk's words: EXAMPLE=tutorial-jk
	@echo '--- building the module'
	@$(CARGO) build --release --locked
	@$(CARGO) build --release --locked --example run
	@exec target/release/examples/run $(EXAMPLE)

test: packages cargo check ## everything: checks, unit, property, golden, fault and end-to-end tests
	@echo '--- building the module'
	@$(CARGO) build --locked
	@echo '--- tests'
	@$(CARGO) test --locked --no-fail-fast --test '*'
	@$(CARGO) test --locked --doc

check: packages cargo ## format, lints, documentation and unit tests
	@echo '--- format, lints, documentation'
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet
	@echo '--- unit tests'
	@$(CARGO) test --locked --quiet --lib

bench: packages cargo ## CPU and speed against mod_proxy, mod_jk, nginx and HAProxy; options: make bench ARGS='--rounds 9'
	@$(call install,packages-bench.txt)
	@echo '--- building the module'
	@$(CARGO) build --release --locked
	@$(CARGO) bench --locked --bench farm -- $(ARGS)
	@echo '--- the agent'
	@$(CARGO) bench --locked --bench agent

rig: ## the compose rig in docker/: a session survives the death of both Tomcats; needs Docker, or: docker/engine make rig
	@docker/rig

build: packages cargo ## the module and the agent: target/release/libmargay.so, target/release/margay
	@$(CARGO) build --release --locked

install: build ## into httpd's folders, and the agent with its unit (DESTDIR is honoured)
	@install -D -m 644 target/release/libmargay.so $(MODULE_DIR)/mod_margay.so
	@if [ -d $(CONF_DIR)/mods-available ] || [ -n '$(DESTDIR)' ]; then \
	   install -D -m 644 httpd-conf/margay.load $(CONF_DIR)/mods-available/margay.load; \
	   install -D -m 644 httpd-conf/margay.conf $(CONF_DIR)/mods-available/margay.conf; \
	   echo 'Installed. Load it with: a2dismod proxy_balancer proxy_ajp proxy; a2enmod margay; apachectl -t'; \
	 else \
	   echo 'Installed. Add to httpd.conf: LoadModule margay_module $(MODULE_DIR)/mod_margay.so'; \
	 fi
	@install -D -m 755 target/release/margay $(DESTDIR)$(BINDIR)/margay
	@[ -e $(DESTDIR)/etc/margay/agent.toml ] || install -D -m 644 httpd-conf/agent.toml $(DESTDIR)/etc/margay/agent.toml
	@install -d $(DESTDIR)$(UNIT_DIR)
	@sed 's|@BINDIR@|$(BINDIR)|' httpd-conf/margay-agent.service >$(DESTDIR)$(UNIT_DIR)/margay-agent.service
	@chmod 644 $(DESTDIR)$(UNIT_DIR)/margay-agent.service
	@echo 'The agent: edit /etc/margay/agent.toml; systemctl daemon-reload; systemctl enable --now margay-agent'

# Installs what is missing of the Debian packages a file lists. Those with a question mark only where the archive has them.
define install
missing=(); optional=(); \
if command -v dpkg-query >/dev/null; then \
  for package in $$(sed 's/#.*//' $(1)); do \
    dpkg-query -W -f='$${Status}\n' "$${package#\?}" 2>/dev/null | grep -q 'ok installed' && continue; \
    case "$$package" in \?*) optional+=("$${package#\?}");; *) missing+=("$$package");; esac; \
  done; \
else \
  echo 'This is not Debian: what $(1) lists must be there under the names your system has for it.'; \
fi; \
root=(); \
[ "$$(id -u)" = 0 ] || root=(sudo); \
if [ "$${#missing[@]}" -gt 0 ] || [ "$${#optional[@]}" -gt 0 ] && ! apt-cache show bash 2>/dev/null | grep '^Filename:' >/dev/null; then \
  command -v "$${root[0]:-true}" >/dev/null && "$${root[@]}" apt-get update -q || true; \
fi; \
for package in "$${optional[@]}"; do \
  ! apt-cache show "$$package" >/dev/null 2>&1 || missing+=("$$package"); \
done; \
if [ "$${#missing[@]}" -gt 0 ]; then \
  echo "--- installing $${missing[*]}"; \
  if [ "$$(id -u)" != 0 ]; then \
    command -v sudo >/dev/null || { echo "Please have these packages installed: $${missing[*]}"; exit 1; }; \
  fi; \
  "$${root[@]}" apt-get update -q; \
  "$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; \
fi
endef

packages:
	@$(call install,packages.txt)

cargo:
	@version="$$($(CARGO) --version 2>/dev/null | cut -d' ' -f2 || true)"; \
	if [ -z "$$version" ]; then \
	  echo 'There is no cargo. Margay is built with Rust $(RUST_WANTED) or newer: see https://rustup.rs, then open a new shell.'; \
	  exit 1; \
	fi; \
	if [ "$$(printf '%s\n' '$(RUST_WANTED)' "$$version" | sort -V | head -n 1)" != '$(RUST_WANTED)' ]; then \
	  echo "cargo is $$version; Margay is built with Rust $(RUST_WANTED) or newer: rustup update, or see https://rustup.rs"; \
	  exit 1; \
	fi
