"""Tools: what an agent can do. `tool` makes one of a function; the others are ready to use."""

from ragkit.agents.tools.arithmetic import calculator
from ragkit.agents.tools.decorator import ToolOptions, tool
from ragkit.agents.tools.documents import Searcher, search_documents
from ragkit.agents.tools.finish import finish
from ragkit.agents.tools.function import FunctionTool
from ragkit.agents.tools.mcp import McpTools, mcp_tools
from ragkit.agents.tools.sandbox import python
from ragkit.agents.tools.selection import Selection, ToolSelector
from ragkit.agents.tools.signature import IdempotencyKey
from ragkit.agents.tools.sqlite import sql
from ragkit.agents.tools.web import http_get

__all__ = [
    "FunctionTool",
    "IdempotencyKey",
    "McpTools",
    "Searcher",
    "Selection",
    "ToolOptions",
    "ToolSelector",
    "calculator",
    "finish",
    "http_get",
    "mcp_tools",
    "python",
    "search_documents",
    "sql",
    "tool",
]
