"""Every page, drawn by Streamlit's own test runner, without a browser."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import NumberInput

from ragkit.core.errors import InputError
from ragkit.planning.model_table import MODELS
from ragkit.testing.agents import says_action, says_finish
from ragkit.testing.llm import ScriptedLLM
from ragkit.ui.ingestion import Ingestion
from ragkit.ui.uploads import Upload
from ragkit.ui.views.plan import own_model
from ragkit.ui.workspace import Workspace, install
from tests.ui.conftest import MakeWorkspace, as_read, filled
from tests.ui.test_evaluation_runs import write_run

WHOLE = "from ragkit.ui.app import main\nmain()"
PAGE = """
from ragkit.ui.frame import show_page
from ragkit.ui.workspace import workspace
show_page(workspace(), {page!r})
"""
TIMEOUT_S = 60


def open_page(workspace: Workspace, page: str) -> AppTest:
    """Draw a page over this workspace."""
    install(lambda: workspace)
    app = AppTest.from_string(PAGE.format(page=page), default_timeout=TIMEOUT_S)
    return app.run()


def html_of(app: AppTest) -> str:
    """All HTML of a page."""
    return "\n".join(element.proto.body for element in app.get("html"))


def settle(app: AppTest) -> AppTest:
    """Run a page again until its background work is over."""
    assert not app.exception
    return app.run()


def test_the_application_draws_its_first_page_while_models_are_loaded(
    make_workspace: MakeWorkspace,
) -> None:
    workspace = make_workspace()
    install(lambda: workspace)
    app = AppTest.from_string(WHOLE, default_timeout=TIMEOUT_S).run()
    assert not app.exception
    assert "Ask your documents" in html_of(app)
    assert workspace.models.wait(TIMEOUT_S)


def test_a_missing_index_is_a_sentence_with_a_button_to_try_again(
    make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(index=str(tmp_path / "missing"))
    workspace.start()
    assert workspace.models.wait(TIMEOUT_S)
    install(lambda: workspace)
    app = AppTest.from_string(WHOLE, default_timeout=TIMEOUT_S).run()
    assert [as_read(error.value).partition(":")[0] for error in app.error] == ["Index"]
    assert "Fix" in as_read(app.error[0].value) or "ingest" in as_read(app.error[0].value)
    assert app.button(key="retry-index").label == "Try again"


def test_settings_that_cannot_be_read_are_a_sentence() -> None:
    def broken() -> Workspace:
        from ragkit.core.settings import Settings

        Settings.load(Path("no-such.toml"))
        raise AssertionError("not reached")

    install(broken)
    app = AppTest.from_string(WHOLE, default_timeout=TIMEOUT_S).run()
    assert not app.exception
    assert "no-such.toml" in as_read(app.error[0].value)


def ask(app: AppTest, question: str) -> AppTest:
    return app.chat_input(key="question").set_value(question).run()


def test_ask_answers_with_numbered_sources_and_keeps_the_conversation(
    workspace: Workspace,
) -> None:
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    assert not app.exception
    assert '<div class="rk-answer rk-answered">' in html_of(app)
    assert "<script" not in html_of(app)
    assert [message.name for message in app.chat_message] == ["user", "assistant"]
    sources = [button.label for button in app.button if button.label.startswith("[1]")]
    assert sources
    assert "Refunds" in sources[0]
    assert "confidence" in html_of(app)
    again = open_page(workspace, "ask")  # another tab, which has a name of its own here
    assert len(again.chat_message) == 0


def test_a_rerun_neither_asks_again_nor_forgets(workspace: Workspace) -> None:
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    before = len(workspace.latencies.all()["search"])
    for _ in range(3):
        app.run()
    assert len(workspace.latencies.all()["search"]) == before
    assert len(app.chat_message) == 2


def test_a_source_opens_over_the_page_with_the_passage_marked(workspace: Workspace) -> None:
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    next(button for button in app.button if button.label.startswith("[1]")).click().run()
    assert not app.exception
    html = html_of(app)
    assert '<div class="rk-passage"' in html
    assert "<mark>" in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_follow_up_says_that_it_was_asked_as_it_is(workspace: Workspace) -> None:
    app = ask(ask(open_page(workspace, "ask"), "How long do refunds take?"), "And gift cards?")
    assert any("Asked as it is" in as_read(caption.value) for caption in app.caption)
    assert len(app.chat_message) == 4


def test_a_conversation_is_renamed_and_deleted(workspace: Workspace) -> None:
    app = ask(open_page(workspace, "ask"), "How long do refunds take?")
    key = str(app.session_state["conversation"])
    app.text_input(key=f"title-{key}").set_value("Refunds")
    app.button(key=f"rename-{key}").click().run()
    assert app.button(key=f"open-{key}").label == "Refunds"
    app.button(key=f"delete-{key}").click().run()
    assert len(app.chat_message) == 0
    assert not [button for button in app.button if button.key == f"open-{key}"]


def test_a_model_that_is_down_leaves_the_question_and_a_sentence(workspace: Workspace) -> None:
    app = open_page(workspace, "ask")
    app.radio(key="mode").set_value("generative").run()
    app.text_input(key="model").set_value("nonsense").run()
    ask(app, "How long do refunds take?")
    assert not app.exception
    assert app.error
    assert "How long do refunds take?" in html_of(app)


def test_documents_are_listed_filtered_and_their_passages_shown(workspace: Workspace) -> None:
    app = open_page(workspace, "documents")
    assert not app.exception
    assert any("3 documents" in text.value for text in app.markdown)
    app.text_input(key="list-filter").set_value("museum").run()
    shown = str(app.dataframe[0].value)
    assert "Museum" in shown
    assert "Delivery" not in shown


def test_an_ingestion_is_followed_to_its_rows(workspace: Workspace) -> None:
    files = [
        Upload(name="a.md", data=b"# A\n\nText."),
        Upload(name="b.xyz", data=b"x"),
    ]
    workspace.ingestion = Ingestion(workspace, uploads=files)
    assert workspace.ingestion.job.wait(TIMEOUT_S)
    app = open_page(workspace, "documents")
    assert "1 added, 1 failed" in as_read(app.warning[0].value)
    assert "Fix: convert it" in html_of(app)


def test_nothing_to_ingest_and_a_missing_folder_are_sentences(workspace: Workspace) -> None:
    app = open_page(workspace, "documents")
    next(button for button in app.button if button.label == "Ingest").click().run()
    assert "Fix: choose files" in as_read(app.error[0].value)
    app.text_input(key="path").set_value("/no/such/folder").run()
    next(button for button in app.button if button.label == "Ingest").click().run()
    assert "There is nothing at" in as_read(app.error[0].value)
    assert app.text_input(key="path").value == "/no/such/folder"


def test_read_only_hides_what_changes_anything(make_workspace: MakeWorkspace) -> None:
    workspace = filled(make_workspace(read_only=True))
    documents = open_page(workspace, "documents")
    assert not [button for button in documents.button if button.label == "Ingest"]
    assert not documents.get("file_uploader")
    evaluate = open_page(workspace, "evaluate")
    assert not [button for button in evaluate.button if button.label == "Measure"]
    agents = open_page(workspace, "agents")
    assert "more-tools" not in [field.key for field in agents.text_input]


def test_inspect_shows_the_stages_and_a_slider_changes_them(workspace: Workspace) -> None:
    app = open_page(workspace, "inspect")
    app.text_input(key="q").set_value("How long do refunds take?").run()
    assert not app.exception
    assert html_of(app).count("<section") == 4
    assert any("3 hits," in caption.value for caption in app.caption)
    app.slider(key="k").set_value(1).run()
    assert any("1 hit," in caption.value for caption in app.caption)
    app.selectbox(key="why").set_value("museum.txt").run()
    assert not app.exception
    assert "best rank of its passages" in html_of(app)


def test_inspect_puts_two_settings_side_by_side(workspace: Workspace) -> None:
    app = open_page(workspace, "inspect")
    app.text_input(key="q").set_value("refunds").run()
    app.toggle(key="two").set_value(True).run()
    app.slider(key="b_k").set_value(1).run()
    assert not app.exception
    assert "Setting A" in html_of(app)
    assert any("1 of 3 hits in common" in text.value for text in app.markdown)


def test_inspect_says_what_is_wrong_with_a_filter(workspace: Workspace) -> None:
    app = open_page(workspace, "inspect")
    app.text_input(key="q").set_value("refunds").run()
    app.text_input(key="if").set_value("colour = 3").run()
    assert not app.exception
    assert app.error
    assert app.text_input(key="q").value == "refunds"


def test_agents_without_a_model_offer_a_recording(workspace: Workspace) -> None:
    app = open_page(workspace, "agents")
    assert "needs a language model" in app.info[0].value
    assert next(button for button in app.button if button.label == "Run").disabled
    next(button for button in app.button if button.label.startswith("Recorded")).click().run()
    assert not app.exception
    assert "Recorded:" in as_read(app.warning[0].value)
    events = app.slider[0]
    assert events.value == events.max
    events.set_value(0).run()
    assert "rk-final" not in html_of(app)


def test_an_agent_runs_waits_for_approval_and_goes_on(make_workspace: MakeWorkspace) -> None:
    note = says_action("I write.", ("save_note", {"text": "Refunds: 5 days."}))
    workspace = filled(make_workspace(ScriptedLLM([note, says_finish("Noted.")])))
    app = open_page(workspace, "agents")
    app.multiselect(key="tools").set_value(["save_note"]).run()
    app.text_area(key="task").set_value("Note the refunds.").run()
    next(button for button in app.button if button.label == "Run").click().run()
    (run,) = workspace.agent_runs.values()
    assert run.wait(TIMEOUT_S)
    settle(app)
    assert any("waits for you" in text.value for text in app.markdown)
    assert app.button(key="continue-run").disabled
    decision = next(str(key) for key in app.session_state if str(key).startswith("decision-"))
    app.session_state[decision] = "Approve"
    app.run()
    app.button(key="continue-run").click().run()
    assert run.wait(TIMEOUT_S)
    settle(app)
    assert "Noted." in html_of(app)
    assert app.selectbox(key="prompt-step").options[0].startswith("1 ")


def test_evaluations_are_shown_and_compared(workspace: Workspace) -> None:
    workspace.evaluations.mkdir(parents=True)
    write_run(workspace.evaluations / "2026-01-01 a.json")
    write_run(workspace.evaluations / "2026-01-02 b.json", shift=0.3)
    app = open_page(workspace, "evaluate")
    assert not app.exception
    html = html_of(app)
    assert "0.667 (" in html
    assert 'href="inspect?q=How%20long%3F"' in html
    assert "<b>Where" not in html
    assert any("ndcg@10" in as_read(text.value) for text in app.markdown)


def test_an_evaluation_of_nothing_is_a_sentence(workspace: Workspace) -> None:
    app = open_page(workspace, "evaluate")
    app.text_input(key="set-path").set_value("/no/such/set").run()
    next(button for button in app.button if button.label == "Measure").click().run()
    assert "There is nothing at '/no/such/set'" in as_read(app.error[0].value)


@pytest.mark.parametrize("asked", [False, True])
def test_system_shows_settings_latencies_and_failures(workspace: Workspace, asked: bool) -> None:
    if asked:
        ask(open_page(workspace, "ask"), "How long do refunds take?")
        workspace.failures.add("ask", "It <b>broke</b>.")
    app = open_page(workspace, "system")
    assert not app.exception
    html = html_of(app)
    assert "retrieval.k" in html
    assert ("It &lt;b&gt;broke" in html) == asked
    assert ("median" in html) == asked


def test_plan_shows_gpus_costs_and_curves_and_follows_its_controls(workspace: Workspace) -> None:
    app = open_page(workspace, "plan")
    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["GPUs"] == "1 x H100"
    assert float(shown["GPU-hours per million tokens"]) < 1
    assert "8.03 billion" in html_of(app)
    assert app.code[0].value.startswith("vllm serve MODEL --max-model-len=2300")
    assert len(app.get("vega_lite_chart")) == 2
    number_input(app, "Price of a GPU-hour").set_value(2.5).run()
    number_input(app, "Requests per second").set_value(200.0).run()
    shown = {metric.label: metric.value for metric in app.metric}
    assert float(shown["Price per million tokens"]) < 1
    assert int(shown["GPUs"].split()[0]) > 1


def test_plan_says_what_does_not_fit_and_still_sizes_an_index(workspace: Workspace) -> None:
    app = open_page(workspace, "plan")
    number_input(app, "Tokens of a prompt").set_value(200_000).run()
    assert not app.exception
    assert "has a context of 131072" in as_read(app.error[0].value)
    number_input(app, "Chunks embedded per second, as measured").set_value(500.0).run()
    assert "binary" in html_of(app)
    assert any("Time to embed" in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[]", "not a JSON object"),
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"{}", "lacks 'model_type'"),
        (b'{"model_type": "x"}', "whose layers are not known"),
    ],
)
def test_plan_names_what_is_wrong_with_a_config(content: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        own_model("config.json", content)


def test_plan_reads_a_config_of_ones_own() -> None:
    config = json.dumps({**MODELS["qwen3-8b"], "max_position_embeddings": 1000})
    assert own_model("mine.json", config.encode()).context == 1000


def number_input(app: AppTest, label: str) -> NumberInput:
    """The number input with a label."""
    return next(one for one in app.number_input if one.label == label)
