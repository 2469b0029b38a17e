"""The example workflows with models that follow a script, for a LangGraph server.

A model's reply follows from the prompt alone, so that any thread may ask at any time.
"""

import asyncio
import importlib.util
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from ragkit.agents import Agent, AgentOptions
from ragkit.core.types import Chunk, Hit
from ragkit.grammar import json_grammar
from ragkit.testing import ScriptedCall, ScriptedLLM, says_action
from ragkit.testing.agents import says_finish

FOLDER = Path(__file__).parents[2] / "examples" / "workflows"


class Passages:
    """Finds one passage."""

    async def search(self, query: str, **_: object) -> list[Hit]:
        """Return it."""
        text = f"Found for {query}: 30 days."
        chunk = Chunk(id="1", uri="doc.md", title="Terms", text=text, start=0, end=len(text))
        return [Hit(chunk=chunk, score=1.0, trace={})]


def example(name: str) -> Any:
    """Return the module of an example; `Any` since it is found at run time."""
    spec = importlib.util.spec_from_file_location(f"served_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replies(call: ScriptedCall) -> str:
    """Return what any of the three would say."""
    system, turn = call.messages[0].content, len(call.messages) // 2
    if call.grammar is None:
        return "The answer, in several pieces."
    if "judge an answer" in system:
        one = {"reason": "r", "met": True}
        return json.dumps({"criteria": [one, one], "advice": ""}, separators=(",", ":"))
    if system.startswith("You plan"):
        return '{"thought":"","steps":[{"task":"Count.","needs":[]}]}'
    if "- refund:" in system and turn == 1:
        return says_action("Pay it.", ("refund", {"order": 7, "cents": 1250}))
    if "- sql:" in system and turn == 1:
        return says_action(
            "Count.", ("sql", {_argument(call, "sql"): "SELECT count(*) FROM sales"})
        )
    if "- search_documents:" in system and turn == 1:
        return says_action("Look.", ("search_documents", {"query": "refunds"}))
    return says_finish("The answer, in several pieces.")


def _argument(call: ScriptedCall, tool: str) -> str:
    """Return the name of a tool's only argument, read from the prompt."""
    listed = call.messages[0].content.split(f"- {tool}: ")[1].split("arguments: ")[1]
    schema: Any = json.JSONDecoder().raw_decode(listed)[0]
    return str(next(iter(schema["properties"])))


def research() -> Agent:
    """The research assistant."""
    agent: Agent = example("research").research_assistant(ScriptedLLM(replies), Passages())
    return agent


def analyst() -> Agent:
    """The data analyst."""
    path = Path(tempfile.mkdtemp()) / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE sales (cents INTEGER)")
    database.close()
    agent: Agent = example("analyst").data_analyst(ScriptedLLM(replies), path)
    return agent


def support() -> Agent:
    """The support desk."""
    options = AgentOptions()
    agent: Agent = example("support").support_desk(ScriptedLLM(replies), Passages(), options)
    return agent


RESEARCH, ANALYST, SUPPORT = research(), analyst(), support()

# The scripted model loads its grammar engine with its first call, which would block the server.
_warm = ScriptedLLM(["true"]).complete("warm", grammar=json_grammar({"const": True}))
asyncio.run(_warm)
