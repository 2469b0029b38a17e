"""The application with doubles in the place of models, for tests in a browser.

Run as a command: `python tests/ui/served_app.py --index DIR --data DIR --port N`.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragkit.core.settings import AnswerSettings, Settings
from ragkit.core.types import Delta
from ragkit.llm.call import Call
from ragkit.llm.messages import messages_of
from ragkit.testing.agents import says_action, says_finish, says_plan
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedCall, ScriptedLLM
from ragkit.ui.launch import launch
from ragkit.ui.options import Options, parse_options
from ragkit.ui.workspace import Workspace

SENTENCE = "Gift cards are never refunded."
ANSWER = "Gift cards are never refunded, however long one waits. " * 16
PASSAGE = re.compile(r"<passage (\d+) ")
SLOWLY_S = 0.6


class PacedLLM(ScriptedLLM):
    """Takes a minute and more for a question that has the word slowly."""

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the scripted reply."""
        slowly = any("slowly" in message.content for message in messages_of(call.messages))
        async with aclosing(super().respond(call)) as deltas:
            async for delta in deltas:
                yield delta
                await asyncio.sleep(SLOWLY_S if slowly else 0)


def reply(call: ScriptedCall) -> str:
    """Reply as a model would: agents by the question, everything else at random."""
    prompt = call.prompt
    if "Rewrite the last question" in call.messages[0].content:
        return json.dumps({"question": "Are gift cards refunded?"}, separators=(",", ":"))
    if "save_note" in prompt:
        return _noting(prompt)
    if "Write the whole plan at once" in prompt:
        return says_plan(
            ("search_documents", {"query": "refunds"}), ("calculator", {"expression": "5*24"})
        )
    return _evidence(prompt)


def _noting(prompt: str) -> str:
    if "The note was saved" in prompt or "refused" in prompt:
        return says_finish("It is done.", "Nothing is left to do.")
    return says_action("I write it down.", ("save_note", {"text": "Refunds take 5 days."}))


def _evidence(prompt: str) -> str:
    """Quote a sentence of the shown passages and go on about it for a while."""
    before, found, _ = prompt.partition(SENTENCE)
    passage = PASSAGE.findall(before)[-1] if found else "1"
    quotes = [{"passage": passage, "quote": SENTENCE}] if found else []
    said = {
        "quotes": quotes,
        "sufficient": bool(found),
        "answer": ANSWER.strip() if found else "",
        "citations": [passage] if found else [],
    }
    return json.dumps(said, separators=(",", ":"))


def make(options: Options, settings: Settings) -> Workspace:
    """Return a workspace that loads no model."""
    llm = PacedLLM(reply, delay_s=0.05)
    scripted = settings.model_copy(
        update={
            "answer": AnswerSettings(mode="extractive", threshold=0.0),
            "llm": settings.llm.model_copy(update={"model": llm.model}),
        }
    )
    return Workspace(options, settings=scripted, embedder=HashEmbedder(), llm=llm)


if __name__ == "__main__":
    given = parse_options(sys.argv[1:])
    launch(given, lambda settings: make(given, settings))
