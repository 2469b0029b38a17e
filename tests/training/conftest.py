import json
from pathlib import Path

import pytest


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"query": f"What is number {number}?", "positive": f"It is {number}.", "title": "Numbers"}
        for number in range(8)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
