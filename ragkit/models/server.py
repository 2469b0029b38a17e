"""Embedding and reranking models on a vLLM server: `vllm:<URL>[#model]`.

Source: vLLM's pooling models, https://docs.vllm.ai/en/latest/models/pooling_models.html; the
responses are those of OpenAI's embeddings and of Cohere's and Jina's rerank; `/v1/score` is vLLM's
own.
"""

import asyncio
import contextvars
import logging
import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import httpx
import numpy as np
from pydantic import BaseModel, Field, ValidationError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ragkit.core.errors import ConfigError, ContextExceeded, InputError, ProviderError
from ragkit.core.http_context import pass_on
from ragkit.core.http_errors import is_server_url, status_failure, transport_error
from ragkit.core.operation import Operation
from ragkit.core.protocols import Tokenizer
from ragkit.core.secrets import ServerAddress
from ragkit.core.settings import EmbedderSettings, RerankerSettings
from ragkit.core.text import may_exceed
from ragkit.core.types import FloatArray, Json
from ragkit.core.vectors import unit
from ragkit.models.embedding import ModelFacts, task_prompts
from ragkit.models.tokens import ModelTokenizer

logger = logging.getLogger(__name__)

PROVIDER = "vllm"
_ATTEMPTS = 4
_NOT_FOUND = 404
_SHOWN = 300
_START = "start the server, or correct the URL"
_WAIT_LONGER = "raise timeout_s of the embedder or reranker"
_ESTIMATED = re.compile(r"[A-Za-z]{1,3}|\d|[^\sA-Za-z\d]")
_MARKS = 2
"""Tokens that a model puts around a text."""

Body = TypeVar("Body", bound=BaseModel)
Pooled = TypeVar("Pooled", bound="PooledBody")


class ServedModelBody(BaseModel):
    """A served model; `root` is its folder or hub name on the server."""

    id: str
    root: str = ""
    max_model_len: int | None = None


class ServedModelsBody(BaseModel):
    """The served models."""

    data: list[ServedModelBody] = Field(min_length=1)


class VectorBody(BaseModel):
    """The vector of a text."""

    index: int
    embedding: list[float]


class PooledTokensBody(BaseModel):
    """The tokens of a request."""

    total_tokens: int | None = Field(None, ge=0)


class PooledBody(BaseModel):
    """The part that every response of a pooling model has."""

    usage: PooledTokensBody | None = None

    @property
    def tokens(self) -> int:
        """The tokens of the request, 0 where the server does not say them."""
        return (self.usage.total_tokens if self.usage else None) or 0


class VectorsBody(PooledBody):
    """The vectors of the texts of a request."""

    data: list[VectorBody]


class RelevanceBody(BaseModel):
    """The relevance of a document."""

    index: int
    relevance_score: float


class RelevancesBody(PooledBody):
    """The relevance of the documents of a request."""

    results: list[RelevanceBody]


class ScoreBody(BaseModel):
    """The score of a pair of texts."""

    index: int
    score: float


