"""Building the answerer that the settings ask for."""

from ragkit.answering.extractive import ExtractiveAnswerer
from ragkit.answering.reader import ReaderAnswerer
from ragkit.answering.snippet import SnippetAnswerer
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, Answerer, Embedder
from ragkit.core.settings import Settings
from ragkit.models.cross_encoder import packaged_cross_encoder


def build_answerer(settings: Settings, *, embedder: Embedder, llm: LLM | None = None) -> Answerer:
    """Return the answerer of `settings.answer.mode`.

    Args:
        settings: `answer`, the language of `index`, and the order of passages of `retrieval`.
        embedder: The embedder of the index.
        llm: The language model of the mode `generative`; unused by the others.

    Raises:
        ConfigError: The mode needs a language model, and no model is set.
    """
    config, language = settings.answer, settings.index.language
    if config.mode == "snippet":
        network = packaged_cross_encoder()
        return SnippetAnswerer(network, embedder, settings=config, language=language)
    if config.mode == "reader":
        network = packaged_cross_encoder()
        return ReaderAnswerer(network, embedder, settings=config, language=language)
    if config.mode == "extractive":
        return ExtractiveAnswerer(embedder, settings=config, language=language)
    if llm is None:
        raise ConfigError(
            "answer.mode is 'generative', which needs a language model, and llm.model is not set. "
            "Fix: set llm.model (RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000, or --llm)."
        )
    from ragkit.answering.generative import GenerativeAnswerer  # imports the grammar compiler

    ends = settings.retrieval.best_at_the_ends
    return GenerativeAnswerer(llm, settings=config, language=language, ends=ends)
