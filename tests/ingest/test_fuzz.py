"""A short run of the fuzzer, in a process of its own whose memory is bounded."""

import json
import subprocess
import sys
from pathlib import Path


def test_mutated_files_load_or_are_refused(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, str(script), "--files", "300", "--seed", "7"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == 300
    assert not any("failed" in name for name in outcomes)