class ScoresBody(PooledBody):
    """The scores of the pairs of a request."""

    data: list[ScoreBody]


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedTokenizer:
    """A tokenizer for models whose own is not at hand: it counts rather too many tokens.

    A token is three letters, a digit or another character.
    """

    max_tokens: int

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token starts, in order."""
        return [match.start() for match in _ESTIMATED.finditer(text)]


class ModelServer:
    """A server's model: requests with a time limit, bounded repetition, errors in ragkit's terms.

    Safe to use from any thread.
    """

    def __init__(self, address: str, *, api_key: str | None, timeout_s: float) -> None:
        """Connect on first use.

        Args:
            address: `<URL>` or `<URL>#<model>`, with or without `/v1`.
            api_key: Sent as a bearer token.
            timeout_s: Seconds for a request.

        Raises:
            ConfigError: The address is not a URL.
        """
        url, _, model = address.partition("#")
        found = ServerAddress.parse(url, api_key)
        if not is_server_url(found.url):
            raise ConfigError(
                f"{found.url!r} is not a URL. Fix: write it as 'http://127.0.0.1:8000'."
            )
        self.url = found.url.rstrip("/").removesuffix("/v1")
        self._secrets = found.secrets
        self._name = model
        sent = f"Bearer {api_key}" if api_key else found.authorization
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": sent} if sent else {},
            timeout=timeout_s,
            event_hooks={"request": [pass_on]},
        )
        # An embedder is not closed by its users: its connections end with it.
        weakref.finalize(self, self._client.close)
        self._calls = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=10),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )

    @cached_property
    def model(self) -> ServedModelBody:
        """The chosen model, or the first one that is served.

        Raises:
            ConfigError: The chosen model is not served.
            ProviderError: The server does not answer.
        """
        found = self.fetch(ServedModelsBody, "GET", "/v1/models").data
        chosen = next((one for one in found if self._name in {"", one.id}), None)
        if chosen is None:
            names = ", ".join(repr(one.id) for one in found)
            raise ConfigError(f"{self.url} does not serve {self._name!r}. Fix: use one of {names}.")
        return chosen

    def fetch(
        self, kind: type[Body], method: str, path: str, body: Mapping[str, Json] | None = None
    ) -> Body:
        """Make a request, again after errors that may pass.

        Raises:
            InputError: The server rejected the request; `ContextExceeded` where it is too long.
            ProviderError: The server failed, or its response cannot be read.
        """
        content: bytes = self._calls.copy()(self._fetch, method, path, body)
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise ProviderError(
                f"The response of {self.url}{path} is broken: {content[:_SHOWN]!r}.",
                provider=PROVIDER,
                failure="broken_stream",
            ) from error

    def pool(self, kind: type[Pooled], path: str, body: Mapping[str, Json]) -> Pooled:
        """Have the model embed or score texts; observers see the call and its tokens.

        Raises:
            ConfigError: The chosen model is not served.
            InputError: See `fetch`.
            ProviderError: See `fetch`.
        """
        model = self.model.id
        with Operation(kind="pooling call", name=model) as call:
            found = self.fetch(kind, "POST", path, {"model": model, **body})
            call.facts["prompt_tokens"] = found.tokens
        return found

    def _fetch(self, method: str, path: str, body: Mapping[str, Json] | None) -> bytes:
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise transport_error(
                error, url=self.url, provider=PROVIDER, start=_START, wait=_WAIT_LONGER
            ) from error
        if response.is_error:
            said = self._secrets.hidden_bytes(response.content).decode(errors="replace")[:_SHOWN]
            raise _refusal(response.status_code, said, f"{self.url}{path}")
        return self._secrets.in_replies().hidden_bytes(response.content)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.retryable


def _refusal(status: int, said: str, url: str) -> InputError | ProviderError:
    if status in {400, 413, 422}:
        kind = ContextExceeded if "context length" in said or "too long" in said else InputError
        return kind(f"{url} rejected the request: {said}")
    fix = {
        401: " Fix: set api_key.",
        403: " Fix: set api_key.",
        404: " Fix: serve a pooling model.",
    }
    return ProviderError(
        f"{url} answered with status {status}: {said}.{fix.get(status, '')}",
        provider=PROVIDER,
        status=status,
        retryable=status in {408, 429} or status >= 500,
        failure=status_failure(status),
    )


class VLLMEncoder:
    """An embedding model on a server; a call's batches are in flight at the same time."""

    def __init__(self, address: str, settings: EmbedderSettings) -> None:
        """Connect on first use."""
        self._address, self._settings = address, settings
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._server = ModelServer(address, api_key=key, timeout_s=settings.timeout_s)

    def __reduce__(self) -> tuple[type[Self], tuple[str, EmbedderSettings]]:
        """Be pickled without connections."""
        return type(self), (self._address, self._settings)

    def facts(self) -> ModelFacts:
        """Ask the server for the model's facts."""
        prompts = task_prompts(self._settings, {})
        return ModelFacts(
            name=self._server.model.id,
            revision="vllm",
            dimensions=self._vectors(["a"]).shape[1],
            prompts=prompts,
            tokenizer=self._tokenizer,
        )

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        """See `Encoder.encode`; a text is cut after the tokens that its tokenizer counts."""
        size = self._settings.batch_size
        prompted = [prompt + self._cut(text) for text in texts]
        batches = [prompted[at : at + size] for at in range(0, len(prompted), size)]
        with ThreadPoolExecutor(self._settings.concurrency) as pool:
            # Each batch is part of the operation that runs here, whose context it takes along.
            sent = [
                pool.submit(contextvars.copy_context().run, self._vectors, batch)
                for batch in batches
            ]
            try:
                return unit(np.concatenate([one.result() for one in sent]))
            finally:
                for one in sent:
                    one.cancel()  # those that have not begun, where one failed

    def _cut(self, text: str) -> str:
        limit = self._tokenizer.max_tokens
        if not may_exceed(text, limit):
            return text
        starts = self._tokenizer.token_starts(text)
        return text if len(starts) <= limit else text[: starts[limit]]

    def _vectors(self, texts: Sequence[str]) -> FloatArray:
        body: dict[str, Json] = {"input": list(texts), "truncate_prompt_tokens": -1}
        found = self._server.pool(VectorsBody, "/v1/embeddings", body).data
        if sorted(one.index for one in found) != list(range(len(texts))):
            raise ProviderError(
                f"{self._server.url} returned {len(found)} vectors for {len(texts)} texts.",
                provider=PROVIDER,
            )
        ordered = sorted(found, key=lambda one: one.index)
        return np.array([one.embedding for one in ordered], dtype=np.float32)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """The model's own where its folder is on this machine, else an estimate."""
        model = self._server.model
        if model.max_model_len is None:
            raise ConfigError(
                f"{self._server.url} does not report the length of {model.id!r}. Fix: use vLLM."
            )
        prompt = task_prompts(self._settings, {})["passage"]
        file = Path(model.root) / "tokenizer.json"
        if model.root and file.is_file():
            return ModelTokenizer(file, model_max_tokens=model.max_model_len, prompt=prompt)
        used = len(_ESTIMATED.findall(prompt)) + _MARKS
        return EstimatedTokenizer(max_tokens=model.max_model_len - used)


