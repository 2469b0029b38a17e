"""Make the pictures of traces in docs/images: one answer and one run of an agent, in Phoenix.

    python -m venv .venv-phoenix && .venv-phoenix/bin/pip install arize-phoenix
    PHOENIX_WORKING_DIR=$(mktemp -d) .venv-phoenix/bin/phoenix serve
    .venv/bin/python docs/trace_pictures.py [--phoenix http://127.0.0.1:6006]

Needs Debian's chromium. Searches, tools and spans are real; the replies of the language model are
scripted, so that the pictures are the same wherever they are made.
"""

import argparse
import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ragkit import AsyncRAG, Settings
from ragkit.agents import react, run
from ragkit.agents.tools import calculator, search_documents
from ragkit.core.settings import TelemetrySettings
from ragkit.telemetry.telemetry import TELEMETRY
from ragkit.testing import ScriptedLLM, says_action
from ragkit.testing.agents import says_finish

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WAIT_S = 60
COLOURS = 128
WIDTH, HEIGHT = 1400, 860
_LIGHT = "localStorage.setItem('arize-phoenix-theme', 'light')"
QUESTION = "Who designed the Scottish Parliament building?"
TASK = "How many years after its architect was chosen did the Scottish Parliament building open?"
QUOTE = (
    "The Scottish Parliament building was designed by Spanish architect Enric Miralles in "
    "partnership with local Edinburgh Architecture firm RMJM which was led by Design Principal "
    "Tony Kettle."
)
PICTURES = {"trace-answer": "invoke_workflow", "trace-agent": "invoke_agent react"}
"""The root span of each picture's trace."""


def quoted() -> str:
    """Return the reply of the model that answers from the first passage."""
    said = {
        "quotes": [{"passage": "1", "quote": QUOTE}],
        "sufficient": True,
        "answer": "Enric Miralles, with RMJM.",
        "citations": ["1"],
    }
    return json.dumps(said, separators=(",", ":"))


async def send(endpoint: str) -> None:
    """Answer a question and run an agent, with traces sent to Phoenix."""
    telemetry = TelemetrySettings(
        export="otlp", endpoint=endpoint, names="openinference", content=True
    )
    replies = [
        quoted(),
        says_action("When did it open?", ("search_documents", {"query": QUESTION})),
        says_action("The years between.", ("calculator", {"expression": "2004 - 1998"})),
        says_finish("Six years."),
    ]
    settings = Settings(telemetry=telemetry)
    llm = ScriptedLLM(replies, delay_s=0.002, model="scripted")
    async with AsyncRAG(settings, index=":memory:", llm=llm) as rag:
        await rag.ingest(ROOT / "examples" / "corpus" / "society")
        await rag.search(QUESTION)  # so that no model is loaded within the traces
        await rag.ask(QUESTION, mode="generative")
        await run(react(llm, [search_documents(rag, k=3), calculator()]), TASK)
    await asyncio.to_thread(TELEMETRY.stop)


def traces(phoenix: str) -> dict[str, tuple[str, str]]:
    """Return the project and the trace of each root span, once Phoenix has stored them."""
    until = time.monotonic() + WAIT_S
    with httpx.Client(base_url=phoenix, timeout=WAIT_S) as client:
        project = client.get("/v1/projects/default").raise_for_status().json()["data"]["id"]
        while time.monotonic() < until:
            spans: list[dict[str, Any]] = client.get(
                "/v1/projects/default/spans", params={"limit": 1000}
            ).json()["data"]
            spans.sort(key=lambda one: str(one["start_time"]))
            roots = {one["name"]: one for one in spans if not one["parent_id"]}  # the latest
            if set(PICTURES.values()) <= set(roots):
                return {
                    name: (project, roots[name]["context"]["trace_id"])
                    for name in PICTURES.values()
                }
            time.sleep(0.2)
    raise SystemExit(f"Phoenix has not stored the traces after {WAIT_S} s; it has {list(roots)}.")


def take(page: Page, url: str, file: Path) -> None:
    """Take the picture of a trace, in few colours so that it is small."""
    page.goto(url)
    page.get_by_role("tab", name="Info").wait_for()
    page.wait_for_load_state("networkidle")
    taken = Image.open(io.BytesIO(page.screenshot()))
    taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)


def main() -> None:
    """Send the traces and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phoenix", default="http://127.0.0.1:6006")
    phoenix = parser.parse_args().phoenix
    asyncio.run(send(phoenix))
    found = traces(phoenix)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.add_init_script(_LIGHT)
        page.set_default_timeout(WAIT_S * 1000)
        for name, root in PICTURES.items():
            project, trace = found[root]
            take(page, f"{phoenix}/projects/{project}/traces/{trace}", IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
