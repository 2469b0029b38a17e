"""Recognising processes that have ended."""

# A test may look inside.
# pyright: reportPrivateUsage=false

import os
import subprocess
import sys

import pytest

from ragkit.index import process

CODE = "from ragkit.index.process import this_process; print(this_process())"


def test_a_process_that_runs_has_not_ended() -> None:
    assert not process.has_ended(process.this_process())
    assert process.this_process() == process.this_process()


def test_a_process_that_ended_is_recognised() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    identity = done.stdout.strip()
    assert identity != process.this_process()
    assert process.has_ended(identity)


def test_another_process_with_the_same_id_is_not_taken_for_it() -> None:
    assert process.has_ended(f"{process._machine()}:{os.getpid()}:1")


def test_of_other_machines_nothing_is_known() -> None:
    for identity in ("other-boot/4026531836:1:2", "", ":", "a:b", f"{process._machine()}:x:1"):
        assert not process.has_ended(identity)


def test_the_arguments_of_a_program_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ragkit", "ask", "--api-key", "hunter2"])
    shown = process.describe_this_process()
    assert shown["program"] == "ragkit"
    assert "hunter2" not in str(shown)
