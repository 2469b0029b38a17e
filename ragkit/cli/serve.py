"""`ragkit serve` and `ragkit keys`: the HTTP server and the keys of its clients."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli import console
from ragkit.cli.options import Config, Index, Json, LLMName, Tenant, chosen_settings, reporting
from ragkit.core.errors import ConfigError, InputError, MissingExtraError
from ragkit.core.types import DEFAULT_TENANT
from ragkit.sdk import AsyncRAG

if TYPE_CHECKING:
    from ragkit.server.keys import KeyFile

DATA_FOLDER = Path(".ragkit/server")
KEYS_NAME = "keys.sqlite"
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Folder = Annotated[
    Path, typer.Option("--data", help="Folder of the server's keys and jobs.", metavar="DIR")
]

keys_app = typer.Typer(no_args_is_help=True, help="Manage the API keys of `ragkit serve`.")


@reporting
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8400,
    data: Folder = DATA_FOLDER,
    running: Annotated[
        int, typer.Option("--running", min=1, help="Requests that run at once.")
    ] = 32,
    waiting: Annotated[
        int, typer.Option("--waiting", min=0, help="Requests that wait; others get 429.")
    ] = 128,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", min=1)] = 100,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="A web page's origin that may call; may be repeated."),
    ] = None,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            help="A further index, answered by the model rag-NAME; may be repeated.",
            metavar="NAME=INDEX",
        ),
    ] = None,
    log: Annotated[str, typer.Option("--log", help="Form of the log: text or json.")] = "text",
    llm: LLMName = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
) -> None:
    """Serve search, answers, agents and documents over HTTP, in the form of OpenAI's API.

    Without keys it listens on this machine only; `ragkit keys add` makes the first key.
    """
    try:
        from ragkit.server.app import ServerOptions, build_app
        from ragkit.server.listener import bound, listen
        from ragkit.telemetry.logs import log_to_stderr
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", extra="server") from error

    log_to_stderr(log)
    keys = keys_to_listen(data, host)
    settings = chosen_settings(config, index, tenant, llm=llm, writes=True)
    options = ServerOptions(
        folder=data,
        keys=keys,
        open_until_first_key=True,
        running=running,
        waiting=waiting,
        body_bytes=max_body_mb * 2**20,
        origins=tuple(origin or ()),
    )
    listening = bound(host, port)
    rag = AsyncRAG(settings)
    rags = {"": rag}
    for name, location in parse_collections(collections or ()).items():
        own = chosen_settings(config, location, tenant, llm=llm, writes=True)
        rags[name] = AsyncRAG(own, embedder=rag.embedder, reranker=rag.reranker, llm=rag.llm)
    app = build_app(rags, options)
    address = f"http://{host}:{listening.getsockname()[1]}"
    console.err.print(
        f"ragkit serves {address} {access_to(keys)}; the API is described at {address}/docs",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    listen(app, listening)


@keys_app.command("add")
@reporting
def add_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Tenant whose documents it reaches.")
    ] = DEFAULT_TENANT,
    role: Annotated[str, typer.Option("--role", help="read, write or admin.")] = "read",
    requests_per_minute: Annotated[int | None, typer.Option("--requests-per-minute", min=1)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option("--tokens-per-minute", min=1)] = None,
    documents: Annotated[int | None, typer.Option("--documents", min=1)] = None,
    upload_bytes: Annotated[int | None, typer.Option("--upload-bytes", min=1)] = None,
    cost_per_day: Annotated[
        float | None,
        typer.Option("--cost-per-day", help="In the currency of costs.prices."),
    ] = None,
    data: Folder = DATA_FOLDER,
    as_json: Json = False,
) -> None:
    """Make a key and show its secret once; only a hash is stored."""
    from ragkit.server.keys import ROLES, KeyLimits, Role

    known: dict[str, Role] = {one: one for one in ROLES}
    if role not in known:
        raise ConfigError(f"No role {role!r}. Fix: choose one of {', '.join(known)}.")
    limits = KeyLimits(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        documents=documents,
        upload_bytes=upload_bytes,
        cost_per_day=cost_per_day,
    )
    secret = _key_file(data).add(name, tenant=tenant, role=known[role], limits=limits)
    if as_json:
        console.print_json({"name": name, "tenant": tenant, "role": role, "key": secret})
    else:
        console.out.print(secret, markup=False, highlight=False, soft_wrap=True)


@keys_app.command("list")
@reporting
def list_keys(*, data: Folder = DATA_FOLDER, as_json: Json = False) -> None:
    """List the keys by name, with tenant, role and limits."""
    rows = [
        {
            "name": key.name,
            "tenant": key.tenant,
            "role": key.role,
            "limits": key.limits.model_dump(exclude_none=True),
        }
        for key in _key_file(data).all()
    ]
    if as_json:
        console.print_json({"keys": rows})
        return
    for row in rows:
        console.out.print(*row.values(), markup=False, highlight=False)


@keys_app.command("remove")
@reporting
def remove_key(name: str, *, data: Folder = DATA_FOLDER) -> None:
    """Remove a key; a server that runs refuses it from then on."""
    _key_file(data).remove(name)


def parse_collections(given: Sequence[str]) -> dict[str, str]:
    """Return the location of each collection.

    Raises:
        InputError: One is not `NAME=INDEX`, or a name is given twice.
    """
    found: dict[str, str] = {}
    for item in given:
        name, _, location = item.partition("=")
        if not _COLLECTION.fullmatch(name) or not location:
            raise InputError(
                f"--collection {item!r} is not NAME=INDEX. Fix: a name has letters, digits, "
                "hyphens and underscores, as in --collection manuals=.ragkit/manuals"
            )
        if name in found:
            raise InputError(f"--collection {name!r} is given twice. Fix: choose another name.")
        found[name] = location
    return found


def keys_to_listen(data: Path, host: str) -> "KeyFile":
    """Return the keys in a server's folder.

    Raises:
        ConfigError: There are none, and other machines reach this address.
    """
    from ragkit.server.keys import LOOPBACK

    keys = _key_file(data)
    if not keys.any() and host not in LOOPBACK:
        raise ConfigError(
            f"--host {host!r} can be reached from other machines, and there are no API keys. "
            f"Fix: ragkit keys add NAME --data {data}"
        )
    return keys


def access_to(keys: "KeyFile") -> str:
    """Return who may call a server, for its first message."""
    return "with API keys" if keys.any() else "without keys, for this machine only"


def _key_file(data: Path) -> "KeyFile":
    from ragkit.server.keys import KeyFile

    return KeyFile(data / KEYS_NAME)
