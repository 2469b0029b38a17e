"""Running a plan: each step starts as soon as its inputs are there."""

import asyncio
from collections.abc import Mapping

from ragkit.agents.budget import Amount, worked
from ragkit.agents.calling import Done, observed, perform, planned_call, recorded
from ragkit.agents.events import emit
from ragkit.agents.parts import Parts
from ragkit.agents.references import needs_of, resolved
from ragkit.agents.rewoo_plan import Planned, block_dependants, ready
from ragkit.agents.state import Call, Draft
from ragkit.core.errors import ToolError


class Schedule:
    """The steps of a plan while they run."""

    def __init__(
        self, parts: Parts, draft: Draft, plan: list[Planned], calls: list[Call], left: Amount
    ) -> None:
        """Take up the plan where it is.

        Args:
            parts: Of the agent.
            draft: Of the node; results are noted in it.
            plan: The steps; changed in place.
            calls: Calls that a person was asked about.
            left: What the run may still take.
        """
        self._parts, self._draft, self.plan = parts, draft, plan
        self._decided = {call["id"]: call for call in calls if call["status"] == "ready"}
        self.asking: list[Call] = [call for call in calls if call["status"] == "ask"]
        self._seconds = left.seconds
        self._running: dict[asyncio.Task[Done], tuple[Planned, Call]] = {}
        self._gate = asyncio.Semaphore(parts.parallel)
        self.out_of_time = False

    async def run(self) -> None:
        """Run until nothing more can be done without a person."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._take_up(started)
        try:
            while True:
                self._start(started)
                if not self._running:
                    break
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._finish(*self._running.pop(task), task.result())
        finally:
            for task in self._running:
                task.cancel()
        self._draft.spent = worked(self._draft.spent, loop.time() - started)

    def _take_up(self, started: float) -> None:
        """Start the calls that a person has decided about."""
        for step in self.plan:
            call = self._decided.get(step["call"])
            if step["status"] == "asking" and call is not None:
                self._launch(step, call, started)

    def _start(self, started: float) -> None:
        """Start every step whose inputs are there."""
        rest = self._seconds - (asyncio.get_running_loop().time() - started)
        block_dependants(self.plan)
        running = {step["id"] for step, _ in self._running.values()}
        for step in ready(self.plan):
            if step["id"] in running:
                continue
            if rest <= 0:
                self.out_of_time = True
                return
            self._prepare(step, started)
        block_dependants(self.plan)

    def _prepare(self, step: Planned, started: float) -> None:
        try:
            arguments = resolved(
                self._parts.tools[step["tool"]], step["arguments"], self._results()
            )
        except ToolError as error:
            refused = Call(id=step["call"], tool=step["tool"], arguments="{}", status="ready")
            done = Done(text=str(error), failed=True)
            emit(observed(refused, done))
            self._finish(step, refused, done)
            return
        call = planned_call(
            self._parts,
            step=step["call"],
            tool=step["tool"],
            arguments=arguments,
            tainted=step.get("tainted", False) or self._from_untrusted(step),
        )
        if call["status"] == "ask":
            step["status"] = "asking"
            self.asking.append(call)
        else:
            self._launch(step, call, started)

    def _launch(self, step: Planned, call: Call, started: float) -> None:
        self._running[asyncio.ensure_future(self._perform(call, started))] = (step, call)

    async def _perform(self, call: Call, started: float) -> Done:
        async with self._gate:
            rest = self._seconds - (asyncio.get_running_loop().time() - started)
            timeout = None if rest == float("inf") else max(0.0, rest)
            return await perform(self._parts, self._draft, call, timeout_s=timeout)

    def _finish(self, step: Planned, call: Call, done: Done) -> None:
        ended = recorded(self._draft, call, done)
        step["status"] = "failed" if done.failed else "done"
        step["result"] = ended.get("result", "")
        if done.value:
            step["value"] = self._draft.keep(done.value)

    def _results(self) -> Mapping[str, tuple[str, str]]:
        texts = self._draft.texts
        return {
            step["id"]: (texts.get(step.get("value", ""), ""), texts[step.get("result", "")])
            for step in self.plan
            if step["status"] == "done"
        }

    def _from_untrusted(self, step: Planned) -> bool:
        """Whether an argument is what a tool gave that is not trusted."""
        tools = {one["id"]: one["tool"] for one in self.plan}
        needs = needs_of(step["arguments"])
        return any(tools[label] not in self._parts.trusted_tools for label in needs)
