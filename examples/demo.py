"""Ingest the example documents and answer questions from them, offline: `make demo`."""

from pathlib import Path

from ragkit import RAG, Settings
from ragkit.cli import console
from ragkit.core.settings import RerankerSettings

CORPUS = Path(__file__).parent / "corpus"
QUESTIONS = (
    "Who designed the Scottish Parliament building?",
    "What did Tesla patent in 1891?",
    "What is Europe's largest inland port?",
    "What type of bat that lives in the Amazon rainforest can spread rabies?",
    "What new product did Bank of America introduce in 1958?",
    "How are chloroplasts in land plants usually shaped?",
)
UNANSWERABLE = "How many actors have played Doctor Who?"


def main() -> None:
    """Ingest, ask questions that the documents answer, then one that they don't."""
    settings = Settings.load()
    if settings.reranker.model is None:
        reranker = RerankerSettings(model="packaged:minilm-reader")
        settings = settings.model_copy(update={"reranker": reranker})
    with (
        console.progress(quiet=False) as on_progress,
        RAG(settings, index=".ragkit/demo", on_progress=on_progress) as rag,
    ):
        console.show_report(rag.ingest(CORPUS, sync=True))
        console.show_reranking(reranked=rag.asynchronous.reranker is not None)
        for question in QUESTIONS:
            console.out.rule()
            console.show_answer(question, rag.ask(question))
        console.out.rule("not in the documents")
        console.show_answer(UNANSWERABLE, rag.ask(UNANSWERABLE))


if __name__ == "__main__":
    main()
