import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from ragkit.agents import react, run
from ragkit.agents.tools.mcp import McpTools, mcp_tools
from ragkit.core.errors import InputError, MissingExtraError, ProviderError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM
from ragkit.testing.tool_contract import ToolContract

COMMAND = (sys.executable, str(Path(__file__).with_name("mcp_server.py")))


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The test server over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*COMMAND, str(port)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
        process.kill()


def named(tools: McpTools, name: str) -> Tool:
    return next(tool for tool in tools if tool.name == name)


class TestMcpTool(ToolContract):
    one_loop = True
    tool: Tool

    @pytest_asyncio.fixture(autouse=True)
    async def _connect(self, url: str) -> AsyncIterator[None]:
        async with mcp_tools(url) as tools:
            self.tool = named(tools, "longest_river")
            yield

    def make_tool(self) -> Tool:
        return self.tool

    def arguments(self) -> Mapping[str, Json]:
        return {"continent": "Europe"}


async def test_a_server_is_started_asked_and_ended() -> None:
    async with mcp_tools(COMMAND) as tools:
        tool = named(tools, "longest_river")
        assert tool.description == "The longest rivers of a continent."
        result = await tool.call({"continent": "Europe", "top": 2}, key="k")
        volga, danube = {"name": "Volga", "km": 3530}, {"name": "Danube", "km": 2850}
        assert result.value == {"result": [volga, danube]}
        assert "Volga" in result.text
    with pytest.raises(ToolError):
        await tool.call({"continent": "Europe"}, key="k")


async def test_a_schema_that_no_grammar_holds_is_refused_by_name() -> None:
    async with mcp_tools(COMMAND) as tools:
        assert list(tools.refused) == ["odd"]
        assert "'$dynamicRef' at '/properties/value'" in tools.refused["odd"]
        names = {tool.name for tool in tools}
    assert names == {"longest_river", "river_rename_it", "wait", "stop"}
    with pytest.raises(InputError, match=r"MCP tool 'odd'.*dynamicRef"):
        async with mcp_tools(COMMAND, only=["odd"]):
            pass


async def test_permissions_follow_the_hints_and_the_configuration(url: str) -> None:
    async with mcp_tools(url) as tools:
        found = {tool.name: tool.permission for tool in tools}
        assert (found["longest_river"], found["river_rename_it"]) == ("read", "approve")
    async with mcp_tools(
        url, permission="write", permissions={"longest_river": "approve"}, prefix="r_"
    ) as tools:
        found = {tool.name: tool.permission for tool in tools}
        assert (found["r_longest_river"], found["r_wait"]) == ("approve", "write")
    with pytest.raises(InputError, match=r"no tool 'lakes'; it has \['longest_river'"):
        async with mcp_tools(url, only=["lakes"]):
            pass


async def test_names_are_made_fit_and_calls_keep_the_servers_own() -> None:
    async with mcp_tools(COMMAND, env={"WHO": "me"}, only=["river.rename-it"]) as (tool,):
        result = await tool.call({"name": "Rha"}, key="k")
    assert tool.name == "river_rename_it"
    assert result.text == "renamed to Rha by me (PATH True)"


async def test_errors_are_told_to_the_model(url: str) -> None:
    async with mcp_tools(url) as tools:
        tool = named(tools, "longest_river")
        with pytest.raises(ToolError, match="no rivers are known of Asia"):
            await tool.call({"continent": "Asia"}, key="k")
        with pytest.raises(ToolError, match=r"Wrong arguments: \$.top: 'many' is not of type"):
            await tool.call({"continent": "Europe", "top": "many"}, key="k")


async def test_calls_are_held_to_length(url: str) -> None:
    async with mcp_tools(url, only=["wait"], max_chars=200) as (tool,):
        result = await tool.call({"seconds": 0}, key="k")
        assert (len(result.text), result.trimmed) == (200, True)
        assert result.value == {"result": "x" * 1000}


async def test_calls_are_held_to_time(url: str) -> None:
    async with (
        mcp_tools(url, only=["wait"]) as (patient,),
        mcp_tools(url, only=["wait"], timeout_s=3) as (tool,),
    ):
        with pytest.raises(ToolError, match="no result within 3 s"):
            await tool.call({"seconds": 60}, key="k")
        assert (await patient.call({"seconds": 0}, key="k")).text


async def test_a_server_that_dies_fails_its_calls_and_nothing_else() -> None:
    async with mcp_tools(COMMAND) as tools:
        other = asyncio.ensure_future(named(tools, "wait").call({"seconds": 60}, key="1"))
        await asyncio.sleep(0.1)
        with pytest.raises(ToolError):
            await named(tools, "stop").call({}, key="2")
        with pytest.raises(ToolError):
            await other
        with pytest.raises(ToolError):
            await named(tools, "longest_river").call({"continent": "Europe"}, key="3")


async def test_an_error_of_the_users_own_comes_out_as_it_is(url: str) -> None:
    with pytest.raises(KeyError):
        async with mcp_tools(url):
            raise KeyError("mine")
    with pytest.raises(KeyError):
        async with mcp_tools(COMMAND):
            raise KeyError("mine")


@pytest.mark.parametrize(
    "server",
    [
        "http://127.0.0.1:9/mcp",
        ["no-such-command-at-all"],
        [sys.executable, "-c", "raise SystemExit"],
    ],
)
async def test_a_server_that_cannot_be_reached_is_named(server: str | list[str]) -> None:
    with pytest.raises(ProviderError, match=r"The MCP server .* cannot be reached"):
        async with mcp_tools(server, timeout_s=60):
            pass


async def test_a_silent_server_is_left_in_time() -> None:
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(ProviderError, match="does not answer in time"):
        async with mcp_tools(silent, timeout_s=0.5):
            pass


async def test_a_missing_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ragkit\[mcp\]"'):
        async with mcp_tools("http://127.0.0.1:9/mcp"):
            pass


async def test_an_unknown_option_is_refused() -> None:
    options: dict[str, object] = {"timeout": 3}
    with pytest.raises(InputError, match=r"no option 'timeout'\. Fix: use one of concurrency"):
        async with mcp_tools("http://127.0.0.1:9", **options):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            pass


async def test_what_a_server_says_about_its_tools_is_data_and_taints_the_thread(url: str) -> None:
    send = RecordingTool(name="send", permission="write")
    llm = ScriptedLLM([says_action("", ("send", {"text": "x"})), says_finish("No.")])
    async with mcp_tools(url, only=["longest_river"]) as tools:
        assert (await run(react(llm, [*tools, send]), "Q")).answer == "No."
    assert not send.calls
    system, asked = llm.calls[0].messages
    for text in ("The longest rivers of a continent.", "In English."):
        assert text not in system.content
        assert text in asked.content
    assert "- longest_river: described by its server" in system.content
