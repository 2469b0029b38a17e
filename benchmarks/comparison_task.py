"""The documents, questions and models of the comparison, and the report of one side."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

DOCUMENTS = str(Path(__file__).parents[1] / "examples/comparison/documents")
QUESTION = "How long is the warranty of a lamp?"
CANCEL = "Cancel order 2."
EMBEDDER = os.environ.get("COMPARISON_EMBEDDER", "")
RERANKER = os.environ.get("COMPARISON_RERANKER", "")
MODEL_URL = os.environ.get("COMPARISON_MODEL_URL", "")


def report(*tasks: Callable[[], object]) -> None:
    """Do the tasks that COMPARISON_TASKS names, and print results and processor time as JSON."""
    wanted = os.environ.get("COMPARISON_TASKS", "ask search agent").split()
    for task in tasks:
        if task.__name__ not in wanted:
            continue
        before = _processor_s()
        try:
            found: object = task()
        except Exception as error:  # noqa: BLE001  # what a side raises is a result
            found = f"{type(error).__name__}: {str(error)[:300]}"
        done = {"task": task.__name__, "result": found, "processor_s": _processor_s() - before}
        print(json.dumps(done), flush=True)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
