"""Context lines: a sentence on each passage's place in its document, written by a model.

It is embedded and indexed above the passage, and never shown as the document's own text.
Source: contextual retrieval, https://www.anthropic.com/engineering/contextual-retrieval.
"""

import asyncio
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ragkit.answering.prompt_passages import mark_code
from ragkit.core.document_text import text_of
from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.protocols import LLM, Entry, Index
from ragkit.core.types import Chunk, Message
from ragkit.grammar.grammar import Grammar
from ragkit.grammar.plain_text import regex_grammar
from ragkit.ingest.report import IngestReport
from ragkit.llm.prompts import Prompt, prompt_file
from ragkit.llm.wrappers.cost import total_usage

LINE_CHARACTERS = 240
DOCUMENT_CHARACTERS = 12_000
"""The most that a prompt shows of a document: its beginning, and what is around the passage."""
_LEAST = 750
_PASSAGE_CHARACTERS = 6_000
_CALLS = 16
"""Calls for one document at the same time."""
_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"


class ContextLines:
    """Gives passages their lines: those of the stored version where they still hold, or new ones.

    Attributes:
        failed: Uris of documents that the model's server failed.
    """

    def __init__(self, llm: LLM, *, index: Index, tenant: str, report: IngestReport) -> None:
        """Write with a model; lines and tokens are counted in the report."""
        self._llm, self._index, self._tenant = llm, index, tenant
        self._report = report
        self.failed: set[str] = set()

    async def added(self, entry: Entry, *, is_known: bool) -> Entry:
        """Return a document with a line above each passage.

        Args:
            entry: The document, with all of its chunks.
            is_known: Whether the index has an earlier version. Its lines are kept where the model
                would be asked the same.

        Raises:
            InputError: The model's context is too small.
            ProviderError: The model failed.
        """
        stored = await self._stored(entry.record.uri) if is_known else {}
        requests = await asyncio.to_thread(_requests, entry.chunks)
        new = list({one.key: one for one in requests if one.key not in stored}.values())
        try:
            written = await self._written(new)
        except ProviderError as error:
            if error.failure != "rejected":
                self.failed.add(entry.record.uri)
            raise
        self._report.lines += len(new)
        known = {**stored, **{one.key: one.context(written[one.key]) for one in new}}
        chunks = (replace(one.chunk, context=known[one.key]) for one in requests)
        return replace(entry, chunks=tuple(chunks))

    async def _stored(self, uri: str) -> dict[bytes, str]:
        """Return the contexts of the stored version, by what the model was asked for them."""
        chunks = await self._index.chunks([uri], tenant=self._tenant)
        requests = await asyncio.to_thread(_requests, chunks)
        return {one.key: one.chunk.context for one in requests if one.chunk.context}

    async def _written(self, requests: Sequence["LineRequest"]) -> Mapping[bytes, str]:
        """Return the lines of passages, by key; the first error ends all calls."""
        lines: dict[bytes, str] = {}
        waiting = iter(requests)

        async def work() -> None:
            for one in waiting:
                lines[one.key] = await self._line(one)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_CALLS, len(requests))):
                    group.create_task(work())
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error
        return lines

    async def _line(self, request: "LineRequest") -> str:
        size = DOCUMENT_CHARACTERS
        while True:
            messages = request.messages(size)
            try:
                reply = await self._llm.complete(messages, grammar=_line_grammar(), temperature=0.0)
            except ContextExceeded as error:
                size //= 2
                if size < _LEAST:
                    raise InputError(
                        f"A passage of {request.chunk.uri!r} does not fit the context of the model "
                        f"{self._llm.model!r}, which writes its context line. Fix: use a model "
                        "with a larger context, or ingest.context = 'headings'."
                    ) from error
                continue
            self._report.usage = total_usage([self._report.usage, reply.usage])
            return " ".join(_line_grammar().parse(reply.text).split())


@dataclass(frozen=True, kw_only=True)
class LineRequest:
    """A passage for which a line is written.

    Attributes:
        chunk: The passage.
        text: The whole text of its document.
        code: What stands in the marks around untrusted text, and nowhere in the document.
    """

    chunk: Chunk
    text: str
    code: str

    @functools.cached_property
    def key(self) -> bytes:
        """Digest of all that the model is asked."""
        shown = (self.chunk.header, self._excerpt(DOCUMENT_CHARACTERS), self.chunk.text)
        return hashlib.sha256("\x1f".join(shown).encode("utf-8", "surrogatepass")).digest()

    def messages(self, size: int) -> tuple[Message, ...]:
        """Return the prompt, with up to `size` characters of the document."""
        code = self.code
        context = (
            f"The code of data marks is {code}.\n<data {code} document>\n"
            f"{self._excerpt(size)}\n</data {code}>"
        )
        passage = self.chunk.text[: min(size, _PASSAGE_CHARACTERS)]
        prompt = Prompt(system=prompt_file("ragkit.ingest", "context"), context=context)
        return prompt.messages(
            f"<data {code} passage>\n{self.chunk.header}\n\n{passage}\n</data {code}>"
        )

    def context(self, line: str) -> str:
        """Return the text above the passage: what it has anyway, and a line under that."""
        return "\n".join(part for part in (self.chunk.lead, line) if part)

    def _excerpt(self, size: int) -> str:
        """Return the document, or its beginning and what is around the passage."""
        if len(self.text) <= size:
            return self.text
        beginning, around = size // 3, size // 3
        start = max(beginning, self.chunk.start - around)
        end = min(len(self.text), start + size - beginning)
        return f"{self.text[:beginning]}\n[...]\n{self.text[start:end]}"


def _requests(chunks: Sequence[Chunk]) -> list[LineRequest]:
    """Return the requests for all chunks of a document."""
    text = text_of(chunks)
    code = mark_code([text, *{chunk.header for chunk in chunks}])
    requests = [LineRequest(chunk=chunk, text=text, code=code) for chunk in chunks]
    for one in requests:
        _ = one.key  # here, in a thread
    return requests


@functools.cache
def _line_grammar() -> Grammar[str]:
    return regex_grammar(rf"[^\s{_HIDDEN}][^{_HIDDEN}]{{0,{LINE_CHARACTERS - 1}}}")
