"""Emulated chat servers of each kind: they take, refuse and ignore what the real ones do.

The model behind them replies at random: by the grammar of the request, or, where a server is given
a JSON Schema, by the grammar that the schema was made from, as a capable model would.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ragkit.core.errors import InputError
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Json
from ragkit.grammar import Grammar
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.llm.openai.json_mode import is_wrapped, response_format
from ragkit.llm.openai.native_calls import native_tools
from ragkit.testing.llm_contract import GRAMMARS
from ragkit.testing.model_server import ServerRequest, ServerResponse, served_models
from tests.llm.openai.gbnf_parser import check_gbnf

WORDS = ("the", "a", "model", "says", "that", "water", "runs", "downhill", "é", "🐺", "\n", "42")
DECODER = RandomDecoder()
_WORD = re.compile(r'root ::= "(ragkit-\w+)"')
_STANDARD = frozenset(
    {"model", "messages", "stream", "stream_options", "temperature", "top_p", "seed", "n", "stop"}
    | {"max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "tools", "tool_choice"}
    | {"response_format", "reasoning_effort"}
)
"""The fields that OpenAI's API knows; it refuses others."""


def refused(message: str, *, status: int = 400, **details: Json) -> ServerResponse:
    return ServerResponse(status=status, body={"error": {"message": message, **details}})


