import pytest

from ragkit.core.errors import InputError
from ragkit.planning.vector_store import plan_vector_store, qdrant_rule


def test_vectors_in_memory_take_what_qdrant_says() -> None:
    assert qdrant_rule(1_000_000, 1024) == pytest.approx(5.72 * 2**30, rel=0.03)


def test_memory_and_disk_follow_the_layout() -> None:
    found = plan_vector_store(1000, dimensions=384, search_dimensions=128, chunk_bytes=2000)
    graph = 1000 * 32 * 4
    assert found.memory == {
        "none": 1.5 * (1000 * 128 * 2 + graph),
        "int8": 1.5 * (1000 * 128 + graph),
        "binary": 1.5 * (1000 * 16 + graph),
    }
    vectors = 384 * 2 + 128 * 2
    assert found.disk["none"] == 1.5 * (1000 * (vectors + 2000) + graph)
    assert found.disk["int8"] == 1.5 * (1000 * (vectors + 128 + 2000) + graph)
    assert found.embed_s is None


def test_replicas_multiply_and_a_rate_gives_the_time() -> None:
    one = plan_vector_store(5000, dimensions=384)
    three = plan_vector_store(5000, dimensions=384, replicas=3, embed_rate=50)
    assert three.memory["int8"] == 3 * one.memory["int8"]
    assert three.disk["none"] == 3 * one.disk["none"]
    assert three.embed_s == 100
    assert one.search_dimensions == 384


@pytest.mark.parametrize("value", [0, 10**400])
@pytest.mark.parametrize(
    "name", ["chunks", "dimensions", "search_dimensions", "replicas", "chunk_bytes", "embed_rate"]
)
def test_a_size_out_of_range_is_named(name: str, value: int) -> None:
    given = {"chunks": 10, "dimensions": 10, name: value}
    with pytest.raises(InputError, match=f"{name} is {value}. Fix: "):
        plan_vector_store(given.pop("chunks"), **given)


def test_a_prefix_is_not_longer_than_the_embedding() -> None:
    with pytest.raises(InputError, match=r"search_dimensions is 500, of 384.*Fix: "):
        plan_vector_store(10, dimensions=384, search_dimensions=500)
