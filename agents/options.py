"""The options of agents: their types, their checks, and the context that they become."""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore
from pydantic import BaseModel

from ragkit.agents import final_answer
from ragkit.agents.approval import Approvals, approval_reasons
from ragkit.agents.budget import Budget, Price
from ragkit.agents.context import TEXT_WITHOUT_LIMIT, AgentContext, Prompts, Selector
from ragkit.agents.hooks import Hook
from ragkit.agents.journal import Journal
from ragkit.agents.tools.langchain import AnyTools, as_tools
from ragkit.agents.tools.selection import FEW, PackagedSelector
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.types import Conversation, Json
from ragkit.grammar import Limits, json_grammar
from ragkit.llm.wrappers.cost import Price as TokenPrice

_NUMBERS = ("reply_tokens", "answer_tokens", "evidence_tokens", "observation_chars", "parallel")


class AgentOptions(TypedDict, total=False):
    """The options that all patterns have in common.

    Attributes:
        budget: The limits of a run; `Budget()` where left out.
        checkpointer: LangGraph's; with one, runs can be resumed and a person can be asked.
        journal: Records the calls of tools, so that none is repeated after a crash; give one
            that outlives the process where the checkpointer does: `SQLiteRuns` holds both.
        approvals: When a person is asked before a `write` tool.
        trusted_tools: Tools whose results, and descriptions, are not untrusted text.
        prompts: Texts instead of the files under `agents/prompts`, by name.
        price: The cost of tokens: a `ragkit.llm.Price`, or a function of the usage.
        count_tokens: Counts a prompt's tokens; an estimate where left out.
        reply_tokens: Tokens of a reply that decides something, at most.
        answer_tokens: Tokens of an answer, at most.
        evidence_tokens: Tokens of the results of tools in one prompt, at most.
        observation_chars: Characters of one result in a prompt, at most.
        parallel: Calls of tools at the same time, at most.
        decoding: The model's decoding options, such as temperature and seed; with `max_tokens` no
            reply is longer, and free text that reaches it is not continued.
        select: Chooses among the tools for each question; where left out, more than 15 are chosen
            from with the packaged embedding model. None offers them all.
        output: A pydantic model, or a JSON Schema, of the result: the run ends with a
            `structured_response` that was decoded under its grammar.
        limits: Bounds of replies where the tools' schemas have none. By default a text is only
            bounded by `reply_tokens`; a reply that is longer is asked for again under bounds. With
            bounds of yours, a text that reaches one is not used.
        hooks: Code of yours around the calls of the model and of tools; see `Hook`.
        context_schema: The type of the context of a run, such as a dataclass of user, tenant and
            connections: pass `context=...` to `run`, or to LangGraph's methods. Tools receive it in
            a parameter annotated `langgraph.runtime.Runtime[...]`; the model never sees it.
        store: LangGraph's long-term memory, which tools reach by their `Runtime`; a `RagkitStore`
            searches it by meaning and by words.
        name: The graph's name.
    """

    budget: Budget | None
    checkpointer: BaseCheckpointSaver[Any] | None
    journal: Journal | None
    approvals: Approvals
    trusted_tools: Sequence[str]
    prompts: Mapping[str, str]
    price: Price | TokenPrice | None
    count_tokens: Callable[[Conversation], int]
    reply_tokens: int
    answer_tokens: int
    evidence_tokens: int
    observation_chars: int
    parallel: int
    decoding: CallOptions
    select: Selector | None
    output: type[BaseModel] | Mapping[str, Json] | None
    limits: Limits
    hooks: Sequence[Hook]
    context_schema: type[Any] | None
    store: BaseStore | None
    name: str


