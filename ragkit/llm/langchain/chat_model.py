"""`ChatRagkit`: a LangChain chat model whose tool calls and JSON are valid by construction."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import (
    Runnable,
    RunnableLambda,
    RunnableMap,
    RunnablePassthrough,
)
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import (
    convert_to_json_schema,
    convert_to_openai_tool,
)
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import is_typeddict

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.sync import iterate_sync, run_sync
from ragkit.core.types import Message, Reply
from ragkit.grammar import Limits
from ragkit.llm.call import Call
from ragkit.llm.langchain.messages import ragkit_messages
from ragkit.llm.langchain.turn_format import JsonObject, TurnFormat
from ragkit.llm.messages import estimated_tokens

_METHODS = ("json_schema", "function_calling", "json_mode")
_LANGCHAIN_OPTIONS = frozenset({"strict", "stream", "stream_usage"})
"""Options that LangChain passes and that change nothing here: schemas are always strict."""


class ChatRagkit(BaseChatModel):
    """Any LLM of ragkit as LangChain's chat model.

    Tool calls and structured output are decoded under ragkit's grammars, so they cannot be
    malformed: `bind_tools`, `with_structured_output` and `create_agent` need no parsing retries.

    ```python
    model = ChatRagkit(llm=build_llm(LLMSettings(model="vllm:http://127.0.0.1:8000")))
    agent = create_agent(model, tools=[search])
    ```

    Attributes:
        llm: The LLM; it is not closed.
        temperature: 0 for the likeliest token each time; the model's own default if None.
        max_tokens: Maximum tokens of a reply.
        stop: Texts that end a free-text reply.
        timeout: Seconds for one call.
        options: Further options of decoding, such as `{"top_p": 0.9}`; see `CallOptions`.
        streaming: Stream inside `invoke` too, for callbacks.
        limits: Bounds of strings and arrays that have none in their schema.
        max_calls: Maximum number of tool calls in one reply.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    llm: Any = Field(exclude=True)  # an `LLM`: pydantic cannot check a protocol
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    options: dict[str, Any] = Field(default_factory=dict[str, Any])
    streaming: bool = False
    limits: Limits = Field(default_factory=Limits)
    max_calls: int = Field(default=4, ge=1)
    profile: ModelProfile | None = Field(
        default=ModelProfile(structured_output=True, tool_calling=True, tool_choice=True),
        exclude=True,
    )

    @property
    def _llm_type(self) -> str:
        return "ragkit"

    @property
    def _model(self) -> LLM:
        return cast("LLM", self.llm)

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": self._model.model, **self._defaults}

    @property
    def _defaults(self) -> dict[str, Any]:
        named = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "timeout_s": self.timeout,
        }
        return {name: value for name, value in named.items() if value is not None} | self.options

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "ragkit"
        params["ls_model_name"] = str(kwargs.get("model") or self._model.model)
        return params

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool = True,
        **options: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; their calls are decoded under the grammar of their schemas.

        Args:
            tools: LangChain tools, functions, pydantic models, or functions in the form of OpenAI
                or Anthropic.
            tool_choice: `"auto"` (the default), `"any"` to force a call, `"none"`, or a name;
                also in the form of OpenAI or Anthropic.
            parallel_tool_calls: False for one call in a reply at most.
            **options: Further options of the call.

        Raises:
            InputError: The choice is unknown, a tool is one of a provider's own, or a schema
                cannot be decoded under a grammar.
        """
        bound = {
            "tools": [convert_to_openai_tool(tool) for tool in tools],
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            **options,
        }
        self._turn(dict(bound)).check_schemas()
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(**bound))

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str = "json_schema",
        strict: bool | None = None,
        **options: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Reply with values of a schema, decoded under its grammar.

        Args:
            schema: A pydantic model (values are instances), a TypedDict, a JSON Schema, or a tool
                in OpenAI's form (values are dicts).
            include_raw: Return `{"raw": message, "parsed": value, "parsing_error": None}`.
            method: Accepted for LangChain's sake: every method decodes under the grammar.
            strict: The same.
            **options: Further options of the call.

        Raises:
            InputError: The schema cannot be decoded under a grammar.
        """
        if method not in _METHODS:
            raise InputError(f"method is {method!r}. Fix: use one of {', '.join(_METHODS)}.")
        described = convert_to_json_schema(schema)
        response_format = {"type": "json_schema", "json_schema": {"schema": described}}
        self._turn({"response_format": response_format}).check_schemas()
        model = self.bind(
            response_format=response_format,
            ls_structured_output_format={"kwargs": {"method": method}, "schema": described},
            **options,
        )
        parse = RunnableLambda(_SchemaReader(schema).parse, name="parse")
        if not include_raw:
            return cast("Runnable[LanguageModelInput, Any]", model | parse)
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parse, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        fallback = parsed.with_fallbacks([failed], exception_key="parsing_error")
        return cast("Runnable[LanguageModelInput, Any]", RunnableMap(raw=model) | fallback)

    def get_num_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, or count them with `custom_get_token_ids`."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        empty, full = (estimated_tokens([Message(role="user", content=one)]) for one in ("", text))
        return full - empty + bool(text)  # without the tokens around a message

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the tokens of messages, or count them with `custom_get_token_ids`.

        The estimate includes the descriptions of `tools`.

        Raises:
            InputError: A message holds something else than text.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        turn = self._turn({"tools": [convert_to_openai_tool(tool) for tool in tools or ()]})
        sent = ragkit_messages(messages, instructions=turn.instructions)
        return estimated_tokens(sent) if sent else 0

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids that `custom_get_token_ids` gives.

        Raises:
            InputError: None is set; LangChain would load the tokenizer of GPT-2.
        """
        if self.custom_get_token_ids is None:
            raise InputError(
                f"The model {self._model.model!r} has no token ids. Fix: pass "
                "custom_get_token_ids=..., or use get_num_tokens, which estimates."
            )
        return super().get_token_ids(text)

    def _turn(self, options: dict[str, Any]) -> TurnFormat:
        """Take the form of the reply out of a call's options."""
        parallel = options.pop("parallel_tool_calls", None)
        return TurnFormat.of(
            options.pop("tools", None) or (),
            options.pop("tool_choice", None),
            _schema_of(options.pop("response_format", None)),
            max_calls=1 if parallel is False else self.max_calls,
            limits=self.limits,
        )

    def _call(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, options: dict[str, Any]
    ) -> tuple[TurnFormat, Call]:
        turn = self._turn(options)
        given = {name: value for name, value in options.items() if name not in _LANGCHAIN_OPTIONS}
        decoding = {**self._defaults, **given}
        grammar = turn.grammar
        if stop and grammar is not None:
            raise InputError(f"stop is {stop!r}. Fix: leave it out with tools or a schema.")
        if grammar is None and (texts := stop or self.stop):
            decoding["stop"] = list(texts)
        return turn, Call(
            messages=ragkit_messages(messages, instructions=turn.instructions),
            grammar=grammar,
            options=cast("CallOptions", decoding),
        )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        turn, call = self._call(messages, stop, kwargs)
        reply = await call.complete(self._model)
        message = _with_metadata(turn.message(reply.text), reply)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run_sync(lambda: self._agenerate(messages, stop, None, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        turn, call = self._call(messages, stop, kwargs)
        if not turn.tools:  # text that was shown cannot be taken back
            call = replace(call, options={"strict": True, **call.options})
        async for delta in call.stream(self._model):
            if delta.reply is None and not turn.tools:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=delta.text))
                if run_manager:
                    await run_manager.on_llm_new_token(delta.text, chunk=chunk)
                yield chunk
            elif delta.reply is not None:
                message = _with_metadata(turn.message(delta.reply.text), delta.reply)
                # Free text and JSON were streamed; calls come whole.
                text = message.content if turn.tools else ""
                chunk = ChatGenerationChunk(message=_last_chunk(message, cast("str", text)))
                if run_manager:
                    await run_manager.on_llm_new_token(cast("str", text), chunk=chunk)
                yield chunk

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in iterate_sync(lambda: self._astream(messages, stop, None, **kwargs)):
            if run_manager:
                run_manager.on_llm_new_token(cast("str", chunk.message.content), chunk=chunk)
            yield chunk


