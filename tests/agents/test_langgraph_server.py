"""The example workflows on a real LangGraph server, which allows no blocking call in its loop."""

import sqlite3
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.pregel.remote import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    RemoteGraph,
)
from langgraph_sdk import get_client

from ragkit.testing.langgraph_server import LangGraphServer, missing, serving

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "workflows"
NAMES = ("research", "analyst", "support")
QUESTION = {"messages": [{"role": "user", "content": "My order 7 is broken."}]}
ANSWER = "The answer, in several pieces."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LangGraphServer]:
    """The examples as they are, and with models that follow a script."""
    if reason := missing():
        warnings.warn(f"NO TEST ON A REAL LANGGRAPH SERVER: {reason}", stacklevel=1)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("langgraph")
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        database.execute("CREATE TABLE sales (cents INTEGER)")
    graphs = {name: f"{EXAMPLES / name}.py:graph" for name in NAMES}
    graphs |= {f"scripted_{name}": f"{HERE / 'served.py'}:{name.upper()}" for name in NAMES}
    environment = {
        "RAGKIT_LLM__MODEL": "vllm:http://127.0.0.1:9",
        "ANALYST_DATABASE": str(folder / "shop.db"),
    }
    with serving(folder, graphs, environment=environment) as started:
        yield started


@pytest.fixture
async def client(server: LangGraphServer) -> AsyncIterator[Any]:
    """A client of the server; `Any`: its results are JSON."""
    async with get_client(url=server.url) as opened:
        yield opened


async def assistant(client: Any, name: str) -> str:
    """The id of the assistant of a graph."""
    (found,) = await client.assistants.search(graph_id=name)
    return str(found["assistant_id"])


@pytest.mark.parametrize("prefix", ["", "scripted_"])
@pytest.mark.parametrize("name", NAMES)
async def test_every_example_has_schemas_with_messages(client: Any, name: str, prefix: str) -> None:
    schemas = await client.assistants.get_schemas(await assistant(client, f"{prefix}{name}"))
    assert sorted(schemas["input_schema"]["properties"]) == ["messages", "question"]
    assert "messages" in schemas["output_schema"]["properties"]
    assert "trace" not in schemas["output_schema"]["properties"]
    drawn = await client.assistants.get_graph(await assistant(client, f"{prefix}{name}"), xray=True)
    assert len(drawn["nodes"]) > 4


@pytest.mark.parametrize("name", ["research", "analyst"])
async def test_a_run_answers_with_its_messages(client: Any, name: str) -> None:
    thread = await client.threads.create()
    output = await client.runs.wait(thread["thread_id"], f"scripted_{name}", input=QUESTION)
    assert output["answer"] == ANSWER
    kinds = [message["type"] for message in output["messages"]]
    assert kinds[:3] == ["human", "ai", "tool"]
    assert output["messages"][-1]["content"] == ANSWER
    assert "trace" not in output


@pytest.mark.parametrize(("name", "is_draft"), [("research", True), ("analyst", False)])
async def test_a_stream_shows_the_answer_and_what_happens(
    client: Any, name: str, is_draft: bool
) -> None:
    """A draft may be written again, so it is shown whole once it is the answer, else in pieces."""
    thread = await client.threads.create()
    modes = ["values", "messages-tuple", "custom"]
    pieces: dict[str, list[str]] = {}
    kinds: set[str] = set()
    last: Any = None
    async for part in client.runs.stream(
        thread["thread_id"], f"scripted_{name}", input=QUESTION, stream_mode=modes,
        stream_subgraphs=True,
    ):  # fmt: skip
        assert part.event != "error", part.data
        if part.event == "messages":
            message = part.data[0]
            assert message["type"] == ("ai" if is_draft else "AIMessageChunk")
            pieces.setdefault(message["id"], []).append(message["content"])
        elif part.event.startswith("custom"):
            kinds.add(part.data["kind"])
        elif part.event == "values":
            last = part.data
    (shown,) = pieces.values()
    assert "".join(shown) == ANSWER
    assert (len(shown) == 1) == is_draft
    assert {"call", "observation", "usage", "answer"} <= kinds
    assert last["answer"] == ANSWER


async def test_a_person_decides_and_the_thread_goes_on_and_keeps_its_history(client: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "scripted_support", input=QUESTION)
    state = await client.threads.get_state(thread)
    (interrupt,) = state["tasks"][0]["interrupts"]
    (request,) = interrupt["value"]["action_requests"]
    assert (request["name"], request["args"]) == ("refund", {"order": 7, "cents": 1250})
    assert interrupt["value"]["review_configs"][0]["action_name"] == "refund"
    decision = {"decisions": [{"type": "approve"}]}
    output = await client.runs.wait(thread, "scripted_support", command={"resume": decision})
    assert output["answer"] == ANSWER
    result = next(message for message in output["messages"] if message["type"] == "tool")
    assert result["content"].startswith("Refunded 12.50 for order 7")
    output = await client.runs.wait(thread, "scripted_support", input=QUESTION)
    assert "__interrupt__" in output
    refused = {"decisions": [{"type": "reject", "message": "Once is enough."}]}
    output = await client.runs.wait(thread, "scripted_support", command={"resume": refused})
    assert [message["type"] for message in output["messages"]].count("human") == 2
    assert "Once is enough." in str(output["messages"])
    history = await client.threads.get_history(thread, limit=100)
    assert len(history) > 8
    assert all("trace" not in one["values"] for one in history)


async def test_a_remote_graph_is_called_like_a_local_one(client: Any) -> None:
    remote: Any = RemoteGraph("scripted_research", client=client)
    output = await remote.ainvoke(QUESTION)
    assert output["answer"] == ANSWER


def test_no_call_blocked_the_server(server: LangGraphServer) -> None:
    assert "BlockingError" not in server.log.read_text(errors="replace")
