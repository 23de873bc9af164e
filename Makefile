# `make` alone lists the targets. Each one sets up what it needs: the packages of the
# distribution (installed only for root on Debian, named elsewhere) and .venv.

PREFIX ?= /usr/local
DESTDIR ?=
PYTHON ?= python3

VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python -m

UNITS := $(foreach kind,service timer path socket target slice,$(wildcard systemd/*.$(kind)))
# Every service gets the sandbox but one that says `# No sandbox.conf: ` and why.
SANDBOXED := $(notdir $(shell grep -L '^\# No sandbox.conf: .' systemd/*.service))
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system

# File names in tests and media are UTF-8; a bare container has no locale at all.
export LC_ALL := C.UTF-8
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Settings of the caller that would leak into the virtual environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@echo "usage: make TARGET"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: programs $(READY) ## watch the whole suite work on sample torrents (KEEP=1 keeps the folder)
	$(RUN) mediapipe.testing.demo $(if $(filter-out 0 no,$(KEEP)),--keep)

# Most of a test is waiting for a server: three at once keep two cores busy.
AT_ONCE := --numprocesses 3 --dist loadfile

test soak: ALSO = systemd-analyze fusermount3 strace busybox sabnzbdplus mkfs.ext4 mkfs.xfs mkfs.btrfs nix-instantiate
bench: ALSO = mkfs.ext4 mkfs.btrfs rsync
soak: ALSO += debootstrap

.PHONY: test
test: programs $(READY) ## run the test suite (under 10 minutes)
	$(RUN) pytest $(AT_ONCE)

# The tests that speak with a real qBittorrent, once more with the one of Debian 13.
NEWER := build/qbittorrent-5.1
TORRENT_TESTS := tests/contract/test_torrent_client.py tests/end_to_end/test_qbittorrent_harness.py \
	tests/end_to_end/test_pipeline.py tests/end_to_end/test_attack_cleanup.py

.PHONY: soak
soak: programs newer-qbittorrent $(READY) ## run the long tests, and with a newer qBittorrent
	@status=0; $(RUN) pytest $(AT_ONCE) -m soak || status=$$?; \
	if [ $$status = 5 ]; then echo "make soak: no test is marked soak, so nothing was run"; status=0; fi; \
	PATH="$(CURDIR)/$(NEWER)/bin:$$PATH" $(RUN) pytest $(AT_ONCE) $(TORRENT_TESTS) \
		|| status=$$?; \
	exit $$status

.PHONY: newer-qbittorrent
newer-qbittorrent:
	scripts/newer-qbittorrent.sh $(NEWER)

.PHONY: check
check: $(READY) check-units ## format, lint, types, systemd units
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy --strict

.PHONY: check-units
check-units:
	@scripts/ensure-commands.sh systemd-analyze
	scripts/verify-units.sh

.PHONY: bench
bench: programs $(READY) ## run benchmarks/*.py
	@set -e; ran=; for file in benchmarks/[!_]*.py; do \
		if [ -e "$$file" ]; then ran=yes; echo "$(VENV)/bin/python $$file"; $(VENV)/bin/python "$$file"; fi; \
	done; \
	if [ -z "$$ran" ]; then echo "make bench: there is no benchmarks/*.py, so nothing was run"; fi

.PHONY: install-units
install-units: ## install the systemd units alone ([PREFIX=/usr/local] [DESTDIR=])
	@install -d "$(UNITDIR)"
	@set -e; for unit in $(UNITS); do \
		target="$(UNITDIR)/$$(basename $$unit)"; \
		sed 's,/usr/local/bin/,$(PREFIX)/bin/,' "$$unit" > "$$target"; \
		chmod 0644 "$$target"; \
	done
	@set -e; for unit in $(SANDBOXED); do \
		install -d "$(UNITDIR)/$$unit.d"; \
		install -m 0644 systemd/sandbox.conf "$(UNITDIR)/$$unit.d/10-sandbox.conf"; \
	done
	@install -d "$(DESTDIR)$(PREFIX)/share/mediapipe"
	@install -m 0755 systemd/*.sh "$(DESTDIR)$(PREFIX)/share/mediapipe"
	@echo "units installed in $(UNITDIR); none is enabled"

.PHONY: install
install: ## install programs, units and man pages ([PREFIX=/usr/local] [DESTDIR=]); enables nothing
	@scripts/ensure-commands.sh python3 python3-venv ca-certificates
	@scripts/install.sh "$(PREFIX)" "$(DESTDIR)"

.PHONY: uninstall
uninstall: ## remove what `make install` installed; never configuration, state or media
	@scripts/uninstall.sh "$(PREFIX)" "$(DESTDIR)"

.PHONY: nix-options
nix-options: $(READY) ## write the NixOS options and their reference anew, from mediapipe/config.py
	@scripts/ensure-commands.sh nix-instantiate
	@set -e; for file in nix/settings-options.nix docs/reference/nixos-options.md; do \
		$(VENV)/bin/python scripts/nix_options.py $$file >$$file.new; mv $$file.new $$file; echo $$file; \
	done

.PHONY: lock
lock: ## write requirements/*.txt anew, with the newest versions and their hashes
	@scripts/ensure-commands.sh python3 python3-venv
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip-tools
	@set -e; for name in runtime rclone build dev; do \
		echo "requirements/$$name.txt"; \
		CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
			--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
			--output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean: ## remove .venv, caches and build results
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the real parts need beside Python, in one call of apt-get where it comes to that.
.PHONY: programs
programs:
	@scripts/ensure-commands.sh python3 python3-venv ca-certificates qbittorrent-nox unar $(ALSO)

$(READY): pyproject.toml requirements/dev.txt
	@scripts/ensure-commands.sh python3 python3-venv
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "$(PYTHON) is Python %d.%d; this needs 3.11 or newer: make PYTHON=python3.11" % v)'
	@# An environment whose interpreter is gone or has changed its version cannot be filled again.
	@if [ -e $(VENV) ] && ! $(VENV)/bin/python -c 'import pip' 2>/dev/null; then rm -rf $(VENV); fi
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(RUN) pip install --quiet --no-deps --no-build-isolation --editable .
	$(RUN) pip check
	@touch $@
