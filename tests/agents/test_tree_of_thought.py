import json

from ragkit.agents import run, tree_of_thought
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def test_thoughts_are_proposed_rated_and_the_best_is_followed() -> None:
    def reply(call: ScriptedCall) -> str:
        system = call.messages[0].content
        if "Propose" in system:
            known = "good" in call.prompt
            return compact({"thoughts": ["worse", "better"] if known else ["bad", "good"]})
        if call.grammar is None:
            return "Because it is better."
        lines = call.messages[1].content.split("\n")[3:]
        ratings = [1 + 4 * ("good" in line) + 4 * ("better" in line) for line in lines]
        return compact({"ratings": ratings})

    llm = ScriptedLLM(reply)
    result = await run(tree_of_thought(llm, width=2, keep=1, depth=2), "Why?")
    assert result.answer == "Because it is better."
    assert "good\nbetter" in llm.calls[-1].messages[1].content
    names = [step.name for step in result.steps]
    assert names == ["propose", "rate", "propose", "rate", "conclude"]
