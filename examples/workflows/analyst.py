"""A data analyst: plans tasks, queries a SQLite file, and computes on the rows in a sandbox.

RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000 python examples/workflows/analyst.py shop.db "How ...?"
"""

import asyncio
import os
import sys
from pathlib import Path

from ragkit import Settings
from ragkit.agents import Budget, plan_and_execute, stream
from ragkit.agents.agent import Agent
from ragkit.agents.events import Called, Finished, Observed, Planned
from ragkit.agents.tools import calculator, python, sql
from ragkit.core.protocols import LLM
from ragkit.llm.build import build_llm


def data_analyst(llm: LLM, database: Path) -> Agent:
    """Tasks that don't need each other run at the same time."""
    tools = [sql(database), python(), calculator()]
    return plan_and_execute(llm, tools, max_steps=4, budget=Budget(steps=24, seconds=300))


def made() -> Agent:
    """Return the analyst of the settings, over the file that ANALYST_DATABASE names."""
    return data_analyst(build_llm(Settings.load().llm), Path(os.environ["ANALYST_DATABASE"]))


async def graph() -> Agent:
    """Return the analyst for LangGraph's server, whose loop must not wait for files."""
    return await asyncio.to_thread(made)


async def main(database: str, question: str) -> None:
    """Ask, and show what happens as it happens."""
    async for event in stream(
        data_analyst(build_llm(Settings.load().llm), Path(database)), question
    ):
        match event:
            case Planned(steps=steps):
                print(*(f"{label}: {text}" for label, text in steps), sep="\n")
            case Called(tool=tool, arguments=arguments):
                print("call", tool, dict(arguments))
            case Observed(text=text):
                print("->", text)
            case Finished(result=result):
                print(result.answer)
            case _:
                pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
