"""Agents built from the settings and the command line's names."""

import dataclasses
import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ragkit.agents import Budget, plan_and_execute, react, rewoo, run, stream
from ragkit.agents.agent import Agent
from ragkit.agents.events import Event
from ragkit.agents.tools import calculator, http_get, python, search_documents, sql
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.progress import OnProgress
from ragkit.core.protocols import LLM, Tool
from ragkit.core.settings import Settings
from ragkit.core.types import DEFAULT_TOOLS, Pattern
from ragkit.evaluation.agents import AgentTask, MeasuredAgent, MeasuredRun, measure_agent
from ragkit.evaluation.fingerprint import digest, file_stamp, settings_digest
from ragkit.evaluation.runs import Evaluation
from ragkit.llm.build import build_llm
from ragkit.sdk import AsyncRAG

PATTERNS: Mapping[str, Callable[..., Agent]] = {
    "react": react,
    "rewoo": rewoo,
    "plan": plan_and_execute,
}
_WHOLE = {"steps", "tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoice:
    """An agent as the command line names it.

    Attributes:
        pattern: The pattern of the agent.
        tools: Names, separated by commas: `search_documents`, `calculator`, `python`,
            `sql=FILE`, `http_get=HOST+HOST`.
        budget: Limits such as `steps=8,tokens=20000,seconds=60`.
    """

    pattern: Pattern = "react"
    tools: str = DEFAULT_TOOLS
    budget: str = ""

    @property
    def tool_names(self) -> list[str]:
        """The tools' names, each with its argument."""
        return [name.strip() for name in self.tools.split(",") if name.strip()]

    def build(self, llm: LLM, rag: AsyncRAG) -> Agent:
        """Build the agent.

        Raises:
            ConfigError: A name is unknown.
            InputError: A limit is not a number above 0.
        """
        if self.pattern not in PATTERNS:
            known = ", ".join(get_args(Pattern))
            raise ConfigError(f"Unknown pattern {self.pattern!r}. Fix: use one of {known}.")
        tools = [_build_tool(name, rag) for name in self.tool_names]
        return PATTERNS[self.pattern](llm, tools, budget=budget_of(self.budget))

    def identity(self, settings: Settings) -> str:
        """Return a digest of the settings, the names, and the databases of `sql=FILE`."""
        files = [Path(name.partition("=")[2]) for name in self.tool_names if "=" in name]
        stamps = [file_stamp(file) for file in files if file.is_file()]
        return digest(settings_digest(settings), self.tools, self.budget, *stamps)


async def stream_agent(
    settings: Settings, question: str, choice: AgentChoice
) -> AsyncGenerator[Event]:
    """Ask an agent and yield its events; the last one holds the result.

    Raises:
        ConfigError: No LLM is set, or a name is unknown.
        InputError: A limit is not a number above 0.
    """
    async with (
        _llm_and_rag(settings) as (llm, rag),
        aclosing(stream(choice.build(llm, rag), question)) as events,
    ):
        async for event in events:
            yield event


async def measure(
    settings: Settings,
    choice: AgentChoice,
    tasks: Sequence[AgentTask],
    *,
    name: str,
    seed: int = 0,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Measure an agent, built again for each task, on tasks; see `measure_agent`.

    Raises:
        ConfigError: No LLM is set, or a name is unknown.
        InputError: A limit is not a number above 0, or `search_documents` has no index.
    """
    async with _llm_and_rag(settings) as (llm, rag):
        choice.build(llm, rag)  # so that a wrong name is an error before the first task
        searches = "search_documents" in choice.tool_names
        agent = MeasuredAgent(
            run=_FreshAgent(choice=choice, llm=llm, rag=rag).ask,
            stage=choice.pattern,
            identity=choice.identity(settings),
            records=await rag.documents() if searches else (),
        )
        return await measure_agent(
            tasks, agent, name=name, seed=seed, fresh=fresh, on_progress=on_progress
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FreshAgent:
    choice: AgentChoice
    llm: LLM
    rag: AsyncRAG

    async def ask(self, question: str) -> MeasuredRun:
        """Build a new agent and ask it."""
        return await run(self.choice.build(self.llm, self.rag), question)


@asynccontextmanager
async def _llm_and_rag(settings: Settings) -> AsyncGenerator[tuple[LLM, AsyncRAG]]:
    llm = build_llm(settings.llm)
    try:
        async with AsyncRAG(settings) as rag:
            yield llm, rag
    finally:
        await llm.close()


def _build_tool(name: str, rag: AsyncRAG) -> Tool:
    kind, _, argument = name.partition("=")
    plain: Mapping[str, Callable[[], Tool]] = {
        "search_documents": functools.partial(search_documents, rag),
        "calculator": calculator,
        "python": python,
    }
    with_argument: Mapping[str, Callable[[], Tool]] = {
        "sql": functools.partial(sql, argument),
        "http_get": functools.partial(http_get, argument.split("+")),
    }
    chosen = with_argument.get(kind) if argument else plain.get(kind)
    if chosen is None:
        known = ", ".join([*plain, "sql=FILE", "http_get=HOST+HOST"])
        raise ConfigError(f"Unknown tool {name!r}. Fix: use one of {known}.")
    return chosen()


def budget_of(text: str) -> Budget:
    """Read a budget such as `steps=8,seconds=60`; the other limits are the defaults.

    Raises:
        ConfigError: A limit is unknown.
        InputError: A limit is not a number above 0.
    """
    known = {limit.name: limit for limit in dataclasses.fields(Budget)}
    given: dict[str, Any] = {}  # Any: whole numbers and others
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise ConfigError(f"Unknown limit {name!r}. Fix: use one of {', '.join(known)}.")
        try:
            given[name] = int(value) if name in _WHOLE else float(value)
        except ValueError as error:
            raise InputError(f"The limit {name!r} is {value!r}. Fix: use a number.") from error
    return dataclasses.replace(Budget(), **given)
