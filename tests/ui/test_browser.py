"""Whole stories in a real Chromium, against the application with doubles for models."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from ragkit import RAG, Document
from ragkit.testing.embedder import HashEmbedder
from tests.ui.conftest import DOCUMENTS
from tests.ui.index_server import IndexServer
from tests.ui.served_app import ANSWER
from tests.ui.test_evaluation_runs import write_run

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Debian's chromium is not installed: no test in a browser", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

ROOT = Path(__file__).parents[2]
START_S = 200
WAIT_MS = 90_000
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# The driver of the browser is a process of its own, spoken to through pipes and a loop.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.enable_socket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running application: its address, and the folder of its data."""

    url: str
    data: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, index: str, **environment: str) -> Generator[Served]:
    """Serve the application with doubles over an index, until the scope is left."""
    data, port = folder / "data", free_port()
    script = ROOT / "tests" / "ui" / "served_app.py"
    given = ["--index", index, "--data", str(data), "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), *given],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **environment},
        )
        try:
            wait_until_served(f"http://127.0.0.1:{port}/_stcore/health", process, folder / "log")
            yield Served(url=f"http://127.0.0.1:{port}", data=data)
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until_served(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"The application did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module", name="served")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    with RAG(index=folder / "index", embedder=HashEmbedder()) as rag:
        rag.ingest(*DOCUMENTS)
    with serving(folder, str(folder / "index")) as served:
        yield served


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(name="page")
def _page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that was never here before."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    yield page
    assert page.get_by_test_id("stException").all_inner_texts() == []
    context.close()


def open_view(page: Page, served: Served, path: str = "") -> None:
    """Open a page and wait until everything is loaded."""
    page.goto(f"{served.url}/{path}")
    expect(page.get_by_text(re.compile("^Loading"))).to_have_count(0)
    settled(page)


def settled(page: Page) -> None:
    expect(page.locator('[data-test-script-state="notRunning"]')).to_be_attached()


def upload(page: Page, *files: Path) -> None:
    """Choose files, again where a page that is still being drawn loses them."""
    shown = page.get_by_text(f"{len(files)} file{'s' if len(files) > 1 else ''} uploaded")
    for _ in range(5):
        page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(files)
        with contextlib.suppress(AssertionError):
            expect(shown).to_be_visible(timeout=15_000)
            return
    expect(shown).to_be_visible()


def ask(page: Page, question: str) -> None:
    page.get_by_test_id("stChatInputTextArea").fill(question)
    page.keyboard.press("Enter")


def by_sentences(page: Page) -> None:
    """Have sentences answer, instead of the scripted model."""
    page.get_by_text("How to answer").click()
    page.get_by_text("Sentences (offline)").click()
    settled(page)


def test_a_question_is_answered_and_its_source_opens_with_the_passage_marked(
    page: Page, served: Served
) -> None:
    open_view(page, served)
    by_sentences(page)
    ask(page, "How long do refunds take?")
    expect(page.locator(".rk-answered")).to_be_visible()
    expect(page.locator(".rk-meta").first).to_contain_text("confidence")
    settled(page)
    page.get_by_role("button", name=re.compile(r"\[1\] Refunds")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".rk-passage mark")).to_be_visible()
    expect(dialog.locator(".rk-passage")).to_contain_text("<script>alert(1)</script>")
    assert page.evaluate("document.querySelectorAll('.rk-passage script').length") == 0


def test_a_conversation_is_there_after_a_reload_and_in_a_second_tab_but_not_for_others(
    page: Page, served: Served, browser: Browser
) -> None:
    open_view(page, served)
    by_sentences(page)
    ask(page, "When does the museum open?")
    expect(page.locator(".rk-answered")).to_be_visible()
    settled(page)
    page.reload()
    title = page.get_by_role("button", name="When does the museum open?")
    expect(title).to_be_visible()
    tab = page.context.new_page()
    open_view(tab, served)
    tab.get_by_role("button", name="When does the museum open?").click()
    expect(tab.locator(".rk-answered")).to_be_visible()
    stranger = browser.new_context().new_page()
    open_view(stranger, served)
    expect(stranger.get_by_role("button", name="New conversation")).to_be_visible()
    expect(stranger.get_by_role("button", name="When does the museum open?")).to_have_count(0)
    stranger.context.close()


