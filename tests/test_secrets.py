"""No secret of a setting is seen anywhere, whatever a server answers.

Every setting that can hold a secret gets a marker of its own. Then every call to a server fails in
every way, and whatever a person or a log collector could see is searched for the markers.
"""

import asyncio
import base64
import contextlib
import importlib
import json
import logging
import socket
import threading
import traceback
import types
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, SecretStr
from typer.testing import CliRunner

from ragkit import AsyncRAG, RagkitError, Settings
from ragkit.cli.doctor import examine
from ragkit.cli.main import app
from ragkit.core.errors import ConfigError
from ragkit.core.secrets import Secrets, without_credentials
from ragkit.core.settings import EmbedderSettings, IndexSettings, LLMSettings, RerankerSettings
from ragkit.index.build import build_index
from ragkit.llm.build import build_llm
from ragkit.models.build import build_embedder, build_reranker
from ragkit.testing.index_examples import IDENTITY
from ragkit.ui.doctor import index_check
from ragkit.ui.settings_view import setting_rows

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]

URLS = {
    ("index", "location"),
    ("telemetry", "endpoint"),
    *((section, "model") for section in ("embedder", "reranker", "llm")),
}
"""Settings of text that may be a URL, with a user and a password."""
NO_SECRETS = {
    ("tenant",), ("index", "collection"), ("index", "language"), ("embedder", "rotation"),
    ("embedder", "query_prompt"), ("embedder", "passage_prompt"), ("embedder", "device"),
    ("reranker", "device"), ("ingest", "encoding"), ("ingest", "ocr"), ("llm", "device"),
    ("telemetry", "service"), ("ingest", "ray", "address"),
}  # fmt: skip
"""Other settings of text."""
Answer = Literal["401", "500", "plain 500", "echo 200", "stream", "refused", "slow"]
ANSWERS: tuple[Answer, ...] = typing.get_args(Answer)


def marker(*path: str) -> str:
    return f"MARK-{'-'.join(path)}"


