"""The short form of `tests/load.py`: a model that is imitated, fewer clients."""

from tests.load import load


async def test_clients_that_leave_and_a_model_that_dies_leave_nothing_behind() -> None:
    report = await load(clients=20, seconds=4, imitation=True, running=4)
    assert report.faults == []
    assert report.statuses["left"]
    assert report.statuses["200"]
