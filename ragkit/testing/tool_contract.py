"""The contract of `Tool`, as a test suite to subclass.

```python
class TestMyTool(ToolContract):
    def make_tool(self):
        return my_tool

    def arguments(self):
        return {"city": "Oslo"}
```
"""

# ruff: noqa: D102 - a test's name says the behaviour

import asyncio
import copy
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import pytest

from ragkit.core.errors import ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult
from ragkit.grammar import Action, Grammar, ToolSpec, action_grammar
from ragkit.testing.llm import ScriptedLLM, random_replies

_RANDOM_CALLS = 12


class ToolContract(ABC):
    """Tests of `Tool`; `make_tool` is called for each test."""

    one_loop: ClassVar[bool] = False
    """True where the tool works on one event loop only, as one that holds a connection does."""

    @abstractmethod
    def make_tool(self) -> Tool:
        """Make the tool under test, without effects outside the test."""

    @abstractmethod
    def arguments(self) -> Mapping[str, Json]:
        """Return arguments of a call that always succeeds."""

    def test_its_name_is_one_that_a_grammar_can_hold(self) -> None:
        tool = self.make_tool()
        assert re.fullmatch(r"[A-Za-z0-9_]{1,64}", tool.name)

    def test_it_says_what_it_does(self) -> None:
        assert len(self.make_tool().description.split()) > 1

    def test_its_permission_is_known(self) -> None:
        assert self.make_tool().permission in ("read", "write", "approve")

    def test_its_schema_is_an_object_in_json(self) -> None:
        schema = dict(self.make_tool().parameters)
        assert json.loads(json.dumps(schema, allow_nan=False)) == schema
        assert schema["type"] == "object"

    def test_the_grammar_of_its_calls_holds_a_call_that_succeeds(self) -> None:
        tool = self.make_tool()
        wanted = {"tool": tool.name, "arguments": dict(self.arguments())}
        text = json.dumps({"thought": "", "calls": [wanted]})
        (call,) = _grammar(tool).parse(text).calls
        assert (call.tool, call.arguments) == (tool.name, self.arguments())

    async def test_a_call_gives_a_text_and_a_json_value(self) -> None:
        result = await self.make_tool().call(self.arguments(), key="call-1")
        assert isinstance(result, ToolResult)
        assert result.text
        result.text.encode()
        assert json.loads(json.dumps(result.value, allow_nan=False)) == result.value

    async def test_a_call_leaves_its_arguments_as_they_were(self) -> None:
        given_arguments = dict(self.arguments())
        before = copy.deepcopy(given_arguments)
        await self.make_tool().call(given_arguments, key="call-1")
        assert given_arguments == before

    async def test_an_unknown_argument_is_refused_by_name(self) -> None:
        arguments = {**self.arguments(), "no_such_argument": 1}
        with pytest.raises(ToolError, match="no_such_argument"):
            await self.make_tool().call(arguments, key="call-1")

    async def test_missing_arguments_are_refused_by_name(self) -> None:
        tool = self.make_tool()
        required = tool.parameters.get("required", [])
        if not required:
            await tool.call({}, key="call-1")
            return
        assert isinstance(required, list)
        with pytest.raises(ToolError, match=str(required[0])):
            await tool.call({}, key="call-1")

    async def test_an_argument_of_the_wrong_type_is_refused(self) -> None:
        tool, arguments = self.make_tool(), dict(self.arguments())
        wrong: Json = {"an": {"object": ["that", "nothing", "takes"]}}
        for name in arguments:
            with pytest.raises(ToolError, match=name):
                await tool.call({**arguments, name: wrong}, key="call-1")

    async def test_calls_run_side_by_side(self) -> None:
        tool = self.make_tool()
        calls = (tool.call(self.arguments(), key=f"call-{number}") for number in range(4))
        results = await asyncio.gather(*calls)
        assert all(result.text for result in results)

    async def test_a_failed_call_leaves_the_next_one_unharmed(self) -> None:
        tool = self.make_tool()
        with pytest.raises(ToolError):
            await tool.call({"no_such_argument": 1}, key="call-1")
        assert (await tool.call(self.arguments(), key="call-2")).text

    async def test_a_cancelled_call_leaves_the_next_one_unharmed(self) -> None:
        tool = self.make_tool()
        call = asyncio.ensure_future(tool.call(self.arguments(), key="call-1"))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})
        assert (await tool.call(self.arguments(), key="call-2")).text

    def test_one_tool_serves_several_event_loops(self) -> None:
        if self.one_loop:
            pytest.skip("it lives on one loop")
        tool = self.make_tool()
        for number in range(2):
            assert asyncio.run(tool.call(self.arguments(), key=f"call-{number}")).text

    @pytest.mark.parametrize("seed", range(_RANDOM_CALLS))
    async def test_whatever_the_grammar_allows_gives_a_result_or_a_tool_error(
        self, seed: int
    ) -> None:
        tool = self.make_tool()
        grammar = _grammar(tool)
        reply = await ScriptedLLM(random_replies(seed)).complete("call", grammar=grammar)
        (call,) = grammar.parse(reply.text).calls
        said: object
        try:
            said = (await tool.call(call.arguments, key="call-1")).value
        except ToolError as error:
            said = str(error) or pytest.fail("it failed without saying why")
        json.dumps(said, allow_nan=False)


def _grammar(tool: Tool) -> Grammar[Action]:
    spec = ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
    return action_grammar([spec], max_calls=1)
