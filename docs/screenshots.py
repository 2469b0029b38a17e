"""Make the pictures of `ragkit ui` in docs/images: every page, wide, narrow and dark.

Run from the repository with Debian's chromium: `.venv/bin/python docs/screenshots.py`
"""

import asyncio
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ragkit import RAG
from ragkit.core.operation import request_id
from ragkit.core.settings import CostSettings, PriceSettings, Settings
from ragkit.core.types import Usage
from ragkit.evaluation.retrieval import measure_retrieval
from ragkit.evaluation.runs import save_run
from ragkit.evaluation.test_sets import GenerationOptions, generate_from_files
from ragkit.server.costs import COSTS_NAME, CostLedger, RequestAccount, running_account
from ragkit.server.keys import ApiKey

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "examples" / "corpus"
IMAGES = ROOT / "docs" / "images"
PORT = 8599
URL = f"http://127.0.0.1:{PORT}"
WAIT_MS = 60_000
START_S = 120
COLOURS = 128
QUESTIONS = ("Who designed the Scottish Parliament building?", "What did Tesla patent in 1891?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A size and a scheme to take pictures in."""

    name: str
    width: int
    height: int
    dark: bool = False


LOOKS = (
    Look(name="wide", width=1360, height=850),
    Look(name="dark", width=1360, height=850, dark=True),
    Look(name="narrow", width=390, height=844),
)


def settled(page: Page) -> None:
    """Wait until everything is loaded and drawn."""
    expect(page.get_by_text(re.compile("^Loading"))).to_have_count(0)
    expect(page.locator('[data-test-script-state="notRunning"]')).to_be_attached()


def ask(page: Page) -> None:
    """Ask two questions."""
    page.goto(URL)
    settled(page)
    for number, question in enumerate(QUESTIONS, start=1):
        page.get_by_test_id("stChatInputTextArea").fill(question)
        page.keyboard.press("Enter")
        expect(page.locator(".rk-meta")).to_have_count(number)
        settled(page)


def source(page: Page) -> None:
    """Open the source of an answer."""
    ask(page)
    page.get_by_role("button", name=re.compile(r"\[\d\] Nikola Tesla")).first.click()
    expect(page.get_by_role("dialog").get_by_test_id("stImage")).to_be_visible()
    settled(page)


def documents(page: Page) -> None:
    """Show the passages of a document."""
    page.goto(f"{URL}/documents")
    settled(page)
    page.get_by_text("Add documents").click()
    page.get_by_label("Filter").fill("rhine")
    page.keyboard.press("Enter")
    settled(page)
    box = page.get_by_test_id("stDataFrame").bounding_box()
    if box is None:
        raise SystemExit("The list of documents is not there.")
    page.mouse.click(box["x"] + 18, box["y"] + 52)
    expect(page.locator(".rk-chunk").first).to_be_visible()
    settled(page)


def inspect(page: Page) -> None:
    """Show the stages of a search."""
    page.goto(
        f"{URL}/inspect?q=Who+designed+the+Scottish+Parliament%3F&reranker=packaged%3Aminilm-reader"
    )
    expect(page.locator(".rk-columns")).to_be_visible()
    settled(page)


def evaluate(page: Page) -> None:
    """Compare two runs."""
    page.goto(f"{URL}/evaluate")
    settled(page)
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel").filter(has_text="A, before")
    expect(panel.get_by_test_id("stVegaLiteChart").last).to_be_visible()
    settled(page)


def agents(page: Page) -> None:
    """Show a recorded run."""
    page.goto(f"{URL}/agents")
    settled(page)
    page.get_by_role("button", name=re.compile("Recorded: ReWOO")).click()
    expect(page.locator(".rk-final")).to_be_visible()
    settled(page)


def system(page: Page) -> None:
    """Show what the doctor finds."""
    page.goto(f"{URL}/system")
    settled(page)
    if page.locator(".rk-table").filter(has_text="pydantic").count() == 0:
        page.get_by_role("button", name="Run doctor").click()
    expect(page.locator(".rk-table").filter(has_text="pydantic")).to_be_visible()
    settled(page)


def plan(page: Page) -> None:
    """Show the GPUs and the cost of a model."""
    page.goto(f"{URL}/plan")
    settled(page)
    expect(page.get_by_test_id("stVegaLiteChart").last).to_be_visible()
    settled(page)


def costs(page: Page) -> None:
    """Show what the keys of a server cost."""
    page.goto(f"{URL}/costs")
    settled(page)
    expect(page.get_by_test_id("stVegaLiteChart").last).to_be_visible()
    settled(page)


SCENES: tuple[Callable[[Page], None], ...] = (
    ask,
    source,
    documents,
    inspect,
    evaluate,
    agents,
    plan,
    costs,
    system,
)


def chosen_scenes() -> list[Callable[[Page], None]]:
    """Return the scenes that are named on the command line, or all."""
    return [scene for scene in SCENES if not sys.argv[1:] or scene.__name__ in sys.argv[1:]]


async def prepare_runs(folder: Path) -> None:
    """Measure two settings on questions made of the example documents."""
    settings = Settings()
    made, _ = await generate_from_files(settings, [CORPUS / "history"], GenerationOptions(limit=40))
    for name, k in (("before", 60), ("after", 10)):
        retrieval = settings.retrieval.model_copy(update={"fusion": "rrf", "rrf_k": k})
        chosen = settings.model_copy(update={"retrieval": retrieval})
        evaluation = await measure_retrieval(chosen, made.dataset, ("bm25", "dense", "hybrid"))
        day = "01" if name == "before" else "02"
        save_run(evaluation, folder / f"2026-11-{day} 10.00.00 retrieval {name}.json")


def prepare_costs(folder: Path) -> None:
    """Enter requests of two weeks, as a server does."""
    folder.mkdir(parents=True)
    prices = CostSettings(prices={"qwen3-8b": PriceSettings(prompt=0.2, completion=0.6)})
    for day, (key, tokens) in product(
        range(14), [("support", 90_000), ("research", 40_000), ("intern", 5_000)]
    ):
        now = time.time() - day * 86_400
        ledger = CostLedger(folder / COSTS_NAME, prices, now=lambda now=now: now)
        request_id.set(f"{key}-{day}")
        running_account.set(RequestAccount())
        charge = ledger.reserve(
            ApiKey(name=key, digest="", tenant="default"), model="qwen3-8b", usage=Usage()
        )
        spent = tokens * (3 + (day * 5 + len(key)) % 7)
        charge.account.add("qwen3-8b", Usage(prompt=spent, completion=spent // 8))
        ledger.settle(charge)
        ledger.close()


@contextlib.contextmanager
def serving(folder: Path) -> Generator[None]:
    """Serve the application over the example documents."""
    index, data = ROOT / ".ragkit" / "ui", folder / "data"
    with RAG(index=index) as rag:
        rag.ingest(CORPUS, exclude=["questions.jsonl"])
    if evaluate in chosen_scenes():
        asyncio.run(prepare_runs(data / "evaluations"))
    command = [sys.executable, "-m", "ragkit.ui", "--index", ".ragkit/ui", "--data", str(data)]
    prepare_costs(folder / "server")
    given = ["--port", str(PORT), "--questions", str(CORPUS.parent / "questions.jsonl")]
    given += ["--server-data", str(folder / "server")]
    process = subprocess.Popen([*command, *given], cwd=ROOT)
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{URL}/_stcore/health", timeout=5).is_success:
                    break
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def take(browser: Browser, look: Look, scene: Callable[[Page], None]) -> None:
    """Take one picture, in few colours so that it is small."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme="dark" if look.dark else "light",
    )
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    scene(page)
    page.mouse.move(0, 0)
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = IMAGES / f"{scene.__name__}-{look.name}.png"
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    context.close()


def main() -> None:
    """Take all pictures, or those of the scenes that are named."""
    IMAGES.mkdir(exist_ok=True)
    scenes = chosen_scenes()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        for look in LOOKS:
            for scene in scenes:
                take(browser, look, scene)
        browser.close()


if __name__ == "__main__":
    main()
