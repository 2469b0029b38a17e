import pytest
from pydantic import BaseModel, ValidationError

from ragkit.core.protocols import CallOptions
from ragkit.core.types import Json, Message
from ragkit.llm import VLLM
from ragkit.llm.openai.wire import (
    ChoiceBody,
    ChunkBody,
    DeltaBody,
    ModelsBody,
    ToolCallPiece,
    UsageBody,
    request_body,
)

MESSAGES = (Message(role="system", content="S"), Message(role="user", content="Ü 🐺"))


def body(
    options: CallOptions,
    *,
    held: dict[str, Json] | None = None,
    extra: dict[str, Json] | None = None,
) -> dict[str, Json]:
    return request_body(
        "m", MESSAGES, options, fields=VLLM.fields, held=held or {}, extra=extra or {}
    )


def test_the_least_request_holds_model_messages_and_streaming() -> None:
    assert body({}) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Ü 🐺"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_option_has_its_field() -> None:
    options = CallOptions(
        temperature=0.0, top_p=0.9, top_k=5, min_p=0.1, repetition_penalty=1.1, seed=7, n=2
    )
    sent = body({**options, "stop": ("a", "b"), "logprobs": 3, "timeout_s": 9, "max_tokens": 11})
    assert {name: sent[name] for name in options} == dict(options)
    assert sent["stop"] == ["a", "b"]
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 3)
    assert sent["max_tokens"] == 11
    assert "timeout_s" not in sent


def test_a_grammar_and_further_fields_are_sent() -> None:
    held: dict[str, Json] = {"ebnf": 'root ::= "x"'}
    sent = body({"seed": None}, held=held, extra={"chat_template_kwargs": {"a": 1}})
    assert sent["ebnf"] == 'root ::= "x"'
    assert sent["chat_template_kwargs"] == {"a": 1}
    assert "seed" not in sent


def test_an_option_wins_over_a_further_field() -> None:
    assert body({"temperature": 0.5}, extra={"temperature": 1.0})["temperature"] == 0.5


def test_chunks_are_read_with_fields_left_out_or_null() -> None:
    chunk = ChunkBody.model_validate_json(
        '{"choices": [{"delta": {"content": null}, "finish_reason": "stop"}], "new": 1}'
    )
    assert chunk.choices is not None
    (choice,) = chunk.choices
    assert choice.delta is not None
    assert choice.delta.content is None
    assert choice.finish_reason == "stop"
    assert chunk.usage is None


@pytest.mark.parametrize("kind", [ChunkBody, ChoiceBody, DeltaBody, ToolCallPiece, UsageBody])
def test_a_null_is_as_good_as_a_field_left_out(kind: type[BaseModel]) -> None:
    assert kind.model_validate(dict.fromkeys(kind.model_fields)) == kind()


def test_a_server_without_models_is_refused() -> None:
    with pytest.raises(ValidationError):
        ModelsBody.model_validate_json('{"data": []}')


TOOL: dict[str, Json] = {"type": "function", "function": {"name": "stock", "parameters": {}}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ("stock", {"type": "function", "function": {"name": "stock"}}),
    ],
)
def test_tools_are_sent_with_their_choice(choice: str, sent: Json) -> None:
    found = body({"tools": [TOOL], "tool_choice": choice})
    assert (found["tools"], found["tool_choice"]) == ([TOOL], sent)


def test_tools_alone_are_a_free_choice() -> None:
    assert body({"tools": [TOOL]})["tool_choice"] == "auto"
    assert "tool_choice" not in body({})
