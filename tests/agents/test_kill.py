import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_runs_leave_the_journal_of_a_run_that_was_not_killed() -> None:
    script = Path(__file__).with_name("kill.py")
    command = [sys.executable, str(script), "--kills", "5", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["killed"], found["different"], found["repeated"]) == (5, 0, 0)
