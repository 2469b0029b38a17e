"""Make the recorded runs of agents that `ragkit ui` shows where there is no model.

The model is scripted; tools, search, plan, budget and times are real. Run from the repository:
`.venv/bin/python docs/recordings.py`
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from ragkit.agents import Budget
from ragkit.answering.conversations import Owner
from ragkit.core.settings import Settings
from ragkit.core.sync import run_sync
from ragkit.core.types import Pattern
from ragkit.testing.agents import says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedLLM
from ragkit.ui.agent_run import AgentRun
from ragkit.ui.options import Options
from ragkit.ui.run_store import RECORDINGS, AgentChoices
from ragkit.ui.workspace import Workspace

CORPUS = Path(__file__).parents[1] / "examples" / "corpus"
MADE = (
    "a scripted model with real tools over the example documents; a real model writes this itself."
)
DELAY_S = 0.02


RUNS: dict[str, tuple[Pattern, str, Iterable[str]]] = {
    "ReAct on the Rhine": (
        "react",
        "What is Europe's largest inland port, and on which river does it lie?",
        [
            says_action(
                "I look for the port first.",
                ("search_documents", {"query": "Europe's largest inland port"}),
            ),
            says_finish(
                "Duisburg is Europe's largest inland port; it lies on the Rhine.",
                "The first passage names both.",
            ),
        ],
    ),
    "ReWOO on two centuries": (
        "rewoo",
        "How many years lie between Tesla's birth and the oil crisis of 1973?",
        [
            says_plan(
                ("search_documents", {"query": "When was Nikola Tesla born?"}),
                ("search_documents", {"query": "When did the oil crisis begin?"}),
                ("calculator", {"expression": "1973 - 1856"}),
            ),
            "117 years: Tesla was born in 1856, and the oil crisis began in October 1973.",
        ],
    ),
}


def main() -> None:
    """Ingest the example documents, run each agent, and write its recording."""
    RECORDINGS.mkdir(exist_ok=True)
    for name, (pattern, question, script) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            llm = ScriptedLLM(script, delay_s=DELAY_S)
            options = Options(index=f"{folder}/index", data=Path(folder))
            workspace = Workspace(options, settings=Settings(), llm=llm)
            run_sync(lambda: workspace.rag.ingest(CORPUS, exclude=["questions.jsonl"]))  # noqa: B023  # called at once
            choices = AgentChoices(pattern=pattern, budget=Budget())
            owner = Owner(name="recordings", tenant=workspace.tenant)
            run = AgentRun(workspace, choices, question, owner=owner)
            run.wait()
            if run.error:
                raise SystemExit(run.error)
            kept = run.kept().model_copy(update={"recorded": MADE})
            path = RECORDINGS / f"{name}.json"
            path.write_text(kept.model_dump_json(), encoding="utf-8")
            workspace.close()


if __name__ == "__main__":
    main()
