"""What is asked of a Ray cluster, and what is said where it cannot be had."""

import sys

import pytest

from ragkit import ConfigError, MissingExtraError
from ragkit.core.settings import IngestSettings, RaySettings
from ragkit.ingest.build import build_engine
from ragkit.ingest.cluster.ray_cluster import ClusterShape


@pytest.mark.parametrize(
    ("settings", "resources", "wanted"),
    [
        ({}, {"CPU": 1.0}, (1, 1, 0.5, 0.0)),
        ({}, {"CPU": 2.0}, (1, 1, 1.0, 0.0)),
        ({}, {"CPU": 64.0}, (32, 32, 1.0, 0.0)),
        ({}, {"CPU": 64.0, "GPU": 4.0}, (60, 4, 1.0, 1.0)),
        ({}, {"CPU": 2.0, "GPU": 8.0}, (1, 8, 0.2222, 1.0)),
        ({"gpus_per_embedder": 0.5}, {"CPU": 16.0, "GPU": 2.0}, (12, 4, 1.0, 0.5)),
        ({"parsers": 3, "embedders": 1}, {"CPU": 2.0}, (3, 1, 0.5, 0.0)),
        ({"gpus_per_embedder": 0}, {"CPU": 8.0, "GPU": 2.0}, (4, 4, 1.0, 0.0)),
        ({}, {}, (1, 1, 0.5, 0.0)),
    ],
)
def test_the_actors_follow_from_the_settings_and_the_cluster(
    settings: dict[str, float],
    resources: dict[str, float],
    wanted: tuple[int, int, float, float],
) -> None:
    shape = ClusterShape.of(RaySettings.model_validate(settings), resources)
    assert (shape.parsers, shape.embedders, shape.cpus, shape.gpus) == wanted


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ragkit\[ray\]"'):
        build_engine(IngestSettings(engine="ray"))
    build_engine(IngestSettings())


def test_the_address_of_ray_s_client_is_refused() -> None:
    settings = IngestSettings(engine="ray", ray=RaySettings(address="ray://head:10001"))
    with pytest.raises(ConfigError, match=r"is 'ray://head:10001'.*job submit"):
        build_engine(settings)
