"""Tools made of typed functions: the decorator, the schema, the limits and the results."""

from ragkit.agents.tools.function.tool import FunctionTool, IdempotencyKey, ToolOptions, tool

__all__ = ["FunctionTool", "IdempotencyKey", "ToolOptions", "tool"]