class _SchemaReader:
    """Reads the JSON of a reply as a value of the schema."""

    def __init__(self, schema: dict[str, Any] | type) -> None:
        # Models of pydantic 1, which LangChain takes too, have another method; TypedDicts none.
        known = ("model_validate_json", "parse_raw")
        methods = [getattr(schema, name) for name in known if hasattr(schema, name)]
        self._read: Callable[[str], Any] = methods[0] if methods else json.loads

    def parse(self, message: AIMessage) -> Any:
        try:
            return self._read(cast("str", message.content))
        except ValueError as error:  # pydantic's errors are ValueErrors
            raise InputError(f"The reply fails validation: {error}") from error


def _schema_of(response_format: object) -> JsonObject | None:
    if response_format is None:
        return None
    if isinstance(response_format, type):
        kind: type[Any] = response_format
        if issubclass(kind, BaseModel) or is_typeddict(kind):
            return convert_to_json_schema(kind)
    form = cast("JsonObject", response_format if isinstance(response_format, Mapping) else {})
    named = form.get("json_schema", form)
    schema = cast("JsonObject", named if isinstance(named, Mapping) else {}).get("schema")
    if form.get("type") != "json_schema" or not isinstance(schema, Mapping):
        raise InputError(
            f"response_format is {dict(form) or response_format!r:.200}. "
            "Fix: use the type 'json_schema' with a schema, "
            "{'type': 'json_schema', 'json_schema': {'schema': {...}}}, or pass a pydantic model."
        )
    return cast("JsonObject", schema)


def _with_metadata(message: AIMessage, reply: Reply) -> AIMessage:
    usage = reply.usage
    return message.model_copy(
        update={
            "usage_metadata": UsageMetadata(
                input_tokens=usage.prompt,
                output_tokens=usage.completion,
                total_tokens=usage.prompt + usage.completion,
                input_token_details=InputTokenDetails(cache_read=usage.cached),
            ),
            "response_metadata": {
                "model_name": reply.model,
                "model_provider": "ragkit",
                "finish_reason": "tool_calls" if message.tool_calls else reply.finish_reason,
            },
        }
    )


def _last_chunk(message: AIMessage, text: str) -> AIMessageChunk:
    return AIMessageChunk(
        content=text,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=[
            tool_call_chunk(
                name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index
            )
            for index, call in enumerate(message.tool_calls)
        ],
        chunk_position="last",
    )