def agent_context(  # the parts of every agent
    pattern: str,
    llm: LLM,
    *,
    tools: AnyTools,
    prompts: Iterable[str],
    options: AgentOptions,
    reserved: Collection[str] = (),
) -> AgentContext:
    """Return the context of an agent that uses the prompts of these names.

    Raises:
        ConfigError: An option or a value is unknown, or the agent has no such prompt.
        InputError: Two tools have one name, or a tool has the name of one of the agent's own calls.
    """
    tools = as_tools(tools)
    by_name = {tool.name: tool for tool in tools}
    _check_options(options, by_name)
    if len(by_name) < len(tools):
        found = [tool.name for tool in tools]
        raise InputError(f"Two tools have one name, got {found!r}. Fix: give each its own name.")
    for name in sorted(set(reserved) & set(by_name)):
        raise InputError(
            f"The tool {name!r} has the name of one of the agent's own calls. Fix: rename it."
        )
    known = {field.name for field in dataclasses.fields(AgentContext)}
    # `Any`: the options of this agent that have the name of an attribute of the context.
    given: dict[str, Any] = {
        key: value
        for key, value in options.items()
        if key in known
        and key not in {"budget", "name", "output", "price", "prompts", "trusted_tools", "hooks"}
    }
    if len(tools) > FEW:
        given.setdefault("select", PackagedSelector())
    output = options.get("output")
    names = prompts if output is None else dict.fromkeys([*prompts, *final_answer.PROMPTS])
    price, budget = options.get("price"), options.get("budget") or Budget()
    if budget.cost is not None and price is None:
        raise ConfigError(
            f"The budget limits the cost to {budget.cost!r}, but the agent has no price. "
            "Fix: pass price=... too."
        )
    return AgentContext(
        pattern=pattern,
        name=options.get("name", pattern),
        llm=llm,
        tools=by_name,
        prompts=Prompts.of(names, options.get("prompts")),
        output=None
        if output is None
        else json_grammar(output, limits=options.get("limits", TEXT_WITHOUT_LIMIT)),
        budget=budget,
        reasons=approval_reasons(tools, options.get("approvals", "untrusted")),
        trusted_tools=frozenset(options.get("trusted_tools", ())),
        hooks=tuple(options.get("hooks", ())),
        price=price.of if isinstance(price, TokenPrice) else price,
        **given,
    )


def at_least(least: int, **numbers: object) -> None:
    """Check the whole numbers among an agent's own options.

    Raises:
        ConfigError: One is below `least`, or no whole number.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"The option {name} is {value!r}. Fix: pass a whole number from {least} up."
            )


def _check_options(options: Mapping[str, object], tools: Collection[str]) -> None:
    for name in options:
        if name not in AgentOptions.__annotations__:
            near = difflib.get_close_matches(name, AgentOptions.__annotations__, n=1)
            known = near or sorted(AgentOptions.__annotations__)
            raise ConfigError(f"Agents have no option {name!r}. Fix: use {' or '.join(known)}.")
    for name in _NUMBERS:
        if name in options:
            at_least(1, **{name: options[name]})
    _check_trusted(options.get("trusted_tools", ()), tools)
    _check_hooks(options.get("hooks", ()))
    limits: object = options.get("limits", TEXT_WITHOUT_LIMIT)
    if not isinstance(limits, Limits):
        raise ConfigError(f"The option limits is {limits!r}. Fix: pass a ragkit.grammar.Limits.")
    prompts = options.get("prompts")
    if prompts is not None and not isinstance(prompts, Mapping):
        raise ConfigError(f"The option prompts is {prompts!r}. Fix: pass a dictionary of texts.")
    _check_decoding(options.get("decoding", {}))


def _check_decoding(decoding: object) -> None:
    if not isinstance(decoding, Mapping):
        raise ConfigError(f"The option decoding is {decoding!r}. Fix: pass a dictionary.")
    taken = CallOptions.__annotations__.keys() - {"on_restart"}  # hooks see each prompt
    for name in cast("Mapping[object, object]", decoding):
        if name not in taken:
            raise ConfigError(
                f"decoding has no option {name!r}. Fix: use some of {sorted(taken)!r}."
            )


def _check_trusted(trusted: object, tools: Collection[str]) -> None:
    # A text would be read as the set of its letters, and an iterator be used up by the check.
    if isinstance(trusted, str) or not isinstance(trusted, Collection):
        raise ConfigError(
            f"The option trusted_tools is {trusted!r}. Fix: pass a list of names of tools."
        )
    for name in cast("Collection[object]", trusted):
        if name not in tools:
            raise ConfigError(
                f"trusted_tools names {name!r}, which is no tool of the agent. "
                f"Fix: name some of {sorted(tools)!r}."
            )


def _check_hooks(hooks: object) -> None:
    if not isinstance(hooks, list | tuple):
        raise ConfigError(f"The option hooks is {hooks!r}. Fix: pass a list of hooks.")
    for hook in cast("Sequence[object]", hooks):
        if not isinstance(hook, Hook):
            raise ConfigError(f"{hook!r} is no hook. Fix: pass instances of subclasses of Hook.")
