"""Building the embedder and the reranker that the settings name."""

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Embedder, Reranker
from ragkit.core.settings import EmbedderSettings, RerankerSettings
from ragkit.models.cross_encoder import PACKAGED_READER, packaged_cross_encoder
from ragkit.models.embedding import ModelEmbedder
from ragkit.models.minilm import MiniLMEncoder
from ragkit.models.packaged import packaged_model
from ragkit.models.reranking import CrossEncoderReranker, PackagedReranker
from ragkit.models.sentence_transformer import SentenceTransformerEncoder


def build_embedder(settings: EmbedderSettings) -> Embedder:
    """Build the embedder of the settings; its model is loaded on first use.

    Raises:
        ConfigError: The provider, or the packaged model, is unknown.
    """
    provider, _, name = settings.model.partition(":")
    if provider == "packaged" and packaged_model(name):
        return ModelEmbedder(settings, MiniLMEncoder(settings))
    if provider == "sentence-transformers" and name:
        return ModelEmbedder(settings, SentenceTransformerEncoder(name, settings))
    if provider == "vllm" and name:
        from ragkit.models.server import VLLMEncoder  # with httpx, which the others do without

        return ModelEmbedder(settings, VLLMEncoder(name, settings))
    raise ConfigError(
        f"Unknown embedder {settings.model!r}. Fix: write 'packaged:all-minilm-l6-v2', "
        "'sentence-transformers:<folder or hub name>' or 'vllm:<URL>[#model]'."
    )


def build_reranker(settings: RerankerSettings) -> Reranker | None:
    """Build the reranker of the settings, or return None where `model` is empty.

    Raises:
        ConfigError: The provider is unknown.
    """
    if not settings.model:
        return None
    if settings.model == PACKAGED_READER:
        return PackagedReranker(packaged_cross_encoder())
    provider, _, name = settings.model.partition(":")
    if provider == "vllm" and name:
        from ragkit.models.server import VLLMReranker  # with httpx

        return VLLMReranker(name, settings)
    if provider == "cross-encoder" and name:
        return CrossEncoderReranker(name, batch_size=settings.batch_size, device=settings.device)
    raise ConfigError(
        f"Unknown reranker {settings.model!r}. Fix: write {PACKAGED_READER!r}, "
        "'cross-encoder:<folder or hub name>' or 'vllm:<URL>[#model]'."
    )
