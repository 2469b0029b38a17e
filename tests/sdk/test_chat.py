import json
import threading
from pathlib import Path

import pytest

from ragkit import RAG, AsyncRAG
from ragkit.core.errors import InputError, ProviderError
from ragkit.core.settings import AnswerSettings, EmbedderSettings, Settings
from ragkit.sdk import parts
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import FailingLLM, ScriptedLLM

SETTINGS = Settings(answer=AnswerSettings(mode="extractive", threshold=0.0))
RIVERS = ("rivers.md", "# Rivers\n\nThe longest river of Europe is the Volga, of 3,530 km.")


def rag(llm: ScriptedLLM | FailingLLM | None = None) -> RAG:
    made = RAG(SETTINGS, index=":memory:", embedder=HashEmbedder(dimensions=64), llm=llm)
    made.ingest(RIVERS, ("lakes.md", "# Lakes\n\nThe deepest lake is Baikal."))
    return made


def test_a_follow_up_is_asked_with_what_came_before_and_goes_on_after_a_restart(
    tmp_path: Path,
) -> None:
    file = tmp_path / "conversations.sqlite"
    question = json.dumps({"question": "How long is the Volga?"}, separators=(",", ":"))
    talk = rag(ScriptedLLM([question])).chat(file=file)
    assert talk.id == ""
    assert talk.ask("What is the longest river of Europe?").condensed is False
    reply = talk.ask("And how long is it?")
    assert (reply.query, reply.condensed) == ("How long is the Volga?", True)
    llm = ScriptedLLM([question])
    again = rag(llm).chat(file=file, conversation=talk.id)
    assert again.history == talk.history
    assert len(again.history) == 4
    assert again.ask("Say it again?").query == "How long is the Volga?"
    assert "longest river of Europe" in llm.calls[0].prompt


def test_conversations_of_one_file_share_a_store_that_closes_with_the_documents(
    tmp_path: Path,
) -> None:
    file = tmp_path / "conversations.sqlite"
    with rag() as made:
        first, second = made.chat(file=file), made.chat(file=str(file), user="ann")
        store = first.asynchronous.store
        assert store is not None
        assert store is second.asynchronous.store
        first.ask("What is the longest river of Europe?")
        assert Path(f"{file}-wal").exists()
    assert not Path(f"{file}-wal").exists()


def test_without_a_file_nothing_is_kept_and_without_a_model_nothing_is_rewritten() -> None:
    talk = rag().chat()
    talk.ask("What is the longest river of Europe?")
    reply = talk.ask("deepest lake")
    assert (reply.query, reply.condensed, talk.id) == ("deepest lake", False, "")
    assert len(talk.history) == 4


def test_a_stream_is_kept_when_it_has_ended() -> None:
    talk = rag().chat(where='uri == "lakes.md"')
    deltas = list(talk.ask_stream("What is the deepest lake?"))
    assert deltas[-1].reply is not None
    assert "Baikal" in "".join(delta.text for delta in deltas)
    assert [message.role for message in talk.history] == ["user", "assistant"]
    assert {citation.uri for citation in deltas[-1].reply.answer.citations} == {"lakes.md"}


def test_the_conversation_of_another_user_or_tenant_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "conversations.sqlite"
    with rag() as mine:
        talk = mine.chat(file=file, user="ann")
        talk.ask("What is the longest river of Europe?")
        for other in (
            {"user": "bob"},
            {"user": "ann", "tenant": "other"},
        ):
            with pytest.raises(InputError, match=talk.id):
                mine.chat(file=file, conversation=talk.id, **other)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="without file"):
            mine.chat(conversation=talk.id)
        for nobody in ("", None):
            with pytest.raises(InputError, match=r"user is .*Fix: name one"):
                mine.chat(file=file, user=nobody)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # callers need not be checked by types
        with pytest.raises(InputError, match="file of a database is ''"):
            mine.chat(file="")
        with pytest.raises(InputError, match="'tenent'"):
            mine.chat(tenent="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # a typo


async def test_a_question_that_fails_leaves_the_conversation_as_it_was() -> None:
    async with AsyncRAG(
        SETTINGS,
        index=":memory:",
        embedder=HashEmbedder(dimensions=64),
        llm=FailingLLM(ProviderError("down", provider="p")),
    ) as made:
        await made.ingest(RIVERS)
        talk = made.chat()
        await talk.ask("What is the longest river of Europe?")
        with pytest.raises(ProviderError):
            await talk.ask("How long is it?")
        with pytest.raises(InputError, match="empty"):
            await talk.ask(" ")
        assert len(talk.history) == 2


async def test_models_are_loaded_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = list[int]()

    def slow(settings: EmbedderSettings) -> HashEmbedder:
        threads.append(threading.get_ident())
        return HashEmbedder(dimensions=64)

    monkeypatch.setattr(parts, "build_embedder", slow)
    async with AsyncRAG(SETTINGS, index=":memory:") as made:
        await made.chat().ask("What is the longest river of Europe?")
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
