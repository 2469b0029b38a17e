import asyncio
from collections.abc import AsyncGenerator

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import Budget, react, resume, run
from ragkit.core.types import Delta, Usage
from ragkit.llm.call import Call
from ragkit.testing.agents import RecordingTool, count_bytes, says_action
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


async def test_a_cost_limit_stops_before_it_is_passed() -> None:
    def price(usage: Usage) -> float:
        return usage.prompt * 0.001 + usage.completion * 0.002

    replies = [says_action("", ("a", {"text": str(n)})) for n in range(50)]
    llm = ScriptedLLM(lambda call: replies.pop() if call.grammar else "Enough.")
    budget = Budget(steps=None, tokens=None, cost=30.0)
    agent = react(
        llm, [RecordingTool(name="a")], budget=budget, price=price, count_tokens=count_bytes,
        reply_tokens=1000, answer_tokens=50,
    )  # fmt: skip
    result = await run(agent, "Q")
    assert result.stopped_by == "cost"
    assert 15 < result.cost <= 30


@pytest.mark.parametrize("crashes", [1, 2])
async def test_a_call_of_the_model_that_a_crash_cut_off_counts_in_the_budget(crashes: int) -> None:
    begun = asyncio.Event()

    class Hanging(ScriptedLLM):
        hangs = crashes

        async def respond(self, call: Call) -> AsyncGenerator[Delta]:
            if len(self.calls) >= 1 and self.hangs:
                self.hangs -= 1
                begun.set()
                await asyncio.Event().wait()
            async for delta in super().respond(call):
                yield delta

    def reply(call: ScriptedCall) -> str:
        if call.grammar is None:
            return "So far."
        return says_action("", ("a", {"text": str(len(llm.calls))}))

    llm = Hanging(reply)
    agent = react(
        llm, [RecordingTool(name="a")], budget=Budget(steps=4), checkpointer=InMemorySaver()
    )
    started = False
    while llm.hangs:
        begun.clear()
        going = resume(agent, "t") if started else run(agent, "Q", thread="t")
        started = True
        task = asyncio.ensure_future(going)
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
    result = await resume(agent, "t")
    assert (result.answer, result.stopped_by) == ("So far.", "steps")
    assert len(llm.calls) + crashes == 4
