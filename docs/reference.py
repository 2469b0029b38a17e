"""Write docs/reference.md, the page of every public type: `python docs/reference.py`."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints, is_typeddict

from pydantic import BaseModel

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Reference
Every public type, with its import path, its fields or parameters, and the first line of its
documentation; `help(NAME)` shows the rest. This page is made by `python docs/reference.py`, and a
test compares it with the code.
"""
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "The front door": ("ragkit", "ragkit.sdk", "ragkit.sdk.langchain"),
    "Settings": ("ragkit.core.settings",),
    "Values": ("ragkit.core.types", "ragkit.core.filters"),
    "Protocols of the parts": (
        "ragkit.core.protocols", "ragkit.core.reply_grammar", "ragkit.core.progress",
        "ragkit.retrieval.protocol",
    ),
    "Errors": ("ragkit.core.errors",),
    "Ingestion": (
        "ragkit.ingest.report", "ragkit.ingest.pipeline", "ragkit.ingest.sources",
        "ragkit.ingest.chunkers.recursive", "ragkit.ingest.loaders",
    ),
    "Indexes": (
        "ragkit.index.edge", "ragkit.index.server", "ragkit.index.memory", "ragkit.index.integrity",
    ),
    "Models": (
        "ragkit.models.embedding", "ragkit.models.reranking", "ragkit.models.cross_encoder",
    ),
    "Retrieval": (
        "ragkit.retrieval.hybrid", "ragkit.retrieval.results", "ragkit.retrieval.request",
        "ragkit.retrieval.query", "ragkit.retrieval.context", "ragkit.retrieval.fusion",
        "ragkit.retrieval.query_expansion", "ragkit.retrieval.feedback",
        "ragkit.retrieval.diversity", "ragkit.retrieval.neighbours",
    ),
    "Answering": (
        "ragkit.answering.extractive", "ragkit.answering.reader", "ragkit.answering.snippet",
        "ragkit.answering.generative", "ragkit.answering.chat",
    ),
    "Language models": ("ragkit.llm", "ragkit.llm.langchain"),
    "Grammars": ("ragkit.grammar",),
    "Agents": ("ragkit.agents", "ragkit.agents.events"),
    "Tools": ("ragkit.agents.tools",),
    "Evaluation": (
        "ragkit.evaluation.runs", "ragkit.evaluation.retrieval", "ragkit.evaluation.datasets",
        "ragkit.evaluation.answers", "ragkit.evaluation.qa_systems", "ragkit.evaluation.questions",
        "ragkit.evaluation.agents", "ragkit.evaluation.stats", "ragkit.evaluation.run_comparison",
        "ragkit.evaluation.checkpoint", "ragkit.evaluation.folder", "ragkit.evaluation.judge",
        "ragkit.evaluation.gate", "ragkit.evaluation.test_sets", "ragkit.evaluation.sections",
    ),
    "Training": (
        "ragkit.training.matryoshka", "ragkit.training.fine_tuning", "ragkit.training.pairs",
    ),
    "Planning": (
        "ragkit.planning.architecture", "ragkit.planning.gpu", "ragkit.planning.load",
        "ragkit.planning.deployment", "ragkit.planning.capacity", "ragkit.planning.roofline",
        "ragkit.planning.vector_store",
    ),
    "Testing": ("ragkit.testing",),
}  # fmt: skip


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    seen: set[int] = set()
    for title, modules in SECTIONS.items():
        rows = [row for name in modules for row in _rows(name, seen)]
        parts += [
            f"\n## {title}\n",
            "| name | fields or parameters | description |\n",
            "| --- | --- | --- |\n",
        ]
        parts += rows
    return "".join(parts)


def public_names(module: ModuleType) -> list[str]:
    """Return the exported names, or the public classes and functions that a module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
    ]


def listed(name: str, seen: set[int]) -> Mapping[str, Any]:
    """Return the public values of a module by import path, without those that were seen before."""
    module = importlib.import_module(name)
    values = {item: getattr(module, item) for item in public_names(module)}
    new = {
        f"{name}.{item}": value
        for item, value in values.items()
        if id(value) not in seen and not inspect.ismodule(value)
    }
    seen.update(map(id, new.values()))
    return new


def _rows(name: str, seen: set[int]) -> Iterator[str]:
    for path, value in listed(name, seen).items():
        fields = ", ".join(f"`{field}`" for field in _fields(value))
        yield f"| `{path}` | {fields} | {_summary(value)} |\n"


def _fields(value: Any) -> list[str]:
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        return [name for name in inspect.signature(value).parameters if name != "_"]
    if not inspect.isclass(value):
        return []
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "_fields"):
        names = list(value._fields)
    elif is_typeddict(value):
        names = list(get_type_hints(value))
    elif issubclass(value, BaseModel):
        own = {
            field
            for base in value.__mro__
            for field in vars(base).get("__annotations__", ())
            if base.__module__.startswith("ragkit")
        }
        names = [field for field in value.model_fields if field in own]
    elif issubclass(value, Exception):
        names = []
    else:
        names = [
            name
            for name, member in vars(value).items()
            if callable(member) or isinstance(member, property)
        ]
    return [name for name in names if not name.startswith("_")]


def _summary(value: Any) -> str:
    documented = inspect.isclass(value) or inspect.isroutine(value)
    text = inspect.getdoc(value) if documented else None
    return (text or "A type alias.").partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
