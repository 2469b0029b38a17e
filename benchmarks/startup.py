"""Start-up: imports, the command line and the first answer, each in a new process.

python -m benchmarks.startup
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made import CORPUS
from benchmarks.report import Row, publish

COMMAND = str(Path(sys.executable).with_name("ragkit"))


def timed(command: list[str], *, repeats: int, baseline: float = 0.0) -> float:
    """Return the median seconds of a command, minus the baseline."""
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times) - baseline


def used(what: str, command: list[str], *, repeats: int, folder: str = ".") -> Row:
    """Return the medians of a command's seconds, processor seconds and largest memory."""
    found: list[tuple[float, float, float]] = []
    for _ in range(repeats):
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        took = time.perf_counter() - started
        found.append((took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    wall, cpu, memory = (statistics.median(column) for column in zip(*found, strict=True))
    return {"what": what, "seconds": wall, "processor seconds": cpu, "largest MiB": memory}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    repeats = options.repeats
    python = timed([sys.executable, "-c", "pass"], repeats=repeats)
    rows: list[Row] = [{"what": "python -c pass", "seconds": python}]
    for what in ("ragkit", "pydantic, httpx", "sentence_transformers"):
        count = repeats if "_" not in what else 2
        took = timed([sys.executable, "-c", f"import {what}"], repeats=count, baseline=python)
        rows.append({"what": f"import {what} (beyond python)", "seconds": took})
    rows.append({"what": "ragkit --help", "seconds": timed([COMMAND, "--help"], repeats=3)})
    with tempfile.TemporaryDirectory() as folder:
        index = ["--index", str(Path(folder, "index"))]
        document = str(CORPUS / "history" / "normans.txt")
        subprocess.run([COMMAND, "ingest", document, *index], check=True, capture_output=True)
        again = timed([COMMAND, "ingest", document, *index], repeats=3)
        rows.append({"what": "ragkit ingest, nothing changed", "seconds": again})
        lexical = timed([COMMAND, "verify", *index], repeats=3)
        rows.append({"what": "ragkit verify", "seconds": lexical})
        cold = [
            used("ragkit search", [COMMAND, "search", "the Normans", *index], repeats=5),
            used("ragkit ask", [COMMAND, "ask", "Who were the Normans?", *index], repeats=5),
        ]
        demo = [sys.executable, str(CORPUS.parent / "demo.py")]
        used("first run", demo, repeats=1, folder=folder)
        cold.append(used("demo, second run", demo, repeats=3, folder=folder))
    publish("startup", rows)
    publish("cold_start", cold)


if __name__ == "__main__":
    main()
