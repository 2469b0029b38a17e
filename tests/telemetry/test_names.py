import importlib
from pathlib import Path

from ragkit.server.metrics import Metrics
from ragkit.telemetry.names import CONTENT, FACTS, KINDS, STAGES

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"


def _code(name: str) -> str:
    return f"`{name}`" if name else ""


def test_the_page_has_every_name() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Names")[2].splitlines()
    rows = [
        f"| {kind} | {names.span} | {_code(names.operation)} | {_code(names.openinference)} |"
        for kind, names in [*KINDS.items(), *((" ".join(at), one) for at, one in STAGES.items())]
    ]
    for table in (FACTS, CONTENT):
        rows += [
            f"| {key} | {_code(name.genai)} | {_code(name.openinference)} |"
            for key, name in table.items()
        ]
    assert [row for row in rows if row not in page] == []
    assert len([line for line in page if line.startswith("| ")]) == len(rows) + 2 * 3


def test_names_of_genai_are_those_of_the_installed_conventions() -> None:
    conventions = importlib.import_module(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    known = {value for value in vars(conventions).values() if isinstance(value, str)}
    named = [name.genai for name in (*FACTS.values(), *CONTENT.values())]
    assert [name for name in named if name.startswith("gen_ai.") and name not in known] == []


def test_the_page_has_every_metric() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = {family.name for family in Metrics().registry.collect()}
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []
