"""Start-up: imports, the command line and the first answer, each in a new process.

python -m benchmarks.startup
"""

import argparse
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
        answer = timed([COMMAND, "ask", "Who were the Normans?", *index], repeats=3)
        rows.append({"what": "ragkit ask: start-up to first answer", "seconds": answer})
    publish("startup", rows)


if __name__ == "__main__":
    main()
