import importlib.util
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit import RAG
from ragkit.agents import Budget, approve, refuse, resume, run
from ragkit.agents.options import AgentOptions
from ragkit.llm import VLLM
from ragkit.testing.agents import says_action, says_finish
from ragkit.testing.llm import ScriptedCall, ScriptedLLM
from ragkit.testing.vllm_server import VLLMServer

FOLDER = Path(__file__).parents[2] / "examples" / "workflows"
NAMES = ("research", "analyst", "support")


def workflow(name: str) -> Any:
    """The module of an example; `Any` since it is found at run time."""
    spec = importlib.util.spec_from_file_location(f"workflow_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_is_short_and_named_in_langgraph_json(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 62
    config = json.loads((FOLDER / "langgraph.json").read_text())
    file, _, made = config["graphs"][name].partition(":")
    assert (FOLDER / file).is_file()
    assert callable(getattr(workflow(name), made))
    assert sorted(config["graphs"]) == sorted(NAMES)


async def test_the_research_assistant_answers_from_the_index_and_revises(corpus_rag: RAG) -> None:
    verdicts = iter([False, True])

    def reply(call: ScriptedCall) -> str:
        system = call.messages[0].content
        if "judge an answer" in system:
            met = next(verdicts)
            one = {"reason": "r", "met": met}
            return json.dumps({"criteria": [one, one], "advice": "a"}, separators=(",", ":"))
        if call.grammar is None:
            return "Enric Miralles (architecture)." if "revise" in system else "Miralles."
        if len(call.messages) > 2:
            return says_finish("found")
        return says_action("", ("search_documents", {"query": "Scottish Parliament architect"}))

    agent = workflow("research").research_assistant(ScriptedLLM(reply), corpus_rag.asynchronous)
    result = await run(agent, "Who designed the Scottish Parliament building?")
    assert result.answer == "Enric Miralles (architecture)."
    assert any("Miralles" in citation.quote for citation in result.citations)


async def test_the_analyst_queries_then_computes(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE sales (month TEXT, cents INTEGER)")
        database.executemany("INSERT INTO sales VALUES (?, ?)", [("May", 1250), ("June", 3750)])
    database.close()

    def reply(call: ScriptedCall) -> str:
        if call.grammar is None:
            return f"In all {'50.0' if '50.0' in call.prompt else '?'}."
        if call.messages[0].content.startswith("You plan"):
            tasks = '{"task":"Sum sales.","needs":[]},{"task":"In units.","needs":[1]}'
            return f'{{"thought":"","steps":[{tasks}]}}'
        summing = "Question: Sum" in call.prompt
        if len(call.messages) > 2:
            return says_finish("5000 cents" if summing and "5000" in call.prompt else "50.0")
        if summing:
            query = "SELECT sum(cents) FROM sales"
            return says_action("", ("sql", {_argument(call, "sql"): query}))
        return says_action("", ("python", {_argument(call, "python"): "5000 / 100"}))

    result = await run(workflow("analyst").data_analyst(ScriptedLLM(reply), path), "Sales?")
    assert result.answer == "In all 50.0."
    assert [step.result for step in result.steps if step.name == "python"] == ["50.0"]


def _argument(call: ScriptedCall, tool: str) -> str:
    """The name of a tool's only argument, read from the prompt."""
    listed = call.messages[0].content.split(f"- {tool}: ")[1].split("arguments: ")[1]
    schema: Any = json.JSONDecoder().raw_decode(listed)[0]
    return str(next(iter(schema["properties"])))


async def test_the_support_desk_waits_for_a_person_before_it_pays_or_writes(
    corpus_rag: RAG,
) -> None:
    replies = [
        says_action("", ("search_documents", {"query": "refunds"})),
        says_action("", ("refund", {"order": 7, "cents": 1250})),
        says_action("", ("send_mail", {"to": "a@b.example", "text": "Paid."})),
        says_finish("Refunded."),
    ]
    desk = workflow("support").support_desk(
        ScriptedLLM(replies), corpus_rag.asynchronous, AgentOptions(checkpointer=InMemorySaver())
    )
    first = await run(desk, "My order 7 is broken.", thread="t")
    assert [pending.tool for pending in first.pending] == ["refund"]
    second = await resume(desk, "t", approve())
    assert [pending.tool for pending in second.pending] == ["send_mail"]
    assert "untrusted text" in second.pending[0].reason
    result = await resume(desk, "t", refuse("call instead"))
    assert result.answer == "Refunded."
    outcomes = {step.name: (step.failed, step.result) for step in result.steps if step.arguments}
    assert outcomes["refund"][1].startswith("Refunded 12.50 for order 7 (once, by the key t:1:")
    assert outcomes["send_mail"] == (True, "A person refused this: call instead")


@pytest.fixture
async def llm(vllm_server: VLLMServer) -> AsyncIterator[VLLM]:
    async with VLLM(vllm_server.url) as client:
        yield client


@pytest.mark.slow
async def test_the_research_assistant_ends_on_a_real_server(llm: VLLM, corpus_rag: RAG) -> None:
    agent = workflow("research").research_assistant(llm, corpus_rag.asynchronous)
    result = await run(agent, "Who designed the Scottish Parliament building?")
    assert result.answer


@pytest.mark.slow
async def test_the_analyst_ends_on_a_real_server(llm: VLLM, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE sales (month TEXT, cents INTEGER)")
    database.close()
    result = await run(workflow("analyst").data_analyst(llm, path), "What did we sell in May?")
    assert result.answer


@pytest.mark.slow
async def test_on_a_real_server_nothing_that_is_refused_is_done(llm: VLLM, corpus_rag: RAG) -> None:
    options = AgentOptions(checkpointer=InMemorySaver(), budget=Budget(steps=8, seconds=200))
    desk = workflow("support").support_desk(llm, corpus_rag.asynchronous, options)
    result = await run(desk, "My order 7 is broken.")
    while result.pending:
        decisions = {pending.id: refuse("no") for pending in result.pending}
        result = await resume(desk, result.thread, decisions)
    assert result.answer
    done = [step for step in result.steps if step.name == "refund" and not step.failed]
    assert done == []