def test_a_long_answer_is_stopped_and_what_was_written_stays(page: Page, served: Served) -> None:
    open_view(page, served)
    ask(page, "Are gift cards refunded, slowly?")
    expect(page.locator(".rk-cursor")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Stopped by you")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Are gift cards refunded, slowly?").click()
    expect(page.get_by_text("Stopped by you")).to_be_visible()
    expect(page.locator(".rk-stopped")).not_to_be_empty()


def test_an_answer_is_written_to_its_end_though_its_page_is_left_and_reloaded(
    page: Page, served: Served
) -> None:
    question = "Are gift cards ever refunded?"
    open_view(page, served)
    ask(page, question)
    expect(page.locator(".rk-cursor")).to_be_visible()
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_text("Ask your documents").first).to_be_visible()
    page.get_by_role("link", name="System").click()
    expect(page.get_by_role("button", name="Run doctor")).to_be_visible()
    open_view(page, served)
    page.get_by_role("button", name=question).click()
    page.reload()
    page.get_by_role("button", name=question).click()
    expect(page.locator(".rk-answered")).to_contain_text(ANSWER.strip())
    expect(page.get_by_text("Stopped by you")).to_have_count(0)


def test_a_question_during_an_answer_stays_in_the_field(page: Page, served: Served) -> None:
    question, second = "Are gift cards refunded as slowly?", "When does the museum open?"
    open_view(page, served)
    ask(page, question)
    expect(page.locator(".rk-cursor")).to_be_visible()
    tab = page.context.new_page()
    tab.goto(served.url)
    tab.get_by_role("button", name=question).click()
    expect(tab.locator(".rk-cursor")).to_be_visible()
    ask(tab, second)
    expect(tab.get_by_text("Your question was not sent")).to_be_visible()
    expect(tab.get_by_test_id("stChatInputTextArea")).to_have_value(second)
    tab.get_by_role("button", name="Stop", exact=True).click()
    for side in (page, tab):
        expect(side.get_by_text("Stopped by you")).to_be_visible()
    expect(tab.get_by_test_id("stChatInputTextArea")).to_have_value(second)


def test_markup_of_a_uri_a_filter_and_a_title_does_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    image = "![x](http://evil.example/p.png)"
    evil = Document.from_text("The keeper owns seven zebras.", uri=f"`{image}`.md", title="Evil")
    with RAG(index=tmp_path / "index", embedder=HashEmbedder()) as rag:
        rag.ingest(evil)
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    with serving(tmp_path, str(tmp_path / "index")) as served:
        open_view(page, served, f"inspect?q=zebras&if={quote(f'{image} [Log in](//evil.example)')}")
        expect(page.get_by_role("alert")).to_contain_text(f"{image} [Log in](//evil.example)")
        assert page.get_by_role("alert").get_by_role("link", name="Log in").count() == 0
        open_view(page, served, "inspect?q=zebras")
        expect(page.get_by_text(f"{evil.uri} · characters")).to_be_visible()
        open_view(page, served)
        by_sentences(page)
        ask(page, f"Zebras `a[0]` {image}")
        expect(page.locator(".rk-answered")).to_be_visible()
        settled(page)
        expect(page.get_by_role("button", name=f"Zebras `a[0]` {image}")).to_be_visible()
        page.get_by_role("button", name="[1] Evil").click()
        expect(page.get_by_role("dialog").get_by_text(f"{evil.uri} · char")).to_be_visible()
        assert [url for url in asked if "evil.example" in url.partition("?")[0]] == []
        context.close()


