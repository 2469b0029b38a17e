"""Tools: what an agent can do. `tool` makes one of a function."""

from ragkit.agents.tools.decorator import ToolOptions, tool
from ragkit.agents.tools.function import FunctionTool
from ragkit.agents.tools.signature import IdempotencyKey

__all__ = ["FunctionTool", "IdempotencyKey", "ToolOptions", "tool"]
