"""Tables on the terminal and JSON under `benchmarks/results/`, with what they were measured on."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, str | int | float]


def publish(name: str, rows: Sequence[Row], *, note: str = "") -> None:
    """Print rows as a table and write them, with the machine, to `results/<name>.json`."""
    table = Table(title=name, title_justify="left", caption=note, caption_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    content = {"name": name, "machine": machine, "note": note, "rows": [dict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def milliseconds(job: Callable[[], object], *, repeats: int, warm_up: int = 3) -> np.ndarray:
    """Time a job `repeats` times, after a few times untimed: float64 `[repeats]`."""
    for _ in range(warm_up):
        job()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        job()
        times.append((time.perf_counter() - started) * 1000)
    return np.array(times)


def disk_mib(folder: Path) -> float:
    """Return the size of a folder's files on the disk, in MiB."""
    return sum(f.stat().st_blocks * 512 for f in folder.rglob("*") if f.is_file()) / 2**20