class VLLMReranker:
    """A cross-encoder, or another model that scores pairs, on a server.

    A server that has no `/v1/rerank` is asked by `/v1/score`.
    """

    def __init__(self, address: str, settings: RerankerSettings) -> None:
        """Connect on first use."""
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._server = ModelServer(address, api_key=key, timeout_s=settings.timeout_s)
        self._reranks = True

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Return the relevance of each passage, float32 `[n]`, higher is better."""
        if not passages:
            return np.zeros(0, dtype=np.float32)
        return await asyncio.to_thread(self._relevances, query, passages)

    def _relevances(self, query: str, passages: Sequence[str]) -> FloatArray:
        if not self._reranks:
            return self._scores(query, passages)
        try:
            return self._rerank(query, passages)
        except ProviderError as error:
            if error.status != _NOT_FOUND:
                raise
            scores = self._scores(query, passages)
        logger.warning("%s has no /v1/rerank: its /v1/score is used.", self._server.url)
        self._reranks = False
        return scores

    def _rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        body: dict[str, Json] = {
            "query": query,
            "documents": list(passages),
            "truncate_prompt_tokens": -1,
        }
        found = self._server.pool(RelevancesBody, "/v1/rerank", body).results
        return self._placed({one.index: one.relevance_score for one in found}, len(passages))

    def _scores(self, query: str, passages: Sequence[str]) -> FloatArray:
        body: dict[str, Json] = {
            "text_1": query,
            "text_2": list(passages),
            "truncate_prompt_tokens": -1,
        }
        found = self._server.pool(ScoresBody, "/v1/score", body).data
        return self._placed({one.index: one.score for one in found}, len(passages))

    def _placed(self, scores: Mapping[int, float], count: int) -> FloatArray:
        if sorted(scores) != list(range(count)):
            raise ProviderError(
                f"{self._server.url} returned {len(scores)} scores for {count} passages.",
                provider=PROVIDER,
            )
        return np.array([scores[place] for place in range(count)], dtype=np.float32)
