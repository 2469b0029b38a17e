"""Three tasks with ragkit, LangChain, LlamaIndex and Haystack: results, statements, processor time.

The code of each side is in `examples/comparison`. The peers run in an environment of their own,
`make .venv-comparison`. All have the same documents, the same weights for embedding, the same
cross-encoder (small, with random weights) and, where they need a language model, the same server:
it replies from a script, as a good model (`good`), as one that cites a source which is not there
(`stray`), and as one that calls a tool with an argument of the wrong type (`wrong`).
"""

import argparse
import ast
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Row, publish
from ragkit.core.types import Json
from ragkit.models.packaged import MINILM, verified_folder
from ragkit.testing import EmulatedModelServer
from ragkit.testing.model_server import ServerRequest, ServerResponse, chat_events

ROOT = Path(__file__).parents[1]
SIDES = ("ragkit", "langchain", "llama_index", "haystack")
PEERS = ROOT / ".venv-comparison/bin/python"
PROBES = (("good", "ask search agent"), ("stray", "ask"), ("wrong", "agent"))
ANSWER = "The warranty of lamps lasts three years"


def statements(side: str) -> dict[str, int]:
    """Return the number of statements of each task, imports included."""
    tree = ast.parse((ROOT / f"examples/comparison/with_{side}.py").read_text("utf-8"))
    return {
        task.name: sum(isinstance(node, ast.stmt) for node in ast.walk(task)) - 2
        for task in tree.body
        if isinstance(task, ast.FunctionDef)
    }  # without the function itself and its docstring


def reply(body: Mapping[str, Any], probe: str) -> dict[str, Json]:  # JSON
    """Return the message of a model to a request for a chat completion."""
    order = "two" if probe == "wrong" else 2
    form = json.dumps(body.get("response_format") or "")
    if '"calls"' in form:  # the form of ragkit's agents
        done = "is cancelled" in json.dumps(body["messages"])
        arguments: Json = {"answer": "Done: Order 2 is cancelled."} if done else {"order": order}
        called = {"tool": "finish" if done else "cancel", "arguments": arguments}
        return {"role": "assistant", "content": json.dumps({"thought": "", "calls": [called]})}
    if not body.get("tools"):
        number = 9 if probe == "stray" else 1
        text = f"{ANSWER} [{number}]."
        if form != '""':
            text = json.dumps({"text": f"{ANSWER}.", "sources": [number]})
        return {"role": "assistant", "content": text}
    if body["messages"][-1]["role"] == "tool":
        return {"role": "assistant", "content": f"Done: {body['messages'][-1]['content']}"}
    function: Json = {"name": "cancel", "arguments": json.dumps({"order": order})}
    call: Json = {"id": "1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def response(request: ServerRequest, probe: str) -> ServerResponse:
    """Return a chat completion."""
    message = reply(request.body, probe)
    if request.body.get("stream"):
        return ServerResponse(events=chat_events(str(message["content"])))
    choice: Json = {"index": 0, "message": message, "finish_reason": "stop"}
    usage: Json = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return ServerResponse(
        body={
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
    )


def write_cross_encoder(folder: Path) -> None:
    """Write a cross-encoder of one layer with random weights, and the embedder's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(verified_folder(MINILM))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


async def run_side(
    side: str, probe: str, tasks: str, models: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what the tasks of one side reported."""
    async with EmulatedModelServer(lambda request: response(request, probe)) as server:
        environment = {
            **os.environ,
            **models,
            "COMPARISON_TASKS": tasks,
            "COMPARISON_MODEL_URL": server.url,
            "HF_HUB_OFFLINE": "1",
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "PYTHONPATH": str(ROOT),
        }
        python = sys.executable if side == "ragkit" else str(PEERS)
        script = str(ROOT / f"examples/comparison/with_{side}.py")
        done = await asyncio.to_thread(
            subprocess.run,
            [python, script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{script}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


async def main(sides: Sequence[str]) -> None:
    """Run sides with every probe, and print the results."""
    if set(sides) != {"ragkit"} and not PEERS.exists():
        raise SystemExit("The peers are not installed. Fix: make .venv-comparison")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        write_cross_encoder(Path(folder))
        models = {
            "COMPARISON_EMBEDDER": str(verified_folder(MINILM)),
            "COMPARISON_RERANKER": folder,
        }
        for side in sides:
            counts = statements(side)
            for probe, tasks in PROBES:
                rows += [
                    {
                        "side": side,
                        "task": one["task"],
                        "model": probe,
                        "statements": counts[one["task"]],
                        "processor_s": round(one["processor_s"], 2),
                        "result": json.dumps(one["result"], ensure_ascii=False)[:200],
                    }
                    for one in await run_side(side, probe, tasks, models)
                ]
    publish("comparison", rows, note="A peer's model is a script; ragkit answers without one.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    asyncio.run(main(parser.parse_args().sides))
