"""Answering one question in the background: found, written, kept, whatever the page does."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ragkit.answering.chat import Chat, ChatAnswer
from ragkit.answering.conversations import Owner
from ragkit.core.settings import Settings
from ragkit.core.types import Message
from ragkit.retrieval.results import Hits
from ragkit.ui.answer_choices import MODES
from ragkit.ui.background import Job, sentence
from ragkit.ui.conversations import Turn
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

    Attributes:
        request: As it was given.
        written: The answer so far.
        lost: The answer where it could not be appended, for the page that asks for it.
    """

    def __init__(self, workspace: Workspace, request: Request) -> None:
        """Start."""
        self._workspace, self.request = workspace, request
        self.written = Written(asked=request.question)
        self.lost: StoredAnswer | None = None
        self._job = Job(self._run)

    @property
    def running(self) -> bool:
        """True until the answer is kept."""
        return self._job.running

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._job.seconds

    @property
    def error(self) -> str:
        """The reason why the answer could not be kept, in a sentence; empty where it was."""
        return self._job.error and f"This answer could not be kept. {self._job.error}"

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
        self._workspace.latencies.add(self.written.seconds)
        try:
            self._workspace.conversations.add(owner, conversation, kept.text, kept)
        except Exception as error:
            self.lost = kept
            self._workspace.failures.add("ask", f"An answer could not be kept. {sentence(error)}")
            raise

    async def _answered(self) -> StoredAnswer:
        request, written = self.request, self.written
        rag = self._workspace.variant(request.settings)
        generative = request.settings.answer.mode == "generative"
        chat = Chat(
            search=self._search,
            answerer=rag.answerer,
            llm=self._workspace.llm(request.settings.llm.model) if generative else None,
        )
        history = [_message(turn) for turn in request.turns]
        if history and chat.llm is None:
            written.notes.append(NO_HISTORY)
        elif history:
            written.phase = "reading the conversation"
        started = time.perf_counter()
        async with aclosing(chat.stream(request.question, history)) as deltas:
            async for delta in deltas:
                written.text += delta.text
                if delta.reply is not None:
                    return self._kept(delta.reply, time.perf_counter() - started)
        raise AssertionError("a stream of an answer ends with the whole answer")

    async def _search(self, query: str) -> Hits:
        """Search, and note what that took and what was searched for."""
        written = self.written
        written.phase, written.asked = "searching", query
        if query != self.request.question:
            written.notes.append(f"Searched for: {query}")
        rag = self._workspace.variant(self.request.settings)
        hits = await rag.search(query, where=self.request.where or None, explain=True)
        if hits.explanation is not None:
            written.seconds |= hits.explanation.seconds
        written.phase = "answering"
        return hits

    def _kept(self, reply: ChatAnswer, seconds: float) -> StoredAnswer:
        written = self.written
        written.seconds["answer"] = max(0.0, seconds - sum(written.seconds.values()))
        return stored(
            reply.answer,
            by=answered_by(self.request.settings),
            asked=reply.query,
            notes=tuple(written.notes),
            seconds=dict(written.seconds),
        )

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
    return MODES[settings.answer.mode].lower()


def _message(turn: Turn) -> Message:
    return Message(role=turn.author, content=turn.text)
