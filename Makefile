# make run    set up what is missing, then print what happens on this machine
# make test   set up, then lint, type checks and every test
# make bench  measure, as root; PART="syscalls work" these parts alone, PART="--quick" all in a short time
# make deb    the Debian package, in dist/
# make vm-test  that package and the live tests in virtual machines with Debian's kernels; VM="deb-12 deb-13" only these
# make traces records traces/ anew (as root; only needed when what is recorded changes)
# make setup  what `make run` needs;  make clean  what was built

SHELL := /bin/bash
PYTHON := /usr/bin/python3
VENV := .venv
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' panorama/__init__.py)
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

# name of the Debian package : a file that is there once it is installed
NEEDED := python3-venv:/usr/lib/python3.*/ensurepip/__init__.py \
	python3-bpfcc:/usr/lib/python3/dist-packages/bcc/table.py \
	python3-yaml:/usr/lib/python3/dist-packages/yaml/__init__.py \
	python3-psutil:/usr/lib/python3/dist-packages/psutil/__init__.py \
	python3-systemd:/usr/lib/python3/dist-packages/systemd/__init__.py \
	python3-transitions:/usr/lib/python3/dist-packages/transitions/__init__.py \
	python3-setuptools:/usr/lib/python3/dist-packages/setuptools/__init__.py
# programs that live tests run
TESTED := rsyslog:/usr/sbin/rsyslogd openssh-server:/usr/sbin/sshd openssh-client:/usr/bin/scp rsync:/usr/bin/rsync \
	zip:/usr/bin/zip unzip:/usr/bin/unzip vim:/usr/bin/vim curl:/usr/bin/curl netcat-openbsd:/usr/bin/nc.openbsd \
	perl:/usr/bin/perl gcc:/usr/bin/gcc strace:/usr/bin/strace tmux:/usr/bin/tmux iproute2:/usr/bin/ip xfsprogs:/usr/sbin/mkfs.xfs \
	dpkg-dev:/usr/bin/dpkg-parsechangelog scdoc:/usr/bin/scdoc man-db:/usr/bin/man \
	rsyslog-openssl:/usr/lib/*/rsyslog/lmnsd_ossl.so systemd:/usr/lib/systemd/systemd-journald \
	logrotate:/usr/sbin/logrotate openssl:/usr/bin/openssl git:/usr/bin/git wget:/usr/bin/wget cron:/usr/bin/crontab \
	nano:/usr/bin/nano ncat:/usr/bin/ncat netcat-traditional:/usr/bin/nc.traditional libpam-modules-bin:/usr/sbin/mkhomedir_helper \
	python3-urllib3:/usr/lib/python3/dist-packages/urllib3/__init__.py \
	python3-confluent-kafka:/usr/lib/python3/dist-packages/confluent_kafka/__init__.py \
	python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py
# programs that the benchmarks run or compare with; auditd starts when it is installed, and is compared with if stopped
BENCHED := gcc:/usr/bin/gcc libc6-dev:/usr/include/stdlib.h rsyslog:/usr/sbin/rsyslogd auditd:/usr/sbin/auditd \
	redis-tools:/usr/bin/redis-benchmark git:/usr/bin/git
# what the package is built and checked with
PACKAGED := dpkg-dev:/usr/bin/dpkg-buildpackage debhelper:/usr/bin/dh dh-python:/usr/bin/pybuild lintian:/usr/bin/lintian \
	pybuild-plugin-pyproject:/usr/share/doc/pybuild-plugin-pyproject scdoc:/usr/bin/scdoc python3-all:/usr/share/doc/python3-all
# what virtual machines are made and run with
EMULATED := mmdebstrap:/usr/bin/mmdebstrap qemu-system-x86:/usr/bin/qemu-system-x86_64 e2fsprogs:/usr/sbin/mke2fs \
	debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg

define install
	@missing=; for item in $(1); do ls $${item#*:} >/dev/null 2>&1 || missing="$$missing $${item%%:*}"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
		$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null"; fi
endef

# what apt would install for it, into a folder: Debian has no syslog-ng beside rsyslog
define unpack_syslog_ng
	@if ! command -v syslog-ng >/dev/null && [ ! -x $(VENV)/syslog-ng/usr/sbin/syslog-ng ]; then \
		echo "unpacking syslog-ng-core"; mkdir -p $(VENV)/syslog-ng && cd $(VENV)/syslog-ng && \
		apt-get download -qq -o APT::Sandbox::User=root \
			$$(apt-get install -s --no-install-recommends syslog-ng-core | sed -n 's/^Inst \([^ ]*\).*/\1/p') && \
		for package in *.deb; do dpkg -x $$package .; done && rm -f *.deb; fi
endef

.PHONY: setup run test bench deb vm-test traces clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(call install,$(NEEDED))
	@$(PYTHON) -m venv --system-site-packages $(VENV)
	@$(VENV)/bin/pip install -q --no-deps --no-build-isolation --no-index -e .
	@touch $@

run: setup
	@if $(VENV)/bin/panorama doctor --quiet; then \
		exec $(AS_ROOT) $(VENV)/bin/panorama -d; \
	else \
		echo "Instead, an scp session as it was recorded elsewhere:"; echo; \
		$(VENV)/bin/panorama replay traces/scp.jsonl; \
	fi

$(VENV)/.tested: $(VENV)/.ready
	$(call install,$(TESTED))
	$(call unpack_syslog_ng)
	@$(VENV)/bin/pip install -q --no-build-isolation -e '.[test]'
	@touch $@

test: $(VENV)/.tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest

$(VENV)/.benched: $(VENV)/.ready
	$(call install,$(BENCHED))
	@touch $@

bench: $(VENV)/.benched
	$(AS_ROOT) $(VENV)/bin/python -m tests.bench $(PART)

deb:
	$(call install,$(NEEDED) $(PACKAGED))
	@packaging/build-deb

# The machines have what the live tests run and what Panorama can use, Panorama itself comes with each job.
vm-test: deb
	$(call install,$(EMULATED))
	@packaging/build-deb $(VERSION)+upgrade build
	$(AS_ROOT) $(PYTHON) packaging/vm --packages "$(foreach item,$(NEEDED) $(TESTED),$(firstword $(subst :, ,$(item))))" \
		dist/panorama_$(VERSION)_all.deb build/panorama_$(VERSION)+upgrade_all.deb $(VM)

traces: $(VENV)/.tested
	$(AS_ROOT) traces/record.py
	$(VENV)/bin/python traces/derive.py
	$(VENV)/bin/python -m pytest -q tests/test_traces.py --golden -k expected_ones

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
