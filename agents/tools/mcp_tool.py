"""`McpTool`: one tool of an MCP server."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ragkit.agents.tools.results import tool_result, trimmed
from ragkit.agents.tools.runner import Policy, Runner
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json, Permission, ToolResult
from ragkit.grammar import json_grammar

if TYPE_CHECKING:
    import mcp
    from mcp.types import CallToolResult, ContentBlock

_LONGEST_DESCRIPTION = 4000
_COMPLAINTS = 5
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf")


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A `Tool` whose calls a server answers; `remote` is the server's own name for it."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    remote: str
    runner: Runner
    _client: "mcp.Client"

    @property
    def permission(self) -> Permission:
        """What it may do."""
        return self.runner.policy.permission

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`; the protocol has no place for the key.

        Raises:
            ToolError: The arguments are wrong, the server refused or failed, or took too long.
        """
        if complaints := _complaints(self.parameters, arguments):
            raise ToolError(f"Wrong arguments: {'; '.join(complaints)}")

        async def ask() -> ToolResult:
            return await self._asked(dict(arguments))

        result = await self.runner.run(ask, asynchronous=True)
        return tool_result(result, max_chars=self.runner.policy.max_chars)

    async def _asked(self, arguments: dict[str, Any]) -> ToolResult:
        import mcp

        try:
            result = await self._client.call_tool(self.remote, arguments)
        except mcp.MCPError as error:
            raise ToolError(f"The server of {self.name!r} failed: {error.message}") from error
        if result.is_error:
            raise ToolError(_text(result.content) or f"{self.name!r} failed and does not say why.")
        return _read(result, self.runner.policy.max_chars)


def mcp_tool(client: "mcp.Client", item: "mcp.Tool", policy: Policy, *, prefix: str) -> McpTool:
    """A tool of a server.

    Raises:
        InputError: Its schema cannot be decoded under a grammar; names tool, keyword and place.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"{prefix}{item.name}")[:64]
    schema = _closed(item.input_schema)
    try:
        json_grammar(schema)
    except InputError as error:
        raise InputError(f"The MCP tool {item.name!r} is refused: {error}") from error
    about = (item.description or item.title or "").strip() or f"The tool {item.name}."
    return McpTool(
        name=name,
        description=trimmed(about, _LONGEST_DESCRIPTION)[0],
        parameters=schema,
        remote=item.name,
        runner=Runner.of(policy),
        _client=client,
    )


def _complaints(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> list[str]:
    from jsonschema import Draft202012Validator

    validator: Any = Draft202012Validator(dict(schema))  # jsonschema is partly untyped
    errors: Any = validator.iter_errors(dict(arguments))
    return sorted(f"{error.json_path}: {error.message:.200}" for error in errors)[:_COMPLAINTS]


def _closed(schema: Mapping[str, Any]) -> dict[str, Json]:
    # A model is only ever offered the declared arguments, so no others are accepted either.
    closed: dict[str, Json] = {**schema, "type": "object"}
    if not any(keyword in schema for keyword in _OPEN):
        closed |= {"properties": schema.get("properties", {}), "additionalProperties": False}
    return closed


def _read(result: "CallToolResult", max_chars: int) -> ToolResult:
    text = _text(result.content)
    structured = cast(Json, result.structured_content)
    value: Json = text if structured is None else structured
    return tool_result(value, max_chars=max_chars, text=text or None)


def _text(content: Iterable["ContentBlock"]) -> str:
    return "\n".join(_shown(block) for block in content)


def _shown(block: "ContentBlock") -> str:
    if block.type == "text":
        return block.text
    if block.type == "resource":
        return str(getattr(block.resource, "text", f"[resource {block.resource.uri}]"))
    return f"[{block.type.replace('_', ' ')}, which cannot be shown]"
