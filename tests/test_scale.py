import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_mixed_files_with_kills_lose_nothing_and_small_ones_stay_unchanged() -> None:
    script = Path(__file__).with_name("scale.py")
    command = [sys.executable, str(script), "--files", "120", "--kills", "2", "--small", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills" in done.stdout
    assert "'unchanged': 100" in done.stdout
