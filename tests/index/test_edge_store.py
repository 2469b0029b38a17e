"""A store that is open only while it is used."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import qdrant_edge as qe

from ragkit.core.errors import IndexLocked, InputError
from ragkit.index.edge_store import EdgeStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    params = qe.EdgeVectorParams(size=2, distance=qe.Distance.Cosine)
    qe.EdgeShard.create(str(tmp_path), qe.EdgeConfig(vectors={"": params})).close()
    return tmp_path


class Opened:
    """Counts how often a store is opened."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, shard: qe.EdgeShard) -> None:
        self.times += 1


@pytest.fixture
def stores(folder: Path) -> Iterator[tuple[EdgeStore, EdgeStore, Opened]]:
    opened = Opened()
    one, two = (EdgeStore(folder, wait_s=60, opened=opened) for _ in range(2))
    yield one, two, opened
    one.close()
    two.close()


def test_it_stays_open_while_nobody_else_wants_it(
    stores: tuple[EdgeStore, EdgeStore, Opened],
) -> None:
    one, _, opened = stores
    for _ in range(5):
        with one.use() as outer, one.use() as inner:
            assert outer is inner
    assert opened.times == 1
    with one.use_if_open() as shard:
        assert shard is not None


def test_it_is_handed_over_and_opened_again(stores: tuple[EdgeStore, EdgeStore, Opened]) -> None:
    one, two, opened = stores
    for _ in range(3):
        for store in (one, two):
            with store.use():
                pass
    assert opened.times == 6
    with one.use_if_open() as shard:
        assert shard is None


def test_a_store_that_another_thread_opens_is_not_waited_for(
    folder: Path,
) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def opened(shard: qe.EdgeShard) -> None:
        opening.set()
        assert go_on.wait(20)

    store = EdgeStore(folder, wait_s=0, opened=opened)
    seen: list[qe.EdgeShard | None] = []

    def use_one() -> None:
        with store.use():
            pass

    def look() -> None:
        with store.use_if_open() as shard:
            pass
        seen.append(shard)

    opener, looker = threading.Thread(target=use_one), threading.Thread(target=look)
    opener.start()
    assert opening.wait(20)
    looker.start()
    looker.join(5)
    waited = looker.is_alive()
    go_on.set()
    opener.join()
    looker.join()
    store.close()
    assert not waited
    assert seen == [None]


def test_it_is_handed_over_only_when_its_users_are_done(
    stores: tuple[EdgeStore, EdgeStore, Opened],
) -> None:
    one, two, _ = stores
    steps: list[str] = []

    def use_two() -> None:
        with two.use():
            steps.append("two")

    with one.use():
        waiting = threading.Thread(target=use_two)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        steps.append("one")
    waiting.join()
    assert steps == ["one", "two"]


def test_busy_users_of_one_folder_all_get_their_turn(
    stores: tuple[EdgeStore, EdgeStore, Opened],
) -> None:
    done = {0: 0, 1: 0}

    def work(number: int, store: EdgeStore) -> None:
        for _ in range(40):
            with store.use() as shard:
                shard.count(qe.CountRequest())
            done[number] += 1

    threads = [
        threading.Thread(target=work, args=(number, store))
        for number, store in enumerate((stores[0], stores[1]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == {0: 120, 1: 120}


def test_a_closed_store_is_refused_and_lets_others_in(folder: Path) -> None:
    opened = Opened()
    one, two = (EdgeStore(folder, wait_s=0, opened=opened) for _ in range(2))
    with one.use(), pytest.raises(IndexLocked), two.use():
        pass
    one.close()
    one.close()
    with pytest.raises(InputError, match="is closed"), one.use():
        pass
    with two.use():
        pass
    two.close()


def test_an_opening_that_fails_releases_the_folder(folder: Path) -> None:
    def fail(shard: qe.EdgeShard) -> None:
        raise InputError("not this one")

    one = EdgeStore(folder, wait_s=0, opened=fail)
    for _ in range(2):
        with pytest.raises(InputError, match="not this one"), one.use():
            pass
    two = EdgeStore(folder, wait_s=0, opened=Opened())
    with two.use():
        pass
    one.close()
    two.close()
