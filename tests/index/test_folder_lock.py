"""A lock that its holder hands over."""

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from ragkit.core.errors import IndexLocked
from ragkit.index.folder_lock import LOCK, FolderLock


def test_a_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    one, two = FolderLock(tmp_path, wait_s=10), FolderLock(tmp_path, wait_s=0)
    one.acquire()
    with pytest.raises(IndexLocked) as caught:
        two.acquire()
    message = str(caught.value)
    assert f"'{tmp_path}' is in use by process {os.getpid()} (" in message
    assert "did not release it within 0 s. Fix: try again, raise index.wait_s" in message
    one.release()
    one.release()
    two.acquire()
    two.release()


def test_a_holder_whose_name_cannot_be_read_is_another_process(tmp_path: Path) -> None:
    one, two = FolderLock(tmp_path, wait_s=0), FolderLock(tmp_path, wait_s=0)
    one.acquire()
    (tmp_path / LOCK).write_text("{")
    assert two.holder() is None
    with pytest.raises(IndexLocked, match="in use by another process, which"):
        two.acquire()
    one.release()


def test_a_holder_sees_that_another_waits_and_hands_over(tmp_path: Path) -> None:
    one, two = FolderLock(tmp_path, wait_s=60), FolderLock(tmp_path, wait_s=60)
    one.acquire()
    assert not one.is_wanted()
    waiting = threading.Thread(target=two.acquire)
    waiting.start()
    while not one.is_wanted():
        time.sleep(0.001)
    one.release()
    waiting.join()
    assert not two.is_wanted()
    two.release()


def test_those_that_wait_are_served_one_after_the_other(tmp_path: Path) -> None:
    holders: list[int] = []

    def take(number: int) -> None:
        lock = FolderLock(tmp_path, wait_s=60)
        for _ in range(20):
            lock.acquire()
            holders.append(number)
            assert len(holders) % 2 == 1
            holders.append(number)
            lock.release()

    threads = [threading.Thread(target=take, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holders) == 160
    assert all(one == two for one, two in zip(holders[::2], holders[1::2], strict=True))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_while_a_lock_is_held_does_not_keep_it(tmp_path: Path) -> None:
    lock, other = FolderLock(tmp_path, wait_s=10), FolderLock(tmp_path, wait_s=0)
    lock.acquire()
    context = multiprocessing.get_context("fork")
    end = context.Event()
    child = context.Process(target=end.wait, args=(60,))
    child.start()
    lock.release()
    other.acquire()
    other.release()
    end.set()
    child.join()


def test_a_folder_that_was_removed_is_wanted_by_nobody(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "index", wait_s=0)
    assert not lock.is_wanted()
    assert lock.holder() is None
