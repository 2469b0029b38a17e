import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ragkit import AsyncRAG, InputError, ProviderError, Settings
from ragkit.agents import react, run
from ragkit.agents.budget import Budget
from ragkit.core.operation import Operation, add_observer, remove_observer
from ragkit.llm.wrappers.cache import Cache
from ragkit.telemetry.metrics import OTHER, BoundedLabel, OperationMetrics
from ragkit.testing import (
    FailingLLM,
    HashEmbedder,
    RecordingTool,
    ScriptedLLM,
    says_action,
)
from ragkit.testing.server import filled_rag
from tests.telemetry.conftest import Traced


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    """The metrics of the operations of the test."""
    found = CollectorRegistry()
    metrics = OperationMetrics(found)
    add_observer(metrics)
    yield found
    remove_observer(metrics)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_searches_are_timed_by_stage(registry: CollectorRegistry) -> None:
    rag = await filled_rag()
    await rag.search("river")
    assert value(registry, "ragkit_search_seconds_count") == 1
    for stage in ("embed", "search", "fusion", "fetch"):
        assert value(registry, "ragkit_search_stage_seconds_count", stage=stage) == 1
    with pytest.raises(InputError):
        await rag.search(" ")
    assert value(registry, "ragkit_failures_total", kind="search", error="InputError") == 1


async def test_model_calls_are_timed_and_their_tokens_counted(registry: CollectorRegistry) -> None:
    llm = Cache(FailingLLM(ProviderError("down", provider="x"), replies=lambda _: "a reply"))
    with pytest.raises(ProviderError):
        await llm.complete("x", temperature=0)
    reply = await llm.complete("x", temperature=0)
    await llm.complete("x", temperature=0)
    labels = {"model": "scripted"}
    assert value(registry, "ragkit_model_call_seconds_count", **labels) == 2
    assert value(registry, "ragkit_model_first_token_seconds_count", **labels) == 1
    assert value(registry, "ragkit_model_token_seconds_count", **labels) == 1
    completion = value(registry, "ragkit_model_tokens_total", kind="completion", **labels)
    assert completion == reply.usage.completion
    assert value(registry, "ragkit_reply_cache_hits_total", **labels) == 1
    failed = {"kind": "model call", "error": "ProviderError"}
    assert value(registry, "ragkit_failures_total", **failed) == 1


async def test_ingestions_count_documents_and_failures(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("A river.")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.7 broken")
    async with AsyncRAG(Settings(), index=":memory:", embedder=HashEmbedder()) as rag:
        await rag.ingest(tmp_path, dry_run=True)
        await rag.ingest(tmp_path)
        await rag.ingest(tmp_path)
    counts = {
        outcome: value(registry, "ragkit_ingested_documents_total", outcome=outcome)
        for outcome in ("added", "unchanged", "failed")
    }
    assert counts == {"added": 1, "unchanged": 1, "failed": 2}
    assert value(registry, "ragkit_ingested_chunks_total") == 1
    assert value(registry, "ragkit_ingestion_stage_seconds_count", stage="commit") == 1


async def test_the_first_failure_is_an_increase(registry: CollectorRegistry) -> None:
    def counts() -> list[float | None]:
        failed = value(registry, "ragkit_ingested_documents_total", outcome="failed")
        return [failed, value(registry, "ragkit_failed_ingestions_total")]

    assert counts() == [0, 0]
    async with AsyncRAG(Settings(), index=":memory:", embedder=HashEmbedder()) as rag:
        with pytest.raises(InputError):
            await rag.ingest("no_such_folder")
    assert counts() == [0, 1]


async def test_budgets_that_are_exhausted_are_counted(registry: CollectorRegistry) -> None:
    tool = RecordingTool(name="look", does=lambda _: 1 / 0)
    llm = ScriptedLLM(lambda _: says_action("Again.", ("look", {"text": "x"})))
    await run(react(llm, [tool], budget=Budget(steps=2)), "What?")
    stopped = {"agent": "react", "stopped_by": "steps"}
    assert value(registry, "ragkit_agent_runs_total", **stopped) == 1
    assert value(registry, "ragkit_failures_total", kind="tool", error="failed") == 1


async def test_an_observation_links_to_its_trace(
    registry: CollectorRegistry, traced: Traced
) -> None:
    spans = traced()
    rag = await filled_rag()
    await rag.search("river")
    context = spans.named("retrieval").context
    assert context is not None
    encode, _ = choose_encoder("application/openmetrics-text")
    lines = encode(registry).decode().splitlines()
    linked = [line for line in lines if f'trace_id="{context.trace_id:032x}"' in line]
    assert any(line.startswith("ragkit_search_seconds_bucket") for line in linked)


def test_a_label_that_others_choose_has_a_bounded_number_of_values(
    registry: CollectorRegistry,
) -> None:
    for number in range(150):
        with Operation(kind="tool", name=f"tool {number}"):
            pass
    assert value(registry, "ragkit_tool_seconds_count", tool="tool 0") == 1
    assert value(registry, "ragkit_tool_seconds_count", tool=OTHER) == 50
    label = BoundedLabel(most=1)
    assert [label.of(one) for one in ("a", "b", "a")] == ["a", OTHER, "a"]


async def test_a_cancelled_operation_is_counted_as_that(registry: CollectorRegistry) -> None:
    async def wait() -> None:
        with Operation(kind="tool", name="wait"):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert value(registry, "ragkit_failures_total", kind="tool", error="cancelled") == 1
