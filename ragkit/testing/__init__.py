"""Doubles for tests, and the contract suites that every implementation of a protocol passes.

A contract suite is a class to subclass in your own tests; it needs pytest, pytest-asyncio and
hypothesis.
"""

from typing import TYPE_CHECKING

from ragkit.core.exports import lazy_exports

if TYPE_CHECKING:
    from ragkit.testing.agents import RecordingTool, refers_to, says_action, says_plan
    from ragkit.testing.embedder import HashEmbedder
    from ragkit.testing.embedder_contract import EmbedderContract
    from ragkit.testing.faulty_proxy import FaultyProxy
    from ragkit.testing.index_contract import IndexContract
    from ragkit.testing.llm import FailingLLM, ScriptedCall, ScriptedLLM, random_replies
    from ragkit.testing.llm_contract import LLMContract
    from ragkit.testing.model_server import EmulatedModelServer
    from ragkit.testing.tool_contract import ToolContract

_EXPORTS = {
    "ragkit.testing.agents": ("RecordingTool", "refers_to", "says_action", "says_plan"),
    "ragkit.testing.embedder": ("HashEmbedder",),
    "ragkit.testing.embedder_contract": ("EmbedderContract",),
    "ragkit.testing.faulty_proxy": ("FaultyProxy",),
    "ragkit.testing.index_contract": ("IndexContract",),
    "ragkit.testing.llm": ("FailingLLM", "ScriptedCall", "ScriptedLLM", "random_replies"),
    "ragkit.testing.llm_contract": ("LLMContract",),
    "ragkit.testing.model_server": ("EmulatedModelServer",),
    "ragkit.testing.tool_contract": ("ToolContract",),
}

__all__ = [
    "EmbedderContract",
    "EmulatedModelServer",
    "FailingLLM",
    "FaultyProxy",
    "HashEmbedder",
    "IndexContract",
    "LLMContract",
    "RecordingTool",
    "ScriptedCall",
    "ScriptedLLM",
    "ToolContract",
    "random_replies",
    "refers_to",
    "says_action",
    "says_plan",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
