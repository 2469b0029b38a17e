"""Kill runs of agents at random with SIGKILL, resume them, and compare the journals of their tools.

    python tests/agents/kill.py --kills 30 [--seed 1]

Each round starts an agent (ReAct, ReWOO and plan-and-execute in turn) in a process of its own, with
checkpoints and journal in SQLite, kills it at a random moment, and resumes it in a new process. The
journal must then be that of a run that was not killed, and no call may have begun again that the
journal already knew to be done.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from ragkit.agents import (
    Budget,
    SQLiteJournal,
    SQLiteRuns,
    plan_and_execute,
    react,
    resume,
    rewoo,
    run,
)
from ragkit.agents.agent import Agent
from ragkit.agents.options import AgentOptions
from ragkit.core.types import Delta, Json, Message, Reply, Timings, Usage
from ragkit.llm.call import Call, StreamedLLM
from ragkit.llm.messages import messages_of
from ragkit.testing.agents import RecordingTool, refers_to, says_action, says_plan

PATTERNS = ("react", "rewoo", "plan")
TURNS = 4


class Decided(StreamedLLM):
    """A model whose reply follows from the prompt alone, so that each run decides the same."""

    @property
    def model(self) -> str:
        """Its name."""
        return "decided"

    async def context_tokens(self) -> int:
        """Enough."""
        return 1 << 20

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """The reply in one piece, after a moment."""
        text = _reply(messages_of(call.messages), free=call.grammar is None)
        await asyncio.sleep(0.01)
        yield Delta(text=text)
        usage, timings = Usage(prompt=1, completion=1), Timings(total_s=0.01)
        reply = Reply(text=text, finish_reason="stop", usage=usage, timings=timings)
        yield Delta(text="", reply=reply)


def _reply(messages: tuple[Message, ...], *, free: bool) -> str:
    system, question = messages[0].content, messages[1].content
    if free:
        return "Done."
    if "Write the whole plan at once" in system:
        return says_plan(
            ("look", {"text": "a"}),
            ("save", {"text": "b"}),
            ("save", {"text": refers_to("#E1")}),
            ("look", {"text": refers_to("#E3")}),
            ("save", {"text": refers_to("#E4")}),
        )
    if system.startswith("You plan"):
        tasks = [{"task": t, "needs": n} for t, n in (("one", []), ("two", []), ("last", [1, 2]))]
        return json.dumps({"thought": "", "steps": tasks}, separators=(",", ":"))
    turn = len(messages) // 2
    if turn > (TURNS if "larger plan" not in system else 2):
        return says_action("", ("finish", {"answer": "Done."}))
    name = f"{turn} {question.split('Question: ')[1].split(chr(10))[0]}"
    return says_action("", ("look", {"text": name}), ("save", {"text": name}))


def tools(folder: Path) -> list[RecordingTool]:
    """Return a tool that looks and one that writes; both log each call in a file."""

    def does(name: str) -> RecordingTool:
        async def work(given: Mapping[str, Json]) -> Json:
            with (folder / "begun").open("a", encoding="utf-8") as file:
                file.write(f"{name} {given['text']}\n")
            await asyncio.sleep(0.02 if name == "look" else 0.03)
            return f"{name} of {given['text']}"[:60]

        return RecordingTool(name=name, does=work, permission="read" if name == "look" else "write")

    return [does("look"), does("save")]


def agent(pattern: str, folder: Path, options: AgentOptions) -> Agent:
    """The agent under test."""
    if pattern == "react":
        return react(Decided(), tools(folder), **options)
    if pattern == "rewoo":
        return rewoo(Decided(), tools(folder), **options)
    return plan_and_execute(Decided(), tools(folder), **options)


async def work(pattern: str, folder: Path) -> None:
    """Run the agent, or resume it where it was killed."""
    async with SQLiteRuns(folder / "runs.db") as kept:
        options = AgentOptions(
            checkpointer=kept.checkpoints,
            journal=kept.journal,
            approvals="never",
            budget=Budget(steps=64),  # calls of the model that a kill cut off count
        )
        made = agent(pattern, folder, options)
        state = await made.aget_state({"configurable": {"thread_id": "t"}})
        if state.tasks:
            result = await resume(made, "t")
        elif state.values.get("answer"):
            return
        else:
            result = await run(made, "Q", thread="t")
        if (result.answer, result.stopped_by) != ("Done.", "finished"):
            raise SystemExit(f"{result.stopped_by}: {result.answer}")


def child(pattern: str, folder: Path) -> None:
    """The process that may be killed."""
    asyncio.run(work(pattern, folder))


def go(pattern: str, folder: Path, *, kill_after: float | None = None) -> bool:
    """Run in a process; whether it was killed in the middle.

    Raises:
        RuntimeError: It failed by itself.
    """
    process = multiprocessing.get_context("fork").Process(target=child, args=(pattern, folder))
    process.start()
    if kill_after is not None:
        process.join(kill_after)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
    process.join()
    if process.exitcode not in {0, -signal.SIGKILL}:
        raise RuntimeError(f"The run of {pattern} ended with {process.exitcode}.")
    return process.exitcode != 0


def journal_of(folder: Path) -> dict[str, str]:
    """The calls with their outcomes, by key; those not known to be done have none."""

    async def read() -> dict[str, str]:
        async with SQLiteJournal(folder / "runs.db") as journal:
            entries = await journal.entries()
        # Without the name of the run, which is another for each.
        found = {e.key.split(":", 3)[3]: e for e in entries if e.tool}
        return {key: f"{e.tool} {e.arguments} {e.outcome}" for key, e in found.items()}

    return asyncio.run(read())


def done_calls(folder: Path) -> set[str]:
    """Return the calls that the journal knows to be done, as the tools write them in their file."""

    async def read() -> set[str]:
        async with SQLiteJournal(folder / "runs.db") as journal:
            entries = await journal.entries()
        return {
            f"{e.tool} {json.loads(e.arguments)['text']}" for e in entries if e.tool and e.outcome
        }

    return asyncio.run(read())


def begun(folder: Path) -> list[str]:
    """Return the calls that the tools began, in order."""
    path = folder / "begun"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def killed_round(pattern: str, folder: Path, moment: float) -> tuple[bool, bool]:
    """Kill and resume; whether the kill met the run, and whether a done call began again."""
    killed = go(pattern, folder, kill_after=moment)
    done, before = done_calls(folder), len(begun(folder))
    go(pattern, folder)
    return killed, bool(done.intersection(begun(folder)[before:]))


def main() -> None:
    """Kill, resume, compare; print what was found as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        expected: dict[str, dict[str, str]] = {}
        took: dict[str, float] = {}
        for pattern in PATTERNS:
            folder = Path(scratch) / pattern
            folder.mkdir()
            started = time.perf_counter()
            go(pattern, folder)
            took[pattern] = time.perf_counter() - started
            expected[pattern] = journal_of(folder)
        found = {"rounds": 0, "killed": 0, "different": 0, "repeated": 0}
        while found["killed"] < given.kills and found["rounds"] < 3 * given.kills:
            pattern = PATTERNS[found["rounds"] % len(PATTERNS)]
            folder = Path(scratch) / f"round{found['rounds']}"
            folder.mkdir()
            moment = chance.uniform(0.05, took[pattern])
            killed, repeated = killed_round(pattern, folder, moment)
            found["rounds"] += 1
            found["killed"] += killed
            found["repeated"] += repeated
            found["different"] += journal_of(folder) != expected[pattern]
    found["calls"] = sum(map(len, expected.values()))
    print(json.dumps(found))
    sys.exit(bool(found["different"] or found["repeated"] or found["killed"] < given.kills))


if __name__ == "__main__":
    main()
