import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_ingestions_leave_the_index_that_one_go_builds() -> None:
    script = Path(__file__).with_name("crash.py")
    command = [sys.executable, str(script), "--kills", "3", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["killed"] == 3
