"""The form of one reply to LangChain: free text, JSON of a schema, or calls of tools."""

import functools
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from ragkit.core.errors import InputError
from ragkit.grammar import Grammar, Limits, ToolSpec, json_grammar
from ragkit.grammar.actions import shared_action_grammar
from ragkit.llm.prompts import prompt_file

ToolChoice: TypeAlias = Literal["auto", "any", "none"]
JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON Schema, or another object in LangChain's and OpenAI's forms."""
_FORCING = frozenset({"any", "required"})
_PACKAGE = "ragkit.llm.langchain"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFormat:
    """The form of one reply.

    Attributes:
        tools: The tools that may be called.
        forced: True if the reply must call a tool.
        schema: JSON Schema of an answer; None for free text.
        max_calls: Maximum number of calls in one reply.
        limits: Bounds of strings and arrays that have none in their schema.
    """

    tools: tuple[ToolSpec, ...] = ()
    forced: bool = False
    schema: JsonObject | None = None
    max_calls: int = 4
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(
        cls,
        tools: Sequence[JsonObject],
        choice: object,
        schema: JsonObject | None,
        *,
        max_calls: int,
        limits: Limits,
    ) -> "TurnFormat":
        """Make the form of tools in OpenAI's form, a tool choice and a schema.

        Raises:
            InputError: The choice is unknown, or names a tool that is not bound.
        """
        specs = _distinct([_spec(tool) for tool in tools])
        name = _chosen(choice)
        if name == "none":
            specs = ()
        elif name not in (None, "auto", *_FORCING):
            specs = tuple(spec for spec in specs if spec.name == name)
            if not specs:
                known = ", ".join(spec.name for spec in map(_spec, tools))
                raise InputError(
                    f"tool_choice is {choice!r}. Fix: use 'auto', 'any', 'none' or one of {known}."
                )
        forced = bool(specs) and name not in (None, "auto")
        return cls(tools=specs, forced=forced, schema=schema, max_calls=max_calls, limits=limits)

    @property
    def answer_name(self) -> str:
        """The name of the call that ends a turn with an answer."""
        name = "final_answer"
        while name in {tool.name for tool in self.tools}:
            name += "_"
        return name

    @property
    def answer(self) -> ToolSpec:
        """The call that ends a turn with an answer."""
        text = {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        about = "Answer the user."
        return ToolSpec(
            name=self.answer_name, description=about, parameters=dict(self.schema or text)
        )

    def check_schemas(self) -> None:
        """Raise `InputError` if a schema cannot be decoded under a grammar."""
        schemas = [tool.parameters for tool in self.tools]
        for schema in (*schemas, *([] if self.schema is None else [self.schema])):
            _schema_grammar(json.dumps(schema), self.limits)

    @property
    def grammar(self) -> Grammar[Any] | None:
        """The grammar of the reply; None for free text.

        Raises:
            InputError: A schema cannot be decoded under a grammar; names keyword and place.
        """
        if self.tools:
            ending = () if self.forced else (self.answer,)
            return shared_action_grammar(
                self.tools, ending=ending, max_calls=self.max_calls, limits=self.limits
            )
        if self.schema is not None:
            return _schema_grammar(json.dumps(self.schema), self.limits)
        return None

    @property
    def instructions(self) -> str:
        """The description of the form for the model; empty for free text."""
        if self.tools:
            lines = [prompt_file(_PACKAGE, "tools")]
            shown = list(self.tools)
            if not self.forced:
                lines.append(prompt_file(_PACKAGE, "answer").replace("{name}", self.answer_name))
                shown.append(self.answer)
            lines += ["Tools:", *(_described(tool) for tool in shown)]
            return "\n\n".join(lines)
        if self.schema is not None:
            schema = json.dumps(self.schema, ensure_ascii=False)
            return f"{prompt_file(_PACKAGE, 'schema')}\n{schema}"
        return ""

    def message(self, text: str) -> AIMessage:
        """Read a reply.

        Raises:
            InputError: The reply fails a check that its grammar cannot express.
        """
        grammar = self.grammar
        if grammar is None or not self.tools:
            if grammar is not None:
                grammar.parse(text)
            return AIMessage(content=text)
        action = grammar.parse(text)
        reasoning = {"reasoning_content": action.thought} if action.thought else {}
        if action.calls[0].tool == self.answer_name and not self.forced:
            arguments = action.calls[0].arguments
            answer = arguments["answer"] if self.schema is None else json.dumps(arguments)
            return AIMessage(content=answer, additional_kwargs=reasoning)
        calls = [
            tool_call(name=call.tool, args=dict(call.arguments), id=f"call_{uuid.uuid4().hex}")
            for call in action.calls
        ]
        return AIMessage(content="", tool_calls=calls, additional_kwargs=reasoning)


def _spec(tool: JsonObject) -> ToolSpec:
    function: object = tool.get("function")
    if function is None and tool.get("type", "function") == "function":
        function = tool  # as OpenAI's Responses API has it
    described = cast("JsonObject", function if isinstance(function, Mapping) else {})
    name: object = described.get("name")
    if not isinstance(name, str):
        raise InputError(
            f"The tool {dict(tool)!r:.200} is no function with a name; ragkit's models have no "
            "tools of a provider's own. Fix: bind a function, a LangChain tool or a JSON Schema."
        )
    empty: JsonObject = {"type": "object", "properties": {}}
    parameters: JsonObject = described.get("parameters") or described.get("input_schema") or empty
    return ToolSpec(
        name=name, description=described.get("description") or "", parameters=parameters
    )


def _distinct(tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
    found: list[ToolSpec] = []
    for tool in tools:
        if tool not in found:
            found.append(tool)
    return tuple(found)


def _chosen(choice: object) -> str | None:
    if choice is True:
        return "any"
    if choice is False:
        return "none"
    if isinstance(choice, Mapping):  # as OpenAI or Anthropic have it
        form = cast("JsonObject", choice)
        named = form.get("function", form)
        name = cast("JsonObject", named if isinstance(named, Mapping) else {}).get("name")
        return str(name or form.get("type"))
    return None if choice is None else str(choice)


def _described(tool: ToolSpec) -> str:
    parameters = json.dumps(tool.parameters, ensure_ascii=False)
    return f"- {tool.name}: {tool.description}\n  Arguments: {parameters}"


@functools.lru_cache(maxsize=64)
def _schema_grammar(schema: str, limits: Limits) -> Grammar[Any]:
    return json_grammar(json.loads(schema), limits=limits)
