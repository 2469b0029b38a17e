import json

from ragkit.agents import Budget, explain, run, self_consistency, tree_of_thought
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def test_the_answer_most_often_reached_wins_and_the_cost_of_all_is_counted() -> None:
    answers = iter(["8", "It is 7", "it is 7.", "9", "8!", "It is 7"])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "r", "answer": next(answers)}))
    result = await run(self_consistency(llm, samples=6), "Which?")
    assert result.answer == "It is 7"
    assert llm.calls[0].options.get("n") == 6
    assert llm.calls[0].options.get("temperature") == 0.8
    assert "3 of 6 replies" in result.tree()
    assert result.usage.completion > 6 * len('{"reasoning":"r","answer":"8"}')


async def test_a_budget_too_small_for_the_samples_says_so() -> None:
    result = await run(self_consistency(ScriptedLLM([]), budget=Budget(tokens=60)), "Which?")
    assert result.stopped_by == "tokens"
    assert result.answer


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


def test_explain_lists_the_prompts_and_they_can_be_replaced() -> None:
    agent = tree_of_thought(ScriptedLLM([]), prompts={"conclude": "Answer in verse."})
    explained = explain(agent)
    assert explained.pattern == "tree_of_thought"
    assert explained.prompts["conclude"] == "Answer in verse."
    assert set(explained.prompts) == {"propose", "rate", "conclude", "thoughts"}
    assert "Answer in verse." in str(explained)
