"""Replies by a server's own tool calls, for servers that know no JSON Schema: pure functions.

Source: https://platform.openai.com/docs/guides/function-calling
"""

import json

from ragkit.core.reply_grammar import FunctionForm, JsonForm
from ragkit.core.types import Json, Reply, ToolCall
from ragkit.llm.openai.json_mode import root_schema, unwrapped


def native_tools(form: JsonForm) -> list[dict[str, Json]]:
    """Return the tools whose calls make a reply of this form, as a request names them.

    They are the form's functions; without any, one function whose arguments are the reply.
    """
    alone = FunctionForm(name="reply", description="Give your reply.", parameters=root_schema(form))
    return [
        {
            "type": "function",
            "function": {
                "name": one.name,
                "description": one.description,
                "parameters": dict(one.parameters),
            },
        }
        for one in form.functions or (alone,)
    ]


def called_text(reply: Reply, form: JsonForm) -> str:
    """Return the text that a reply's tool calls stand for; without calls, its own text."""
    if not reply.tool_calls:
        return unwrapped(reply.text, form)
    if not form.functions:
        return unwrapped(reply.tool_calls[0].arguments, form)
    calls: list[Json] = [
        {"tool": call.name, "arguments": _arguments(call)} for call in reply.tool_calls
    ]
    turn: Json = {"thought": reply.text, "calls": calls}
    return json.dumps(turn, ensure_ascii=False, separators=(",", ":"))


def _arguments(call: ToolCall) -> Json:
    """Return the arguments of a call; their text where it is no JSON, which no check lets pass."""
    try:
        found: Json = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return call.arguments
    return found
