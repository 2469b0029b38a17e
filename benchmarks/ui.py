"""What a person waits for in `ragkit ui`: the first page, an answer, a moved slider.

    python -m benchmarks.ui [--repeats 5]

The real application with the packaged models over the example documents, in Debian's chromium.
Prints a table and writes `results/ui.json`.
"""

import argparse
import contextlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.report import Row, publish
from ragkit import RAG

EXAMPLES = Path(__file__).parents[1] / "examples"
QUESTIONS = (
    "Who designed the Scottish Parliament building?",
    "What did Tesla patent in 1891?",
    "When did Martin Luther marry?",
    "Where does the Rhine begin?",
    "What is the highest court of the European Union?",
)
WAIT_MS = 120_000
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run")


@contextlib.contextmanager
def serving(folder: Path) -> Generator[tuple[str, float]]:
    """Serve the application; give its address, and the seconds until it answered."""
    with RAG(index=folder / "index") as rag:
        rag.ingest(EXAMPLES / "corpus", exclude=["questions.jsonl"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "ragkit.ui", "--index", str(folder / "index")]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--data", str(folder / "data"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/_stcore/health", timeout=5).is_success:
                    break
            time.sleep(0.02)
        yield url, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(timeout=30)


def seconds(job: Callable[[], object]) -> float:
    """Time a job."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def settled(page: Page) -> None:
    """Wait until a run of the page's script has ended."""
    expect(page.locator('[data-test-script-state="notRunning"]')).to_be_attached()


def first_page(page: Page, url: str) -> None:
    """Open the application until a question can be typed."""
    page.goto(url, wait_until="commit")
    page.get_by_test_id("stChatInputTextArea").wait_for()


def loaded(page: Page) -> None:
    """Wait until the models are loaded."""
    expect(page.get_by_text(re.compile("^Loading"))).to_have_count(0)
    settled(page)


def ask(page: Page, number: int) -> None:
    """Ask a question, and wait for the end of its answer."""
    page.get_by_test_id("stChatInputTextArea").fill(QUESTIONS[number % len(QUESTIONS)])
    page.keyboard.press("Enter")
    page.locator(".rk-meta").nth(number).wait_for()


def move(page: Page, number: int) -> None:
    """Move the slider of BM25's weight to an end, and wait for other scores."""
    scores = page.locator(".rk-columns section").nth(2).locator(".rk-score")
    before = scores.all_inner_texts()
    page.get_by_role("slider", name="Weight of BM25").focus()
    page.keyboard.press("Home" if number % 2 == 0 else "End")
    changed = "([at, text]) => document.querySelectorAll(at)[1]?.innerText !== text"
    page.wait_for_function(changed, arg=[".rk-columns section:nth-of-type(3) .rk-score", before[1]])


def measure(url: str, start_s: float, repeats: int) -> list[Row]:
    """Measure in a new browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        rows: list[Row] = [
            {"what": "the server answers", "median s": start_s, "longest s": start_s}
        ]
        rows.append(_row("first page after that", [seconds(partial(first_page, page, url))]))
        rows.append(_row("models loaded after that", [seconds(partial(loaded, page))]))
        other = browser.new_context().new_page()
        rows.append(
            _row("first page of another visitor", [seconds(partial(first_page, other, url))])
        )
        other.context.close()
        rows.append(_row("first question", [seconds(partial(ask, page, 0))]))
        asked = [seconds(partial(ask, page, number)) for number in range(1, repeats + 1)]
        rows.append(_row("warm question", asked))
        page.goto(f"{url}/inspect?q=Scottish+Parliament+building&weights=true")
        expect(page.locator(".rk-columns")).to_be_visible()
        settled(page)
        moved = [seconds(partial(move, page, number)) for number in range(repeats)]
        rows.append(_row("slider moved", moved))
        browser.close()
    return rows


def _row(what: str, times: list[float]) -> Row:
    return {"what": what, "median s": float(np.median(times)), "longest s": max(times)}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (url, start_s):
        publish("ui", measure(url, start_s, options.repeats), note="seconds, in chromium")


if __name__ == "__main__":
    main()
