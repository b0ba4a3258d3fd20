# make demo    set up, then show emotion events from a bundled sound file
# make page    set up, then show in a browser what a daemon hears
# make site    set up, then build the documentation site, in build/site
# make test    set up, then lint, check types and run every test
# make help    the other targets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip install -q --disable-pip-version-check -c constraints.txt -e
export ORT_DISABLE_TELEMETRY := 1

# The interpreter's own package brings venv (Debian splits it off).
PYTHON_VENV := $(shell $(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	$(PYTHON) -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)' 2>/dev/null || echo python3-venv)
# One that is there is taken, whoever brought it: Debian's stands in conflict with others.
NPM := $(shell command -v npm >/dev/null || echo npm)
TEST_PACKAGES := libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils \
	systemd systemd-container dbus python3-venv prometheus mosquitto nats-server \
	chromium-headless-shell fonts-dejavu-core openssl

.PHONY: help demo page page-assets site test quick lint types unit footprint evaluate results gpu-check home-assistant-check fleet-check browsers-check clean requirements wheel deb deb-check image image-check arm-check release audit fuzz pythons debian-python install-service uninstall-service

help:
	@echo "make demo      emotion events from a bundled sound file, through the real daemon"
	@echo "make page      the same in a browser; ARGS='--open' opens one"
	@echo "make site      the documentation as a site, in build/site; ARGS=--external tries links to others"
	@echo "make test      lint, types and tests"
	@echo "make quick     lint, types and the tests that need neither systemd nor a sound server, but"
	@echo "               for those that train or measure"
	@echo "sudo make install-service    the daemon as a system service, in PREFIX=/opt/edgeser;"
	@echo "                             LAKE=1: with edgeser-lake.service, for a fleet's hub"
	@echo "sudo make uninstall-service  remove it with all it kept; KEEP_SETTINGS=1 leaves settings, account"
	@echo "make wheel     the wheel, for pip, and the sdist, in dist/"
	@echo "make deb       Debian packages for amd64 and arm64 in dist/; SUITE=trixie for Debian 13"
	@echo "sudo make deb-check    the package through lintian, and in a real systemd: installed,"
	@echo "                       upgraded, downgraded, removed, purged"
	@echo "sudo make image          a container's image for this architecture, in dist/"
	@echo "sudo make image-check    the image as containers: daemon, listener, MQTT bridge"
	@echo "sudo make arm-check      the arm64 package in an emulated Debian: every event as on amd64?"
	@echo "sudo make release        everything above, built twice, and the wheel tried; DRAFT=1 before"
	@echo "                         the changelog has its section; IMAGE=no needs no root"
	@echo "make audit     known vulnerabilities of what the service needs"
	@echo "make fuzz      foreign bytes at everything that reads some (an hour; FILES=100000)"
	@echo "make pythons   the runtime's tests on Python 3.10, 3.12 and 3.13; PYTHONS='3.12 ...'"
	@echo "sudo make debian-python SUITE=forky    the same on the Python of another Debian"
	@echo "make footprint start-up time, memory and load of the daemon in silence"
	@echo "make evaluate DATA=FOLDER      leave one speaker of Emo-DB out at a time, the report, and"
	@echo "                               the daemon on every file (about an hour on two cores)"
	@echo "make gpu-check engines of an NVIDIA GPU: built, verified, compared, timed (docs/tensorrt.md)"
	@echo "make results EMODB=FOLDER RAVDESS=FOLDER    the evaluations in docs/models.md"
	@echo "                               but moonshine's and openSMILE's (hours)"
	@echo "sudo make home-assistant-check    the MQTT bridge with a real Home Assistant"
	@echo "make fleet-check   200 devices, a NATS server and a lake that are killed (docs/fleet.md)"
	@echo "make browsers-check   the page in Firefox and WebKitGTK; ARGS='--pictures FOLDER' keeps some"
	@echo "make clean     remove what was set up"

demo: $(VENV)/.runtime
	@$(BIN)/python examples/demo.py

page: $(VENV)/.page page-assets
	@$(BIN)/python examples/page.py $(ARGS)

page-assets: | $(BIN)/pip
	@tools/debian-packages $(NPM)
	@$(BIN)/python tools/page_assets.py

site: $(VENV)/.tests examples/browser/node_modules/.installed
	@$(BIN)/python -m tools.documentation $(ARGS)

test: lint types unit

# Three files of tests at a time on two cores: much of a test's time is waiting.
PYTEST := $(BIN)/python -m pytest -n 3

# Left out: what boots systemd or a sound server (tests/system, virtual microphones), what trains or
# exports, what measures or waits for whole daemons, and what needs a browser or a broker.
QUICK := tests --ignore=tests/system --ignore=tests/trials --ignore=tests/bench --ignore=tests/train \
	--ignore=tests/export --ignore=tests/daemon --ignore=tests/audio/test_virtual_microphone.py \
	--ignore=tests/audio/test_microphone.py --ignore=tests/model/tensorrt --ignore=tests/cli \
	--ignore=tests/page --ignore=tests/bridges --ignore=tests/annotate --ignore=tests/docs

quick: lint types examples/node_modules/.installed
	$(PYTEST) -q $(QUICK)

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.tests
	$(BIN)/mypy

unit: $(VENV)/.tests page-assets examples/node_modules/.installed \
		examples/browser/node_modules/.installed build/onnxruntime/.installed \
		build/nats-server/.installed
	$(PYTEST)

# What venv makes last: without it, one that was killed half-way is made again.
$(BIN)/pip:
	@tools/debian-packages $(PYTHON_VENV)
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python $(INSTALL) .
	@touch $@

$(VENV)/.page: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python $(INSTALL) '.[page]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.tests: pyproject.toml constraints.txt | $(BIN)/pip
	@tools/debian-packages $(TEST_PACKAGES)
	$(BIN)/python $(INSTALL) '.[train,export,wavlm,moonshine,mqtt,lsl,nats,lake,annotate,cluster,page,docs,dev]'
	@touch $@ $(VENV)/.runtime $(VENV)/.page

%/node_modules/.installed: %/package.json
	@tools/debian-packages $(NPM)
	npm install --prefix $* --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# What builds and checks releases, in an environment of its own.
RELEASE := .release
SUITE ?= bookworm
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' edge/edgeser/__init__.py)
# Those for Debian 12, whichever is asked for beside them; dist/ may hold older versions.
PACKAGES := dist/edgeser_$(VERSION)-1~deb12

$(RELEASE)/.ready: pyproject.toml constraints.txt
	@tools/debian-packages $(PYTHON_VENV)
	$(PYTHON) -m venv $(RELEASE) || { rm -rf $(RELEASE); exit 1; }
	$(RELEASE)/bin/python $(INSTALL) '.[mqtt,page,release]'
	@touch $@

requirements: $(RELEASE)/.ready
	$(RELEASE)/bin/python -m release.requirements

wheel: $(RELEASE)/.ready
	@tools/debian-packages $(NPM)
	$(RELEASE)/bin/python -m release.wheel

deb: $(RELEASE)/.ready
	@tools/debian-packages debhelper dpkg-dev fakeroot $(NPM)
	$(RELEASE)/bin/python -m release.deb --suite $(SUITE)

deb-check: deb $(VENV)/.tests
	@tools/debian-packages lintian
	lintian --allow-root --fail-on error,warning $(PACKAGES)_*.deb
	$(BIN)/python tests/trials/debian_package.py $(PACKAGES)_$$(dpkg --print-architecture).deb

image: deb
	@tools/debian-packages mmdebstrap buildah
	$(RELEASE)/bin/python -m release.image $(PACKAGES)_$$(dpkg --print-architecture).deb

image-check: image $(VENV)/.tests
	$(BIN)/python tests/trials/container_image.py dist/edgeser-$(VERSION)-$$(dpkg --print-architecture).tar

arm-check: deb
	@tools/debian-packages mmdebstrap
	$(RELEASE)/bin/python -m release.arm $(PACKAGES)_arm64.deb $(PACKAGES)_amd64.deb

release: $(RELEASE)/.ready
	@tools/debian-packages debhelper dpkg-dev fakeroot $(NPM) mmdebstrap buildah
	$(RELEASE)/bin/python -m release.build $(if $(DRAFT),--draft) $(if $(filter no,$(IMAGE)),--no-image)

# Debian 12's nats-server does not know sync_interval; the tests take that where there is no newer.
build/nats-server/.installed: tools/debian-13 | $(VENV)/.tests
	@tools/debian-13 nats-server "$(CURDIR)/build/nats-server" && touch $@ || \
		echo "tools/debian-13 failed: the tests take the nats-server of this system" >&2

# What the C++ example is compiled against; without it its test says what is missing.
build/onnxruntime/.installed: constraints.txt tools/onnxruntime-headers tools/debian-13 | $(VENV)/.tests
	@tools/debian-packages g++ cmake nlohmann-json3-dev libsndfile1-dev
	@tools/onnxruntime-headers "$(CURDIR)/build/onnxruntime" "$(CURDIR)/$(BIN)/python" && touch $@ || \
		echo "tools/onnxruntime-headers failed: the C++ example is not tried" >&2

# Strict: what cannot be looked up is not called safe. VULNERABILITIES=osv asks osv.dev instead.
VULNERABILITIES ?= pypi

audit: $(RELEASE)/.ready
	$(RELEASE)/bin/pip-audit --strict --progress-spinner off --disable-pip \
		--vulnerability-service $(VULNERABILITIES) --require-hashes --requirement release/requirements.txt

FILES ?= 10000

fuzz: $(VENV)/.tests
	$(BIN)/python -m pytest -q --hypothesis-profile=fuzz tests/test_parsers.py tests/model/test_onnx_file.py
	$(BIN)/python tests/trials/fuzz_files.py --times $(FILES)
	$(BIN)/python tests/trials/fuzz_ports.py --times $(FILES)

PYTHONS ?= 3.10 3.12 3.13

pythons: $(RELEASE)/.ready examples/node_modules/.installed
	tools/pythons $(RELEASE)/bin/uv $(PYTHONS)

debian-python:
	@tools/debian-packages mmdebstrap
	tools/debian-python $(SUITE)

footprint: $(VENV)/.runtime
	$(BIN)/python benchmarks/footprint.py

RUN := runs/lightweight-loso
REPORT := docs/reports/lightweight-emodb

evaluate: $(VENV)/.tests
	@test -n "$(DATA)" || { echo "name the folder of Emo-DB: make evaluate DATA=FOLDER" >&2; exit 2; }
	$(BIN)/edgeser evaluate --model lightweight --corpus emodb=$(DATA) --protocol loso --robustness \
		--jobs 2 -o $(RUN) --report $(REPORT)
	$(BIN)/python benchmarks/daemon_on_corpus.py $(RUN) --corpus emodb=$(DATA) -o $(REPORT)

results: $(VENV)/.tests
	@test -n "$(EMODB)" -a -n "$(RAVDESS)" || \
		{ echo "name the folders: make results EMODB=FOLDER RAVDESS=FOLDER" >&2; exit 2; }
	tools/results "$(EMODB)" "$(RAVDESS)"

gpu-check: $(VENV)/.runtime
	$(BIN)/python benchmarks/gpu_check.py -o docs/reports/gpu

home-assistant-check: $(VENV)/.tests
	@tools/debian-packages debootstrap mosquitto
	$(BIN)/python tests/trials/home_assistant.py

fleet-check: $(VENV)/.tests build/nats-server/.installed
	$(BIN)/python tests/trials/fleet.py

browsers-check: $(VENV)/.tests page-assets
	@tools/debian-packages firefox-esr webkit2gtk-driver xvfb
	$(BIN)/python tests/trials/browsers.py $(ARGS)

clean:
	rm -rf $(VENV) $(RELEASE) build dist edge/edgeser/page/static/vendor examples/node_modules \
		examples/browser/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# PREFIX, LAKE and the like are taken from make's command line by the recipe's environment.
install-service:
	@tools/service install

uninstall-service:
	@tools/service uninstall
