"""Tools of an agent: `tool` makes one of a function; the others are ready to use."""

from ragkit.agents.tools.calculator import calculator
from ragkit.agents.tools.documents import Searcher, search_documents
from ragkit.agents.tools.function import FunctionTool, IdempotencyKey, ToolOptions, tool
from ragkit.agents.tools.langchain import langchain_tools
from ragkit.agents.tools.mcp import McpTools, mcp_tools
from ragkit.agents.tools.memories import memory_tools
from ragkit.agents.tools.python_interpreter import python
from ragkit.agents.tools.selection import ToolSelection, ToolSelector
from ragkit.agents.tools.sql import sql
from ragkit.agents.tools.web import http_get

__all__ = [
    "FunctionTool",
    "IdempotencyKey",
    "McpTools",
    "Searcher",
    "ToolOptions",
    "ToolSelection",
    "ToolSelector",
    "calculator",
    "http_get",
    "langchain_tools",
    "mcp_tools",
    "memory_tools",
    "python",
    "search_documents",
    "sql",
    "tool",
]
