"""Answers by a language model, evidence first: quotes, sufficiency, the answer, its citations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from ragkit.answering.abstention import ABSTENTION
from ragkit.answering.prompt_passages import PromptPassages
from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.reply_grammar import JsonForm, ReplyGrammar
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer, AnswerDelta, Hit, Message, Timings, Usage
from ragkit.grammar.grammar import Grammar
from ragkit.grammar.quotes import Evidence, quote_grammar
from ragkit.llm.messages import estimated_tokens
from ragkit.llm.partial_json import FieldReader
from ragkit.llm.prompts import Prompt, explain, prompt_file
from ragkit.retrieval.context import merge_neighbours

_SHARES = 2
"""The context is divided by this: one share for the reply, the rest for the prompt."""

_FREE = Usage()
_NOTHING = Evidence(quotes=(), sufficient=False, answer="", citations=())


class GenerativeAnswerer:
    """Answers by a language model under `quote_grammar`, with any model.

    Only sentences of the hits can be decoded as quotes, and only passages made of them be cited.
    Hits that touch are shown as one passage. The worst passages are dropped where the prompt
    would take more than half of the model's context, and named in `Answer.left_out`.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        settings: AnswerSettings | None = None,
        language: str = "english",
        prompt: str | None = None,
        ends: bool = False,
        options: CallOptions | None = None,
    ) -> None:
        """Answer with this model.

        Args:
            llm: The model.
            settings: `max_quotes` bounds quotes and citations.
            language: Its sentence rules divide the passages into quotes.
            prompt: The system message, instead of ragkit's own.
            ends: Show the best passages first and last (Liu et al. 2023, arXiv:2307.03172).
            options: Options of each call; the temperature is 0 by default.
        """
        self._llm = llm
        self._settings = settings or AnswerSettings()
        self._language = language
        self._system = prompt_file("ragkit.answering", "answer") if prompt is None else prompt
        self._ends = ends
        self._options: CallOptions = {"temperature": 0.0, **(options or {})}

    def with_options(self, options: CallOptions) -> "GenerativeAnswerer":
        """Return the same answerer, each of whose calls has these options beside its own."""
        return GenerativeAnswerer(
            self._llm,
            settings=self._settings,
            language=self._language,
            prompt=self._system,
            ends=self._ends,
            options={**self._options, **options},
        )

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer with verbatim citations from `hits`, or abstain.

        Raises:
            ContextExceeded: Question and best passage alone do not fit the model's context.
            ProviderError: The model failed.
        """
        async with aclosing(self.stream(question, hits)) as deltas:
            async for delta in deltas:
                if delta.answer is not None:
                    return delta.answer
        raise _no_reply(self._llm)

    async def stream(self, question: str, hits: Sequence[Hit]) -> AsyncGenerator[AnswerDelta]:
        """Yield the answer's text as it is decoded, then the whole answer; see `answer`.

        An abstention has no text before the whole answer.
        """
        started = time.perf_counter()
        if not hits:
            nothing = PromptPassages(hits=(), passages=())
            answer = _answer(nothing, _NOTHING, timings=Timings(total_s=0.0))
            yield AnswerDelta(text="", answer=answer)
            return
        shown = await self._fitted(question, hits)
        while True:
            try:
                async with aclosing(self._ask(question, shown, started)) as deltas:
                    async for delta in deltas:
                        yield delta
            except ContextExceeded:  # raised before anything is decoded
                if len(shown.held) == 1:
                    raise
                shown = shown.without_worst()
            else:
                return

    async def explain(self, question: str, hits: Sequence[Hit]) -> str:
        """Return the exact text that is sent for these hits, message by message."""
        return explain(self._messages(question, await self._fitted(question, hits)))

    async def _fitted(self, question: str, hits: Sequence[Hit]) -> PromptPassages:
        """Return as many of the best hits as are estimated to fit, and at least one."""
        room = await self._room()
        shown = PromptPassages(
            hits=tuple(hits), passages=tuple(merge_neighbours(hits)), ends=self._ends
        )
        while len(shown.held) > 1 and estimated_tokens(self._messages(question, shown)) > room:
            shown = shown.without_worst()
        return shown

    async def _room(self) -> int:
        return await self._llm.context_tokens() // _SHARES

    def _messages(self, question: str, shown: PromptPassages) -> tuple[Message, ...]:
        prompt = Prompt(system=self._system, context=shown.text())
        return prompt.messages(f"Question: {question}")

    async def _ask(
        self, question: str, shown: PromptPassages, started: float
    ) -> AsyncGenerator[AnswerDelta]:
        grammar = await asyncio.to_thread(self._grammar, shown, await self._room())
        reader, reply = FieldReader(), None
        # Text that was shown cannot be taken back, so no reply may begin again.
        options: CallOptions = {"strict": True, **self._options}
        stream = self._llm.stream(self._messages(question, shown), grammar=grammar, **options)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                reply = delta.reply or reply
                for path, piece in reader.feed(delta.text):
                    if path == ("answer",):
                        yield AnswerDelta(text=piece)
        if reply is None:
            raise _no_reply(self._llm)
        timings = replace(reply.timings, total_s=time.perf_counter() - started)
        evidence = grammar.parse(reply.text)
        answer = _answer(shown, evidence, usage=reply.usage, timings=timings)
        yield AnswerDelta(text="", answer=answer)

    def _grammar(self, shown: PromptPassages, room: int) -> ReplyGrammar[Evidence]:
        texts = {name: passage.text for name, passage in shown.by_id.items()}
        most = self._settings.max_quotes
        grammar = quote_grammar(texts, max_quotes=most, language=self._language)
        if len(shown.held) == 1:
            return grammar
        # With several hits, drop one rather than tighten the reply; the last hit cannot be dropped.
        return _FittedGrammar(
            grammar=grammar.fit(min(room, self._options.get("max_tokens") or room))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FittedGrammar:
    """A grammar that is not tightened further."""

    grammar: Grammar[Evidence]

    @property
    def ebnf(self) -> str:
        return self.grammar.ebnf

    @property
    def form(self) -> JsonForm:
        return self.grammar.form

    @property
    def max_tokens(self) -> int:
        return self.grammar.max_tokens

    @property
    def bounds(self) -> Mapping[str, int]:
        return self.grammar.bounds

    def wide(self) -> "_FittedGrammar":
        return self

    def fit(self, context_tokens: int, *, bytes_per_token: float = 1.0) -> "_FittedGrammar":
        if self.max_tokens > context_tokens * bytes_per_token:
            raise InputError(
                f"An answer takes up to {self.max_tokens} tokens, and {context_tokens} are left. "
                "Fix: use a model with a longer context, or lower answer.max_quotes."
            )
        return self

    def parse(self, text: str) -> Evidence:
        return self.grammar.parse(text)


def _no_reply(llm: LLM) -> ProviderError:
    return ProviderError(
        f"{llm.model!r} ended its stream without a reply. Fix: read the server's log.",
        provider="llm",
    )


def _answer(
    shown: PromptPassages, evidence: Evidence, *, usage: Usage = _FREE, timings: Timings
) -> Answer:
    enough = evidence.sufficient
    return Answer(
        text=evidence.answer if enough else ABSTENTION,
        citations=shown.citations(evidence),
        abstained=not enough,
        confidence=float(enough),
        hits=shown.hits,
        usage=usage,
        timings=timings,
        left_out=shown.left_out,
    )
