"""Answering one question in the background: found, written, kept, whatever the page does."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ragkit.core.protocols import Answerer, StreamingAnswerer
from ragkit.core.settings import Settings
from ragkit.core.types import Answer, Hit
from ragkit.ui.background import Job, sentence
from ragkit.ui.conversations import Owner, Turn
from ragkit.ui.follow_up import standalone_question
from ragkit.ui.stored_answer import StoredAnswer, stored
from ragkit.ui.workspace import Workspace

Phase: TypeAlias = Literal["reading the conversation", "searching", "answering"]

NO_HISTORY = (
    "Asked as it is: without a language model, a follow-up question is not completed from the "
    "conversation."
)


@dataclass(slots=True, kw_only=True)
class Request:
    """A question with everything that decides its answer."""

    owner: Owner
    conversation: str
    question: str
    settings: Settings
    where: str = ""
    turns: Sequence[Turn] = ()


@dataclass(slots=True, kw_only=True)
class Written:
    """The answer so far: `text` grows while it is streamed."""

    phase: Phase = "searching"
    text: str = ""
    asked: str = ""
    notes: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


class AnswerJob:
    """Answers a question and appends the answer to its conversation, once.

    A page may be left, reloaded or opened twice meanwhile: it looks at `written`, and finds the
    answer among the turns afterwards. What was written before `stop` is kept as it is.
    """

    def __init__(self, workspace: Workspace, request: Request) -> None:
        """Start."""
        self._workspace, self.request = workspace, request
        self.written = Written(asked=request.question)
        self._job = Job(self._run)

    @property
    def running(self) -> bool:
        """True until the answer is kept."""
        return self._job.running

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._job.seconds

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; returns True once it has ended."""
        return self._job.wait(seconds)

    def stop(self) -> None:
        """Stop; what was written is kept."""
        self._job.cancel()

    async def _run(self) -> None:
        try:
            kept = await self._answered()
        except asyncio.CancelledError:
            kept = self._ended("stopped", self.written.text)
        except Exception as error:  # noqa: BLE001  # becomes the answer's sentence, and is logged
            message = sentence(error)
            self._workspace.failures.add("ask", message)
            kept = self._ended("failed", message)
        owner, conversation = self.request.owner, self.request.conversation
        self._workspace.conversations.add(owner, conversation, kept.text, kept)
        self._workspace.latencies.add(self.written.seconds)

    async def _answered(self) -> StoredAnswer:
        request, written = self.request, self.written
        rag = self._workspace.variant(request.settings)
        if request.turns:
            await self._complete_question()
        written.phase = "searching"
        hits = await rag.search(written.asked, where=request.where or None, explain=True)
        if hits.explanation is not None:
            written.seconds |= hits.explanation.seconds
        written.phase = "answering"
        started = time.perf_counter()
        answer = await self._written_answer(rag.answerer, hits)
        written.seconds["answer"] = time.perf_counter() - started
        return stored(
            answer,
            by=answered_by(request.settings),
            asked=written.asked,
            notes=tuple(written.notes),
            seconds=dict(written.seconds),
        )

    async def _complete_question(self) -> None:
        """Fill in the question from the conversation, where a model can."""
        request, written = self.request, self.written
        llm = self._workspace.llm(request.settings.llm.model)
        if llm is None or request.settings.answer.mode != "generative":
            written.notes.append(NO_HISTORY)
            return
        written.phase = "reading the conversation"
        started = time.perf_counter()
        written.asked = await standalone_question(llm, request.turns, request.question)
        written.seconds["condense"] = time.perf_counter() - started
        if written.asked != request.question:
            written.notes.append(f"Searched for: {written.asked}")

    async def _written_answer(self, answerer: Answerer, hits: Sequence[Hit]) -> Answer:
        asked = self.written.asked
        if isinstance(answerer, StreamingAnswerer):
            async with aclosing(answerer.stream(asked, hits)) as deltas:
                async for delta in deltas:
                    self.written.text += delta.text
                    if delta.answer is not None:
                        return delta.answer
        return await answerer.answer(asked, hits)

    def _ended(self, outcome: Literal["stopped", "failed"], text: str) -> StoredAnswer:
        return StoredAnswer(
            outcome=outcome,
            text=text,
            by=answered_by(self.request.settings),
            asked=self.written.asked,
            notes=tuple(self.written.notes),
            seconds=dict(self.written.seconds),
        )


def answered_by(settings: Settings) -> str:
    """Return what answers under these settings, in words."""
    if settings.answer.mode == "generative":
        return settings.llm.model or "language model"
    return {"reader": "packaged reader", "extractive": "sentences of the documents"}[
        settings.answer.mode
    ]
