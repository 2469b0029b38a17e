"""The one `Settings`: from arguments, `RAGKIT_*` variables and `ragkit.toml`, in that order.

A nested setting is a table in the file (`[index]`, `location = "..."`) and has a double underscore
in its variable (`RAGKIT_INDEX__LOCATION`). Building `Settings` reads that file and the environment
and does nothing else.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ragkit.core.errors import ConfigError
from ragkit.core.secrets import without_credentials
from ragkit.core.types import (
    DEFAULT_TENANT,
    ChunkerName,
    ContextName,
    FieldType,
    Quantization,
    TransformName,
)

Positive = Annotated[int, Field(gt=0)]
FusionWeight: TypeAlias = Annotated[float, Field(ge=0, le=1_000_000)]
"""The weight of a leg; only the share of the two counts."""
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

OcrLanguages = Annotated[str, Field(pattern=r"^\w+(\+\w+)*$")]

_PREFIX = "RAGKIT_"
_OF_TESTS = "RAGKIT_TEST_"
_SECRETS = frozenset({"api_key"})


Address = Annotated[str, PlainSerializer(without_credentials, when_used="json")]
"""A text that may be or hold a URL; its password stands neither in the JSON nor in the repr."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """Yield the settings without the passwords of URLs."""
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if isinstance(value, str) else value


class IndexSettings(_Section):
    """The store of the chunks.

    `location` is a folder (Qdrant Edge, in process), an `http(s)://` URL (Qdrant server),
    `ragkit:` and a URL (the index behind a ragkit server) or `":memory:"`.

    A search first compares prefixes of `search_dimensions`; they are quantised to
    `int8`, to `binary`, which finds less (`benchmarks/quantization.py`), or not (`none`). That
    applies when an index is created, as do `shards`, `replicas` and `many_tenants` (one HNSW graph
    for each tenant instead of one for all) of a server's.

    `wait_s` is how long a folder is waited for while another process uses it. `timeout_s` bounds
    one request to a server, `retry_s` all tries of it; `lease_s` is how long other writers leave an
    unfinished commit alone. `grpc_port` turns on gRPC for searches and writes.
    """

    location: Address = ".ragkit/index"
    collection: str = "ragkit"
    api_key: SecretStr | None = None
    search_dimensions: Positive | None = 128
    quantization: Quantization = "int8"
    language: str = "english"
    fields: Mapping[str, FieldType] = Field(default_factory=dict[str, FieldType])
    shards: Positive = 1
    replicas: Positive = 1
    many_tenants: bool = False
    timeout_s: Seconds = 30.0
    retry_s: Annotated[float, Field(ge=0)] = 60.0
    wait_s: Annotated[float, Field(ge=0)] = 10.0
    lease_s: Seconds = 900.0
    grpc_port: Annotated[int, Field(gt=0, lt=65536)] | None = None


class EmbedderSettings(_Section):
    """The embedder.

    `model` is `"packaged:all-minilm-l6-v2"`, `"sentence-transformers:<folder or hub name>"` or
    `"vllm:<URL>[#model]"`. `rotation` is a file made by `ragkit train matryoshka`, which puts most
    of what a vector says into its first dimensions and keeps all similarities (`auto`: the packaged
    model's own, none for others). `dimensions` keeps a Matryoshka prefix of each vector; `dtype` is
    the arithmetic of the forward pass (`auto`: bfloat16 autocast where the CPU has it, else
    float32). With `late_chunking`, passages are embedded within as much of their document as the
    model reads at once; it takes a local model that pools by the mean. `api_key`, `timeout_s` and
    `concurrency` (requests at the same time) are for a server.
    """

    model: Address = "packaged:all-minilm-l6-v2"
    rotation: str | None = "auto"
    dimensions: Positive | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    batch_size: Positive = 32
    device: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    late_chunking: bool = False
    api_key: SecretStr | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    concurrency: Positive = 8


class RerankerSettings(_Section):
    """The reranker.

    `model` is `"packaged:minilm-reader"`, `"cross-encoder:<folder or hub name>"`,
    `"vllm:<URL>[#model]"` or empty: then hits are not reranked. `api_key` and `timeout_s` are for a
    server.
    """

    model: Address | None = None
    depth: Positive = 20
    batch_size: Positive = 32
    device: str | None = None
    api_key: SecretStr | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0


class WebSettings(_Section):
    """The requests for web pages and sitemaps.

    `delay_s` passes between two requests, or more where robots.txt asks for it; `robots` obeys that
    file. `timeout_s` bounds each wait for a site, and a whole response to ten times as much;
    `max_pages` bounds the pages of one sitemap. With `private`, a name may stand for an address
    that is not public.
    """

    delay_s: Annotated[float, Field(ge=0)] = 0.2
    timeout_s: Seconds = 30.0
    max_pages: Positive = 50_000
    robots: bool = True
    private: bool = False


class SqlSettings(_Section):
    """A query whose rows are documents; `ragkit ingest sql:NAME` reads it.

    `database` is a SQLite file or a `postgresql://` URL. `uri`, `text` and `title` are the columns
    that identify a row and hold its text and title; those of `metadata` become metadata.
    """

    database: Address
    query: str
    uri: str = "id"
    text: str = "text"
    title: str | None = None
    metadata: tuple[str, ...] = ()


class RaySettings(_Section):
    """The Ray cluster of the engine `ray`.

    `address` is `"local"` for one that is started on this machine, `"auto"` for the one that this
    machine belongs to, or the host and port of its head. `parsers` is the number of actors that
    load and divide documents, `embedders` of those that embed, with `gpus_per_embedder` GPUs each;
    None is what the cluster has. `start_s` is the time for starting the first actor of each kind.
    """

    address: Annotated[str, Field(min_length=1)] = "local"
    parsers: Positive | None = None
    embedders: Positive | None = None
    gpus_per_embedder: Annotated[float, Field(ge=0)] | None = None
    start_s: Seconds = 300.0


class IngestSettings(_Section):
    """The reading and dividing of documents.

    `chunker` divides into passages of up to `chunk_tokens` of the embedder's tokens
    (docs/ingestion.md); `chunkers` are those of other extensions, such as `{".py": "fixed"}`.
    `context` is embedded and indexed above each passage: title and headings, a line that the model
    of `llm.model` writes under them, or nothing.
    `encoding` is for text that is not UTF-8. `ocr` are the languages of scanned pages, as Tesseract
    names them (`eng`, `deu+eng`); None leaves such pages unread. `web` bounds the requests for web
    pages; `sql` are queries by name.

    `workers` is the number of processes that load documents, 0 for none: then a document that hangs
    or takes all memory takes the whole process with it. `document_timeout_s` and
    `document_memory_mb` bound each document that they load. With the engine `ray`, the machines of
    the cluster of `ray` load, divide and embed instead.
    """

    chunker: ChunkerName = "recursive"
    context: ContextName = "headings"
    chunkers: Mapping[str, ChunkerName] = Field(default_factory=dict[str, ChunkerName])
    chunk_tokens: Positive = 200
    overlap_tokens: Annotated[int, Field(ge=0)] = 0
    max_file_mb: Positive = 50
    encoding: str = "utf-8"
    ocr: OcrLanguages | None = None
    ocr_timeout_s: Seconds = 60.0
    batch_chunks: Positive = 512
    web: WebSettings = WebSettings()
    sql: Mapping[str, SqlSettings] = Field(default_factory=dict[str, SqlSettings])
    engine: Literal["local", "ray"] = "local"
    ray: RaySettings = RaySettings()
    workers: Annotated[int, Field(ge=0)] = 1
    document_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    document_memory_mb: Annotated[int, Field(gt=0, le=2**20)] = 2048


class RetrievalSettings(_Section):
    """`depth` is what each leg returns, or more where more hits are asked for or reranked.

    `fusion` joins the legs by their scores, scaled, or by reciprocal ranks with `rrf_k`. Weights
    that are left out are those that were fitted with the embedder, 1 and 1 for most
    (`ragkit.retrieval.fusion`). `rerank_weight` is the reranker's share in the final order, the
    rest the fused score's; where left out it is the reranker's own, 0.3 for the packaged one, 1 for
    others.

    With `drop_duplicates`, a chunk whose text equals that of a better one is left out, and with
    `near_duplicates` one of whose words so large a share stands in better ones, in the same order,
    and all of its numbers; the hit names them. `transform` is what is made of a query first;
    `mmr_lambda` turns maximal marginal relevance on, over so many candidates; `neighbours` is how
    many chunks before and after each hit come with it; `best_at_the_ends` orders passages for a
    language model.
    """

    k: Positive = 5
    depth: Positive = 100
    fusion: Literal["scores", "rrf"] = "scores"
    rrf_k: Positive = 60
    dense_weight: FusionWeight | None = None
    bm25_weight: FusionWeight | None = None
    rerank_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    drop_duplicates: bool = True
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = None
    transform: TransformName | None = None
    mmr_lambda: Annotated[float, Field(ge=0, le=1)] | None = None
    mmr_candidates: Positive = 20
    neighbours: Annotated[int, Field(ge=0)] = 0
    best_at_the_ends: bool = False
    context_tokens: Positive = 1500


class AnswerSettings(_Section):
    """The answering of questions.

    `mode` is `snippet` (the sentences, steps or code that answer, with a short answer marked in
    them), `reader` (a short span), `extractive` (sentences) or `generative`, which takes the model
    of `llm.model`. `threshold` is the confidence, 0 to 1, below which the first three abstain; None
    is the answerer's own (docs/answering.md).
    """

    mode: Literal["snippet", "reader", "extractive", "generative"] = "snippet"
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    max_quotes: Positive = 3


class LLMSettings(_Section):
    """`model` is `"<server>:<URL>[#model]"`, `"local:<folder or hub name>"` or None.

    A server is `vllm`, `sglang`, `llamacpp`, `ollama` or `openai`; `"ollama:<model>"` is one on
    this machine, `"openai:<model>"` OpenAI's own. `context_tokens` is for a server that does not
    report its context.
    `concurrency` bounds the calls of a server in flight; `device` is for a local model. `extra` are
    further fields of each request, such as `{"chat_template_kwargs": {"enable_thinking": false}}`;
    `reasoning_tokens` is what a reasoning model may use before its reply. After `breaker_failures`
    failed calls of a server in a row, calls are refused at once for half a minute; None is never.
    """

    model: Address | None = None
    api_key: SecretStr | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    concurrency: Positive = 64
    device: str | None = None
    extra: dict[str, JsonValue] = {}
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0
    context_tokens: Positive | None = None
    breaker_failures: Positive | None = None


class PriceSettings(_Section):
    """The price of a model's tokens, in any currency.

    `prompt`, `completion` and `cached` (prompt tokens from the prefix cache; None is the price of
    others) are for a million tokens. For a model of one's own, `gpu_hour` is the price of an hour
    of all its GPUs, which make `prompt_tokens_per_s` and `completion_tokens_per_s`.
    """

    prompt: Amount = 0.0
    completion: Amount = 0.0
    cached: Amount | None = None
    gpu_hour: Amount = 0.0
    prompt_tokens_per_s: Seconds | None = None
    completion_tokens_per_s: Seconds | None = None

    @model_validator(mode="after")
    def _has_speed(self) -> Self:
        if self.gpu_hour and not (self.prompt_tokens_per_s or self.completion_tokens_per_s):
            raise ValueError("gpu_hour needs prompt_tokens_per_s or completion_tokens_per_s")
        if not self.gpu_hour and (self.prompt_tokens_per_s or self.completion_tokens_per_s):
            raise ValueError("prompt_tokens_per_s and completion_tokens_per_s need gpu_hour")
        return self


class CostSettings(_Section):
    """The prices of models by name, `*` for all other language models, and budgets.

    Embedding and reranking models of a server cost their `prompt` price, where they are named.

    `tenant_per_day` is the most that the requests of a tenant may cost on a day (UTC); a key has
    its own (`ragkit keys add --cost-per-day`).
    """

    prices: Mapping[str, PriceSettings] = Field(default_factory=dict[str, PriceSettings])
    tenant_per_day: Mapping[str, Amount] = Field(default_factory=dict[str, float])


class SLOSettings(_Section):
    """The objectives that a server's replies are measured against, in seconds; None is none.

    `first_text_s` is the time to the first text of a reply, `token_s` that for each further token,
    `reply_s` that of the whole reply. Goodput is what meets all that are set.
    """

    first_text_s: Seconds | None = None
    token_s: Seconds | None = None
    reply_s: Seconds | None = None


class TelemetrySettings(_Section):
    """The traces of this process; they need the extra `telemetry`.

    `export` sends them to a collector by OTLP over HTTP at `endpoint` (`otlp`), prints them
    (`console`), or leaves them to the tracer provider of OpenTelemetry that the application has set
    (`application`). `names` are those of OpenTelemetry's GenAI conventions, of OpenInference, or
    both. Texts of users, models and documents are recorded with `content` only, each cut after
    `content_chars`. `sample` is the share of traces that are recorded, where the client of a server
    has not decided. `timeout_s` bounds one request to the collector.
    """

    export: Literal["off", "otlp", "console", "application"] = "off"
    endpoint: Address = "http://127.0.0.1:4318"
    api_key: SecretStr | None = None
    names: Literal["genai", "openinference", "both"] = "genai"
    content: bool = False
    content_chars: Positive = 4000
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    service: str = "ragkit"
    timeout_s: Seconds = 5.0


class Settings(BaseSettings):
    """Everything that can be set, with the defaults that work offline."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        toml_file="ragkit.toml",
        extra="forbid",
        frozen=True,
    )

    tenant: str = DEFAULT_TENANT
    index: IndexSettings = IndexSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = RerankerSettings()
    ingest: IngestSettings = IngestSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    answer: AnswerSettings = AnswerSettings()
    llm: LLMSettings = LLMSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    slo: SLOSettings = SLOSettings()
    costs: CostSettings = CostSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then `ragkit.toml`."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def _check_variables(cls) -> None:
        """Raise `ConfigError` for a `RAGKIT_` variable of no setting."""
        ours = (name for name in os.environ if name.upper().startswith(_PREFIX))
        for name in ours:
            section = name[len(_PREFIX) :].partition("__")[0].lower()
            if section not in cls.model_fields and not name.startswith(_OF_TESTS):
                raise ConfigError(
                    f"{name} is no setting of ragkit. Fix: write RAGKIT_SECTION__NAME, with one of "
                    f"the sections {', '.join(cls.model_fields)}."
                )

    @classmethod
    def load(cls, file: Path | None = None) -> Self:
        """Read the settings, from the named file instead of `./ragkit.toml` if one is given.

        Raises:
            ConfigError: A setting is unknown or has a bad value; the message names it.
        """
        try:
            cls._check_variables()
            if file is None:
                return cls()
            if not file.is_file():
                raise ConfigError(f"No settings file at {str(file)!r}.")
            chosen = type(cls.__name__, (cls,), {"model_config": {"toml_file": file}})
            return cls.model_construct(**dict(chosen()))
        except ValidationError as error:
            # Not `from error`: its text, which tracebacks print, has the values.
            raise ConfigError(_explain(error)) from None
        except ValueError as error:
            raise ConfigError(f"The settings cannot be read: {error}") from error


def _explain(error: ValidationError) -> str:
    lines = (f"{'.'.join(map(str, item['loc']))}: {_reason(item)}" for item in error.errors())
    return (
        f"Bad settings: {'; '.join(lines)}. "
        "Fix: correct these in ragkit.toml or the RAGKIT_ variables."
    )


def _reason(item: ErrorDetails) -> str:
    # A value may be a secret: where the name is unknown, where the field is one, and where a whole
    # section was given.
    unknown = item["type"] in {"extra_forbidden", "model_type"}
    secret = any(str(part) in _SECRETS for part in item["loc"])
    value = item["input"]
    if unknown or secret or not isinstance(value, str | int | float):
        return item["msg"]
    return f"{item['msg']}, got {value!r}"