@dataclass
class Emulation:
    """A chat server. A token is a byte.

    Attributes:
        context: Tokens of prompt and reply together.
        said: Returns a reply instead of the random one, given the request and the random one.
    """

    context: int = 40_000
    said: Callable[[ServerRequest, str], str] = lambda _, text: text
    name: ClassVar[str] = ""
    chats: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    def __call__(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/v1/chat/completions":
            self.chats.append(request.body)
            return self.chat(request)
        return self.other(request)

    def other(self, request: ServerRequest) -> ServerResponse:
        assert request.path == "/v1/models", request.path
        return served_models("emulated", context=self.context)

    def chat(self, request: ServerRequest) -> ServerResponse:
        body: Mapping[str, Any] = request.body
        prompt = sum(len(str(message["content"]).encode()) for message in body["messages"])
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        room = self.context - prompt
        if room < 1:
            return refused(
                f"This model's maximum context length is {self.context} tokens.",
                code="context_length_exceeded",
            )
        return self.answered(request, prompt, min(limit or room, room))

    def answered(self, request: ServerRequest, prompt: int, limit: int) -> ServerResponse:
        body: Mapping[str, Any] = request.body
        events: list[Json] = [{"model": body["model"], "choices": []}]
        completion = 0
        for index in range(body.get("n") or 1):
            said = self.said(request, self.text(body, index, limit))
            for stop in body.get("stop") or ():
                said = said.partition(stop)[0]
            size = len(said.encode())
            finish = "stop" if size < limit else "length"
            said = said.encode()[:limit].decode(errors="ignore")
            completion += min(size + 1, limit)
            for start in range(0, len(said), 7):
                delta: Json = {"content": said[start : start + 7]}
                events.append({"choices": [{"index": index, "delta": delta}]})
            events.append({"choices": [{"index": index, "delta": {}, "finish_reason": finish}]})
        usage: Json = {"prompt_tokens": prompt, "completion_tokens": completion}
        return ServerResponse(events=[*events, {"choices": [], "usage": usage}])

    def text(self, body: Mapping[str, Any], index: int, limit: int) -> str:
        """Return a random reply."""
        given = body.get("seed")
        seed = (random.getrandbits(32) if given is None else given) + index
        words = random.Random(seed)
        return " ".join(words.choice(WORDS) for _ in range(words.randrange(1, 40)))


def decoded(grammar: ReplyGrammar[object] | str, body: Mapping[str, Any], limit: int) -> str:
    """Return a random reply by a grammar that fits the limit."""
    ebnf = grammar if isinstance(grammar, str) else grammar.ebnf
    compiled = DECODER.compile(ebnf)
    given = body.get("seed")
    first = random.getrandbits(32) if given is None else 1000 * given
    for seed in range(first, first + 500):
        found = DECODER.decode(compiled, seed=seed, max_tokens=limit, ending=0.5)
        if found is not None:
            return found.decode()
    return "." * limit  # a reply that does not end


@dataclass
class GrammarEmulation(Emulation):
    """A server that decodes under the grammar in one of its fields."""

    def ebnf(self, body: Mapping[str, Any]) -> str | None:
        raise NotImplementedError

    def chat(self, request: ServerRequest) -> ServerResponse:
        try:
            ebnf = self.ebnf(request.body)
            if ebnf is not None:
                DECODER.compile(ebnf)
        except (InputError, ValueError) as error:
            return refused(f"Failed to parse grammar: {error}", type="invalid_request_error")
        return super().chat(request)

    def text(self, body: Mapping[str, Any], index: int, limit: int) -> str:
        ebnf = self.ebnf(body)
        if ebnf is None:
            return super().text(body, index, limit)
        return decoded(ebnf, {**body, "seed": (body.get("seed") or 0) + index}, limit)


@dataclass
class VLLMEmulation(GrammarEmulation):
    """vLLM: ignores unknown fields, counts the tokens of messages."""

    name: ClassVar[str] = "vllm"

    def ebnf(self, body: Mapping[str, Any]) -> str | None:
        held: Mapping[str, Any] = body.get("structured_outputs") or {}
        return held.get("grammar")

    def other(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/tokenize":
            messages: Any = request.body["messages"]
            return ServerResponse(body={"count": len(str(messages))})
        return super().other(request)


@dataclass
class SGLangEmulation(GrammarEmulation):
    """SGLang: ignores unknown fields, counts the tokens of texts only."""

    name: ClassVar[str] = "sglang"

    def ebnf(self, body: Mapping[str, Any]) -> str | None:
        return body.get("ebnf")

    def other(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/tokenize":
            if "prompt" not in request.body:
                return refused("Field required: prompt", status=422)
            return ServerResponse(body={"count": len(str(request.body["prompt"]))})
        return super().other(request)


@dataclass
class LlamaCppEmulation(GrammarEmulation):
    """llama.cpp: takes GBNF, no tools beside it; says its context elsewhere than others."""

    name: ClassVar[str] = "llamacpp"

    def ebnf(self, body: Mapping[str, Any]) -> str | None:
        grammar = body.get("grammar")
        if grammar is not None:
            check_gbnf(grammar)
        return grammar

    def chat(self, request: ServerRequest) -> ServerResponse:
        if request.body.get("grammar") and request.body.get("tools"):
            return refused("Cannot use custom grammar constraints with tools.")
        return super().chat(request)

    def other(self, request: ServerRequest) -> ServerResponse:
        body: Mapping[str, Any] = request.body
        match request.path:
            case "/props":
                return ServerResponse(body={"default_generation_settings": {"n_ctx": self.context}})
            case "/apply-template":
                texts = [str(message["content"]) for message in body["messages"]]
                return ServerResponse(body={"prompt": "".join(texts)})
            case "/tokenize":
                return ServerResponse(body={"tokens": [*body["content"].encode()]})
            case _:
                return served_models("emulated")


@dataclass
class SchemaEmulation(Emulation):
    """A server that is given a JSON Schema; the reply is JSON as a model writes it, with spaces."""

    grammars: Mapping[str, Grammar[object]] = field(default_factory=lambda: GRAMMARS)
    strict: ClassVar[bool] = False

    def grammar_of(self, asked: Mapping[str, Any]) -> Grammar[object]:
        return next(
            grammar
            for grammar in self.grammars.values()
            if response_format(grammar.form, strict=self.strict) == asked
        )

    def text(self, body: Mapping[str, Any], index: int, limit: int) -> str:
        asked = body.get("response_format")
        if asked is None:
            return super().text(body, index, limit)
        grammar = self.grammar_of(asked)
        reply = decoded(grammar, body, limit - 20)
        value: Json = reply if grammar.form.plain else json.loads(reply)
        spaces = dict[str, Any](separators=(", ", ": ")) if len(reply) * 2 < limit else {}
        return json.dumps(
            {"reply": value} if is_wrapped(grammar.form) else value,
            ensure_ascii=False,
            **spaces or {"separators": (",", ":")},
        )


@dataclass
class OllamaEmulation(SchemaEmulation):
    """Ollama: ignores what it does not know, and cuts long prompts without saying so."""

    name: ClassVar[str] = "ollama"
    loaded: bool = False

    def other(self, request: ServerRequest) -> ServerResponse:
        match request.path:
            case "/api/generate":
                self.loaded = True
                return ServerResponse(body={"model": request.body["model"], "done": True})
            case "/api/ps":
                one: Json = {"name": "emulated:latest", "context_length": self.context}
                return ServerResponse(body={"models": [one] if self.loaded else []})
            case _:
                return served_models("emulated:latest")

    def chat(self, request: ServerRequest) -> ServerResponse:
        limit: Any = request.body.get("max_tokens")
        return self.answered(request, 5, limit or self.context)


@dataclass
class OpenAIEmulation(SchemaEmulation):
    """OpenAI: wants a key, refuses unknown fields and schemas outside its strict subset.

    Attributes:
        reasons: Whether the model is one that reasons: it takes neither `max_tokens` nor a
            temperature.
    """

    name: ClassVar[str] = "openai"
    strict: ClassVar[bool] = True
    reasons: bool = False

    def other(self, request: ServerRequest) -> ServerResponse:
        return served_models(*(f"model-{number}" for number in range(100)))

    def chat(self, request: ServerRequest) -> ServerResponse:
        body: Mapping[str, Any] = request.body
        if request.headers.get("authorization") != "Bearer sesame":
            return refused("You didn't provide an API key.", status=401)
        if unknown := [name for name in body if name not in _STANDARD]:
            return refused(f"Unrecognized request argument supplied: {unknown[0]}")
        for name in ("max_tokens", "temperature") if self.reasons else ():
            if name in body:
                return refused(
                    f"Unsupported parameter: {name!r} is not supported with this model.",
                    code="unsupported_parameter",
                    param=name,
                )
        asked = body.get("response_format")
        strict = asked["json_schema"] if asked else {"strict": False}
        if strict["strict"] and (wrong := outside_strict(strict["schema"], root=True)):
            return refused(f"Invalid schema for response_format 'reply': {wrong}")
        return super().chat(request)


@dataclass
class NativeEmulation(SchemaEmulation):
    """A server of OpenAI's API that knows tool calls, but no JSON Schema of a reply."""

    name: ClassVar[str] = "openai"

    def chat(self, request: ServerRequest) -> ServerResponse:
        if "response_format" in request.body:
            return refused("response_format: extra fields not permitted")
        return super().chat(request)

    def answered(self, request: ServerRequest, prompt: int, limit: int) -> ServerResponse:
        body: Mapping[str, Any] = request.body
        if not body.get("tools"):
            return super().answered(request, prompt, limit)
        assert body["tool_choice"] == "required"
        grammar = next(
            grammar
            for grammar in self.grammars.values()
            if native_tools(grammar.form) == body["tools"]
        )
        text = self.said(request, decoded(grammar, body, limit - 20))
        size = min(len(text.encode()) + 1, limit)
        finish = "tool_calls" if size < limit else "length"
        events: list[Json] = [{"model": body["model"], "choices": []}]
        events += [event(piece) for piece in _called(grammar, text)]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        usage: Json = {"prompt_tokens": prompt, "completion_tokens": size}
        events.append({"choices": [], "usage": usage})
        return ServerResponse(events=events)


def event(delta: Json) -> Json:
    """Return the event of a piece of a reply."""
    return {"choices": [{"index": 0, "delta": delta}]}


def _called(grammar: Grammar[object], text: str) -> list[Json]:
    """Return the pieces of the tool calls that stand for a reply."""
    if not grammar.form.functions:
        value: Json = text if grammar.form.plain else json.loads(text)
        wrapped: Json = {"reply": value} if is_wrapped(grammar.form) else value
        return [{"tool_calls": [_call(0, "reply", json.dumps(wrapped))]}]
    turn = json.loads(text)
    calls: list[Json] = [
        {"tool_calls": [_call(place, one["tool"], json.dumps(one["arguments"]))]}
        for place, one in enumerate(turn["calls"])
    ]
    return [{"content": turn["thought"]}, *calls]


def _call(place: int, name: str, arguments: str) -> Json:
    return {"index": place, "id": f"c{place}", "function": {"name": name, "arguments": arguments}}


def outside_strict(schema: Any, *, root: bool = False) -> str | None:
    """Return what is wrong with a strict schema, by OpenAI's rules."""
    if "$ref" in schema:
        return "$ref cannot have siblings" if len(schema) > 1 else None
    if root and schema.get("type") != "object":
        return "the root must be an object"
    for keyword in ("allOf", "oneOf", "not", "if", "minLength", "maxLength", "uniqueItems"):
        if keyword in schema:
            return f"{keyword!r} is not permitted"
    kinds = schema.get("type", [])
    if "object" in (kinds if isinstance(kinds, list) else [kinds]):
        if schema.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false"
        if schema.get("required") != list(schema.get("properties", {})):
            return "'required' must include every key in properties"
    elif not schema.keys() & {"type", "anyOf"}:
        return "schema must have a 'type' key"
    parts = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    parts += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return next((wrong for part in parts if (wrong := outside_strict(part))), None)
