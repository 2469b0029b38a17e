"""Every name that traces use: OpenTelemetry's GenAI conventions and OpenInference's.

Both are still changing, so that no name stands anywhere else. docs/telemetry.md has these tables.

Sources: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and
https://arize-ai.github.io/openinference/spec/semantic_conventions.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ragkit.core.operation import Kind, Operation


class Name(NamedTuple):
    """An attribute in both conventions; empty where a convention has none."""

    genai: str
    openinference: str


@dataclass(frozen=True, slots=True)
class KindNames:
    """The names of a kind of operations.

    Attributes:
        operation: The value of `gen_ai.operation.name`, empty where GenAI has none.
        openinference: The value of `openinference.span.kind`.
        name: The fact that `Operation.name` is.
        span: The kind of the span in OpenTelemetry.
    """

    operation: str
    openinference: str
    name: str = "stage"
    span: Literal["internal", "client", "server"] = "internal"


OPERATION = Name("gen_ai.operation.name", "openinference.span.kind")
ERROR = "error.type"

KINDS: Mapping[Kind, KindNames] = {
    "request": KindNames("", "CHAIN", "route", "server"),
    "answer": KindNames("invoke_workflow", "CHAIN"),
    "search": KindNames("retrieval", "RETRIEVER"),
    "search stage": KindNames("", "CHAIN"),
    "model call": KindNames("chat", "LLM", "model", "client"),
    "pooling call": KindNames("", "CHAIN", "model", "client"),
    "grammar": KindNames("", "CHAIN"),
    "agent": KindNames("invoke_agent", "AGENT", "agent"),
    "agent step": KindNames("", "CHAIN"),
    "tool": KindNames("execute_tool", "TOOL", "tool"),
    "ingestion": KindNames("", "CHAIN"),
    "ingestion stage": KindNames("", "CHAIN"),
}
STAGES: Mapping[tuple[Kind, str], KindNames] = {
    ("search stage", "embed"): KindNames("embeddings", "EMBEDDING"),
    ("search stage", "rerank"): KindNames("", "RERANKER"),
    ("ingestion stage", "embed"): KindNames("embeddings", "EMBEDDING"),
    ("agent step", "planner"): KindNames("plan", "CHAIN"),
}
"""Stages that have names of their own."""

FACTS: Mapping[str, Name] = {
    "route": Name("http.route", "http.route"),
    "method": Name("http.request.method", "http.request.method"),
    "status": Name("http.response.status_code", "http.response.status_code"),
    "request_id": Name("ragkit.request.id", "ragkit.request.id"),
    "stage": Name("ragkit.stage", "ragkit.stage"),
    "model": Name("gen_ai.request.model", "llm.model_name"),
    "response_model": Name("gen_ai.response.model", ""),
    "provider": Name("gen_ai.provider.name", "llm.provider"),
    "max_tokens": Name("gen_ai.request.max_tokens", ""),
    "temperature": Name("gen_ai.request.temperature", ""),
    "top_p": Name("gen_ai.request.top_p", ""),
    "top_k": Name("gen_ai.request.top_k", ""),
    "seed": Name("gen_ai.request.seed", ""),
    "n": Name("gen_ai.request.choice.count", ""),
    "prompt_tokens": Name("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "cached_tokens": Name(
        "gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"
    ),
    "completion_tokens": Name("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "usage_estimated": Name("ragkit.usage.estimated", "ragkit.usage.estimated"),
    "finish_reason": Name("gen_ai.response.finish_reasons", ""),
    "first_token_s": Name("gen_ai.response.time_to_first_chunk", ""),
    "token_s": Name("ragkit.time_per_output_token", "ragkit.time_per_output_token"),
    "cache_hit": Name("ragkit.cache.hit", "ragkit.cache.hit"),
    "grammar_bytes": Name("ragkit.grammar.bytes", "ragkit.grammar.bytes"),
    "hits": Name("ragkit.retrieval.hits", "ragkit.retrieval.hits"),
    "abstained": Name("ragkit.answer.abstained", "ragkit.answer.abstained"),
    "conversation": Name("gen_ai.conversation.id", "session.id"),
    "agent": Name("gen_ai.agent.name", "agent.name"),
    "step": Name("ragkit.agent.step", "ragkit.agent.step"),
    "steps": Name("ragkit.agent.steps", "ragkit.agent.steps"),
    "stopped_by": Name("ragkit.agent.stopped_by", "ragkit.agent.stopped_by"),
    "tool": Name("gen_ai.tool.name", "tool.name"),
    "call": Name("gen_ai.tool.call.id", "tool_call.id"),
    "failed": Name("ragkit.failed", "ragkit.failed"),
    "documents": Name("ragkit.documents", "ragkit.documents"),
    "chunks": Name("ragkit.chunks", "ragkit.chunks"),
    "added": Name("ragkit.documents.added", "ragkit.documents.added"),
    "updated": Name("ragkit.documents.updated", "ragkit.documents.updated"),
    "unchanged": Name("ragkit.documents.unchanged", "ragkit.documents.unchanged"),
    "deleted": Name("ragkit.documents.deleted", "ragkit.documents.deleted"),
    "failed_documents": Name("ragkit.documents.failed", "ragkit.documents.failed"),
    "dry_run": Name("ragkit.dry_run", "ragkit.dry_run"),
}
"""Numbers and names, which are always recorded."""

CONTENT: Mapping[str, Name] = {
    "messages": Name("gen_ai.input.messages", "llm.input_messages"),
    "reply": Name("gen_ai.output.messages", "llm.output_messages"),
    "query": Name("gen_ai.retrieval.query.text", "input.value"),
    "documents": Name("gen_ai.retrieval.documents", "retrieval.documents"),
    "question": Name("ragkit.question", "input.value"),
    "answer": Name("ragkit.answer", "output.value"),
    "arguments": Name("gen_ai.tool.call.arguments", "input.value"),
    "result": Name("gen_ai.tool.call.result", "output.value"),
    "document": Name("ragkit.document.uri", "ragkit.document.uri"),
}
"""Texts of users, models and documents, which are recorded by choice."""


def names_of(operation: Operation) -> KindNames:
    """Return the names of an operation's kind or stage."""
    return STAGES.get((operation.kind, operation.name)) or KINDS[operation.kind]


def span_name(operation: Operation) -> str:
    """Return the name of an operation's span, such as `chat MODEL` or `search stage fusion`."""
    known = names_of(operation)
    return f"{known.operation or operation.kind} {operation.name}".rstrip()
