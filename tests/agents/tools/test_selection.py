import pytest

from ragkit.agents import react, run
from ragkit.agents.tools import FunctionTool, ToolSelector, tool
from ragkit.core.errors import InputError
from ragkit.core.protocols import Embedder, Tool
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM


def make(name: str, description: str) -> Tool:
    def act() -> None: ...

    made: FunctionTool[[], None] = tool(act, name=name, description=description)
    return made


def many(count: int) -> list[Tool]:
    return [make(f"chore_{number}", f"Perform chore {number}.") for number in range(count)]


DONE = '{"thought":"","calls":[{"tool":"finish","arguments":{"answer":"Long."}}]}'
RIVER = make("river_length", "Tell the length of a river.")


async def test_few_tools_are_all_taken_without_embedding() -> None:
    tools = many(15)
    chosen = await ToolSelector(HashEmbedder()).select("How long is the river?", tools)
    assert (list(chosen.tools), chosen.scores) == (tools, {})


async def test_of_many_the_likeliest_are_taken_in_the_order_given() -> None:
    tools = [*many(20), RIVER, make("river_depth", "Tell how deep a river is.")]
    selector = ToolSelector(HashEmbedder(dimensions=512), k=2, keep=["chore_3"])
    chosen = await selector.select("river length?", tools)
    assert [tool.name for tool in chosen.tools] == ["chore_3", "river_length", "river_depth"]
    assert set(chosen.scores) == {tool.name for tool in tools}
    assert chosen.scores["river_length"] > chosen.scores["river_depth"] > 0.1


async def test_it_is_called_as_an_agent_calls_it() -> None:
    selector = ToolSelector(HashEmbedder(dimensions=512), k=1, keep=["chore_3"])
    names = [tool.name for tool in await selector("river length", [*many(5), RIVER])]
    assert names == ["chore_3", "river_length"]


async def test_a_changed_description_is_seen() -> None:
    selector = ToolSelector(HashEmbedder(dimensions=512), k=1, keep=())
    before = await selector("lake", [*many(3), make("it", "Tell of a river.")])
    after = await selector("lake", [*many(3), make("it", "Tell of a lake.")])
    assert [tool.name for tool in after] == ["it"]
    assert len(before) == 1


async def test_a_model_finds_tools_by_meaning(minilm: Embedder) -> None:
    tools = [
        make("get_weather", "Weather forecast for a place."),
        make("send_email", "Send a message to a person's mailbox."),
        make("convert_currency", "Exchange rate between two currencies."),
        make("play_music", "Play a song on the speakers."),
    ]
    selector = ToolSelector(minilm, k=1)
    for question, name in {
        "Will I need an umbrella in Oslo tomorrow?": "get_weather",
        "How many dollars are 20 euros?": "convert_currency",
        "Write to Anna that I am late": "send_email",
    }.items():
        assert [tool.name for tool in await selector(question, tools)] == [name]


def test_no_tool_at_all_is_refused() -> None:
    with pytest.raises(InputError, match=r"k is 0\. Fix: use 1 or more"):
        ToolSelector(HashEmbedder(), k=0)


async def test_an_agent_of_many_tools_chooses_and_says_so_unless_told_not_to() -> None:
    llm = ScriptedLLM(lambda _: DONE)
    tools = [*many(20), RIVER]
    result = await run(react(llm, tools), "How long is the river Volga?")
    notes = [step.result for step in result.steps if step.kind == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("15 of 21 tools were chosen")
    assert "river_length" in notes[0]
    everything = await run(react(llm, tools, select=None), "How long is the river Volga?")
    assert not [step for step in everything.steps if step.kind == "note"]