def text_settings(model: type[BaseModel], *path: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the path of every setting that holds text, and whether it is a secret by its type."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if "SecretStr" in str(kind):
            yield (*path, name), True
        elif _holds_text(kind):
            yield (*path, name), False
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from text_settings(kind, *path, name)


def _holds_text(kind: object) -> bool:
    if typing.get_origin(kind) in {typing.Union, types.UnionType, typing.Annotated}:
        return any(map(_holds_text, typing.get_args(kind)))
    return kind is str


SECRETS = {path for path, secret in text_settings(Settings) if secret}


def test_every_setting_of_text_is_a_secret_or_known_to_be_none() -> None:
    texts = {path for path, secret in text_settings(Settings) if not secret}
    assert texts == URLS | NO_SECRETS
    sections = ("index", "embedder", "reranker", "llm", "telemetry")
    assert {(section, "api_key") for section in sections} == SECRETS


def settings_for(url: str, *, grpc_port: int | None = None) -> Settings:
    """Settings with a marker in every place that can hold a secret, all for one server."""
    address = {path: url.replace("://", f"://user:{marker(*path)}@") for path in URLS}
    keys = {path[0]: SecretStr(marker(*path)) for path in SECRETS}
    return Settings(
        index=IndexSettings(
            location=address["index", "location"],
            api_key=keys["index"],
            grpc_port=grpc_port,
            timeout_s=1,
            retry_s=0,
        ),
        embedder=EmbedderSettings(
            model=f"vllm:{address['embedder', 'model']}", api_key=keys["embedder"], timeout_s=0.3
        ),
        reranker=RerankerSettings(
            model=f"vllm:{address['reranker', 'model']}", api_key=keys["reranker"], timeout_s=0.3
        ),
        llm=LLMSettings(
            model=f"vllm:{address['llm', 'model']}#m", api_key=keys["llm"], timeout_s=0.3
        ),
    )


MARKERS = [marker(*path) for path in sorted(SECRETS | URLS)]
ENCODED = [base64.b64encode(f"user:{one}".encode()).decode() for one in MARKERS]


def check_clean(seen: str) -> None:
    """Fail where a marker, or a part of its encoded form, is in a text."""
    found = [one for one in (*MARKERS, *ENCODED) if one in seen]
    position = seen.find(found[0]) if found else 0
    assert not found, f"{found} in {seen[max(0, position - 300) : position + 300]!r}"


class Echo(BaseHTTPRequestHandler):
    """Answers with all that a request told: its headers and its path."""

    answer: Answer = "401"
    stop = threading.Event()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer()

    def _answer(self) -> None:
        told = f"{self.path} {dict(self.headers)}"
        decoded = self.headers.get("authorization", "").removeprefix("Basic ")
        with contextlib.suppress(ValueError):
            told += base64.b64decode(decoded).decode(errors="replace")
        if self.answer == "slow":
            self.stop.wait(20)
            return
        if self.answer == "stream" and self.path.endswith("/models"):
            self._send(200, json.dumps({"data": [{"id": "m", "max_model_len": 1000}]}))
        elif self.answer == "stream":
            error = json.dumps({"error": {"message": told, "code": 500}})
            self._send(200, f"data: {error}\n\n", "text/event-stream")
        elif self.answer == "echo 200":
            self._send(200, json.dumps({"data": told, "result": told, "results": [told]}))
        elif self.answer == "plain 500":
            self._send(500, told, "text/plain")
        else:
            body = {"error": {"message": told}, "status": {"error": told}, "detail": told}
            self._send(int(self.answer), json.dumps(body))

    def _send(self, status: int, body: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@contextlib.contextmanager
def served(answer: Answer) -> Generator[str]:
    """A server that answers so, or a port that nobody listens on."""
    if answer == "refused":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{closed.getsockname()[1]}"
        return
    stop = threading.Event()
    handler = type("Handler", (Echo,), {"answer": answer, "stop": stop})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


GRPC: Any = importlib.import_module("grpc")  # Any: it has no types


@contextlib.contextmanager
def served_by_grpc(code: str) -> Generator[int]:
    """A gRPC server whose every answer is an error that tells the metadata of the request."""

    def refuse(_: bytes, context: Any) -> None:
        context.abort(GRPC.StatusCode[code], str(dict(context.invocation_metadata())))

    method = GRPC.unary_unary_rpc_method_handler(refuse)

    def service(*_: object) -> object:
        return method

    handler = type("Refusing", (GRPC.GenericRpcHandler,), {"service": service})
    server = GRPC.server(ThreadPoolExecutor(2), handlers=[handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


def told_by(error: BaseException) -> str:
    """What a person or a log collector could see of an error."""
    rendered = "".join(traceback.format_exception(error))
    return "\n".join((rendered, str(error), repr(error), repr(error.args), repr(vars(error))))


async def use_index(settings: Settings) -> None:
    await build_index(settings.index, IDENTITY)


async def use_remote_index(settings: Settings) -> None:
    location = f"ragkit:{settings.index.location}"
    await build_index(settings.index.model_copy(update={"location": location}), IDENTITY)


async def use_embedder(settings: Settings) -> None:
    await build_embedder(settings.embedder).embed(["a text"])


async def use_reranker(settings: Settings) -> None:
    reranker = build_reranker(settings.reranker)
    assert reranker is not None
    await reranker.rerank("a query", ["a passage"])


async def use_llm(settings: Settings) -> None:
    llm = build_llm(settings.llm)
    try:
        await llm.complete("Say yes.")
    finally:
        await llm.close()


async def use_llm_facts(settings: Settings) -> None:
    llm = build_llm(settings.llm)
    try:
        await llm.context_tokens()
    finally:
        await llm.close()


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


USES = (use_index, use_remote_index, use_embedder, use_reranker, use_llm, use_llm_facts)
FAILING = [(use, answer) for use in USES for answer in ANSWERS]
FAILING.remove((use_llm_facts, "stream"))  # which is a good answer


@pytest.mark.parametrize(("use", "answer"), FAILING)
def test_a_failing_server_makes_no_secret_seen(
    use: Callable[[Settings], Any], answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with served(answer) as url:
        settings = settings_for(url)
        with pytest.raises(RagkitError) as raised:
            asyncio.run(use(settings))
    seen = told_by(raised.value)
    logging.getLogger("a.program").error("It failed.", exc_info=raised.value)
    check_clean(seen + caplog.text)
    assert url.removeprefix("http://") in seen, "the server is named"


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "INTERNAL", "UNKNOWN"])
def test_a_failing_server_makes_no_secret_seen_over_grpc(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with served_by_grpc(code) as port:
        settings = settings_for(f"http://127.0.0.1:{port}", grpc_port=port)
        with pytest.raises(RagkitError) as raised:
            asyncio.run(use_index(settings))
    check_clean(told_by(raised.value) + caplog.text)


def test_settings_and_objects_show_no_secret() -> None:
    settings = settings_for("http://127.0.0.1:9")
    rag = AsyncRAG(settings)
    parts = (build_embedder(settings.embedder), build_reranker(settings.reranker))
    seen = [repr(one) for one in (settings, rag, *parts, build_llm(settings.llm))]
    seen += [
        str(settings),
        repr(vars(rag)),
        settings.model_dump_json(),
        repr(setting_rows(settings)),
    ]
    seen += [repr(index_check(settings, 3, "")), repr(index_check(settings, None, ""))]
    check_clean("\n".join(seen))
    assert "127.0.0.1:9" in repr(settings)


@pytest.mark.parametrize("answer", ["401", "refused"])
def test_doctor_shows_no_secret(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with served(answer) as url:
        checks = asyncio.run(examine(settings_for(url)))
    assert {check.name for check in checks if check.status == "failed"} >= {"index", "llm"}
    check_clean(repr(checks) + caplog.text)


def variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    found: dict[str, str] = {}
    for path in SECRETS | URLS:
        value: object = settings
        for name in path:
            value = getattr(value, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        found["RAGKIT_" + "__".join(path).upper()] = text
    return {**found, "RAGKIT_INDEX__RETRY_S": "0", "RAGKIT_EMBEDDER__TIMEOUT_S": "0.3"}


COMMANDS = [
    ["search", "wolf"],
    ["ask", "Who?"],
    ["ingest", "docs"],
    ["list"],
    ["stats"],
    ["verify"],
    ["doctor"],
    ["agent", "Who?"],
]


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_command_line_shows_no_secret(
    command: list[str],
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("wolf")
    with served("500") as url:
        for name, value in variables(settings_for(url)).items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, [*command, *(["--json"] if as_json else [])])
    assert result.exit_code != 0, result.output
    check_clean(result.output + caplog.text)


BAD: list[Mapping[str, str]] = [
    {"RAGKIT_INDEX__APIKEY": marker("index", "api_key")},
    {"RAGKIT_INDEX__API_KEY__X": marker("index", "api_key")},
    {"RAGKIT_INDEX": json.dumps({"api_key": [marker("index", "api_key")]})},
    {"RAGKIT_INDEX": marker("index", "api_key")},
    {"RAGKIT_APIKEY": marker("index", "api_key")},
    {"RAGKIT_EMBEDDER__MODEL": f"vlm:http://user:{marker('embedder', 'model')}@host"},
    {"RAGKIT_RERANKER__MODEL": f"vlm:http://user:{marker('reranker', 'model')}@host"},
    {"RAGKIT_LLM__MODEL": f"vlm:http://user:{marker('llm', 'model')}@host"},
    {"RAGKIT_INDEX__LOCATION": f"http://user:{marker('index', 'location')}@host:port"},
    {"RAGKIT_RETRIEVAL__FUSION": f"http://user:{marker('llm', 'model')}@host"},
]


@pytest.mark.parametrize("names", BAD, ids=lambda names: next(iter(names)))
def test_a_wrong_setting_is_named_and_its_secret_is_not(
    names: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    async def use() -> None:
        settings = Settings.load()
        build_embedder(settings.embedder)
        build_reranker(settings.reranker)
        if settings.llm.model:
            build_llm(settings.llm)
        await build_index(settings.index, IDENTITY)

    with pytest.raises(RagkitError) as raised:
        asyncio.run(use())
    check_clean(told_by(raised.value) + caplog.text)
    result = CliRunner().invoke(app, ["search", "wolf", "--llm", "vllm:http://h"])
    check_clean(result.output)


@pytest.mark.parametrize("answer", ["401", "echo 200"])
def test_credentials_in_a_url_are_sent(answer: Answer) -> None:
    """They are kept out of sight, and used."""
    sent: list[str] = []

    class Listening(Echo):
        def _answer(self) -> None:
            sent.append(f"{self.headers.get('authorization')} {self.headers.get('api-key')}")
            super()._answer()

    Listening.answer = answer
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    url = f"http://user:p%40ss@127.0.0.1:{server.server_address[1]}"
    wanted = "Basic " + base64.b64encode(b"user:p@ss").decode()
    try:
        for use, settings in (
            (use_remote_index, Settings(index=IndexSettings(location=url, retry_s=0))),
            (use_index, Settings(index=IndexSettings(location=url, retry_s=0))),
            (use_embedder, Settings(embedder=EmbedderSettings(model=f"vllm:{url}"))),
            (use_llm_facts, Settings(llm=LLMSettings(model=f"vllm:{url}#m"))),
        ):
            sent.clear()
            with pytest.raises(RagkitError):
                asyncio.run(use(settings))
            assert sent[0].startswith(wanted)
    finally:
        server.shutdown()
        server.server_close()


def test_a_short_key_changes_no_word_of_a_reply() -> None:
    """Keys such as `test` are usual on local servers; in a message they are hidden all the same."""

    class Replying(Echo):
        def _answer(self) -> None:
            if self.path.endswith("/models"):
                self._send(200, json.dumps({"data": [{"id": "m", "max_model_len": 1000}]}))
                return
            choice = {"index": 0, "delta": {"content": "the latest"}, "finish_reason": "stop"}
            event = json.dumps({"choices": [choice]})
            self._send(200, f"data: {event}\n\ndata: [DONE]\n\n", "text/event-stream")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Replying)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    async def ask() -> str:
        url = f"vllm:http://127.0.0.1:{server.server_address[1]}#m"
        llm = build_llm(LLMSettings(model=url, api_key=SecretStr("test")))
        try:
            return (await llm.complete("Which one?")).text
        finally:
            await llm.close()

    try:
        assert asyncio.run(ask()) == "the latest"
    finally:
        server.shutdown()
        server.server_close()
    secrets = Secrets.of("test", "rk-0123456789")
    assert secrets.hidden("key test, key rk-0123456789") == "key ***, key ***"
    assert secrets.in_replies().hidden("key test, key rk-0123456789") == "key test, key ***"


@pytest.mark.parametrize("mark", ["#", "/", "?"])
def test_a_password_that_should_have_been_encoded_is_hidden_too(mark: str) -> None:
    url = f"http://user:MARK{mark}word@127.0.0.1:9/a"
    assert without_credentials(f"at {url}, b@c") == "at http://***@127.0.0.1:9/a, b@c"
    assert "MARK" not in repr(IndexSettings(location=url))


@pytest.mark.parametrize("use", [use_index, use_remote_index, use_embedder, use_reranker, use_llm])
@pytest.mark.parametrize("mark", ["/", "?"])
def test_such_a_password_is_refused_with_a_way_out(
    use: Callable[[Settings], Any], mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unencoded(*_: str) -> str:
        return f"MARK{mark}word"

    monkeypatch.setitem(globals(), "marker", unencoded)
    settings = settings_for("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"port that is no number\. Fix: .*%23") as raised:
        asyncio.run(use(settings))
    assert "MARK" not in told_by(raised.value)


@pytest.mark.parametrize(
    "url", ["https://a.example/@user", "http://localhost:8000/@user", "http://[::1]:80/a@b"]
)
def test_a_url_without_a_password_is_shown(url: str) -> None:
    assert without_credentials(f"at {url}: x@y") == f"at {url}: x@y"