def test_an_upload_is_ingested_and_answers(page: Page, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "lighthouse.md"
    file.write_text("# Lighthouse\n\nThe lighthouse is 41 metres high.\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    open_view(page, served, "documents")
    upload(page, file, tmp_path / "broken.pdf")
    settled(page)
    page.get_by_role("button", name="Ingest").click()
    expect(page.get_by_text("1 added, 1 failed")).to_be_visible()
    expect(page.locator(".rk-table")).to_contain_text("damaged")
    expect(page.get_by_text("4 documents")).to_be_visible()
    page.get_by_role("link", name="Inspect").click()
    page.get_by_label("Query").fill("How high is the lighthouse?")
    page.keyboard.press("Enter")
    expect(page.locator(".rk-columns section").nth(2)).to_contain_text("41 metres")
    assert (served.data / "uploads" / "default" / "lighthouse.md").is_file()


def test_a_slider_moves_ranks_and_the_address_restores_the_view(
    page: Page, served: Served, browser: Browser
) -> None:
    open_view(page, served, "inspect?q=refund+parcel&weights=true")
    fused = page.locator(".rk-columns section").nth(2).locator(".rk-score")
    expect(fused.first).to_be_visible()
    before = fused.all_inner_texts()
    page.get_by_role("slider", name="Weight of BM25").focus()
    page.keyboard.press("Home")
    expect(fused.nth(1)).not_to_have_text(before[1])
    expect(page).to_have_url(re.compile("bm25=0"))
    after = fused.all_inner_texts()
    other = browser.new_context().new_page()
    open_view(other, served, page.url.removeprefix(f"{served.url}/"))
    expect(other.locator(".rk-columns section").nth(2).locator(".rk-score").nth(1)).to_have_text(
        after[1]
    )
    other.context.close()


def test_an_agent_waits_for_approval_and_goes_on(page: Page, served: Served) -> None:
    open_view(page, served, "agents")
    page.get_by_test_id("stMultiSelect").locator("input").click()
    page.keyboard.type("save_note")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    settled(page)
    page.get_by_label("Question").fill("Please use save_note on refunds")
    page.keyboard.press("Control+Enter")
    settled(page)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("waits for you")).to_be_visible()
    page.get_by_role("button", name="Approve").or_(
        page.get_by_role("radio", name="Approve")
    ).click()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".rk-final")).to_contain_text("It is done.")
    notes = list((served.data / "agents").rglob("notes.md"))
    assert [note.read_text() for note in notes] == ["Refunds take 5 days.\n\n"]


def test_two_evaluations_are_compared(page: Page, served: Served) -> None:
    folder = served.data / "evaluations"
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder / "2026-01-01 a.json")
    write_run(folder / "2026-01-02 b.json", shift=0.3)
    open_view(page, served, "evaluate")
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel").filter(has_text="A, before")
    expect(panel.locator(".rk-table").first).to_contain_text("ndcg@10")
    expect(panel.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    panel.get_by_role("link", name="How long?").click()
    expect(page.locator(".rk-columns")).to_be_visible()


def test_a_model_server_that_is_down_is_a_sentence(page: Page, served: Served) -> None:
    open_view(page, served)
    page.get_by_text("How to answer").click()
    field = page.get_by_role("textbox", name="Language model", exact=True)
    field.fill("vllm:http://127.0.0.1:9")
    page.keyboard.press("Enter")
    settled(page)
    ask(page, "How long do refunds take?")
    expect(page.get_by_role("alert").filter(has_text="127.0.0.1:9")).to_be_visible()
    expect(page.get_by_text("How long do refunds take?").first).to_be_visible()


def test_a_narrow_screen_has_every_page_and_nothing_wider_than_itself(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    for path in ("", "documents", "inspect?q=refunds", "evaluate", "agents", "system"):
        open_view(page, served, path)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, path
    context.close()


def test_nothing_is_asked_of_another_host(page: Page, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("", "inspect?q=refunds", "system"):
        open_view(page, served, path)
    foreign = [url for url in asked if not url.startswith((served.url, "data:", "blob:"))]
    assert foreign == []


def test_the_index_of_a_server_is_used_with_a_key_and_survives_that_server(
    page: Page, tmp_path: Path
) -> None:
    server = IndexServer(tmp_path / "server")
    secret = server.key("write")
    server.start()
    environment = {"RAGKIT_INDEX__API_KEY": secret, "RAGKIT_INDEX__RETRY_S": "0.5"}
    file = tmp_path / "lighthouse.md"
    file.write_text("# Lighthouse\n\nThe lighthouse is 41 metres high.\n")
    with serving(tmp_path, server.location, **environment) as served:
        open_view(page, served, "documents")
        upload(page, file)
        settled(page)
        page.get_by_role("button", name="Ingest").click()
        expect(page.get_by_text("1 added")).to_be_visible()
        open_view(page, served, "inspect?q=lighthouse&dims=64")
        expect(page.locator(".rk-columns section").nth(2)).to_contain_text("41 metres")
        open_view(page, served, "system")
        page.get_by_role("tab", name="Settings").click()
        expect(page.get_by_text("index.api_key")).to_be_visible()
        assert secret not in page.content()
        open_view(page, served)
        by_sentences(page)
        server.stop()
        ask(page, "How high is the lighthouse?")
        expect(page.get_by_role("alert").filter(has_text="Fix: ragkit serve")).to_be_visible()
        expect(page.get_by_text("How high is the lighthouse?").first).to_be_visible()
        settled(page)
        server.start()
        ask(page, "How high is the lighthouse?")
        expect(page.locator(".rk-answered")).to_contain_text("41 metres")
    server.stop()
