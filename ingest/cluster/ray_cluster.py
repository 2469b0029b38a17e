"""The Ray cluster of an ingestion: joined when there is work, and left at the end."""

import asyncio
import importlib.util
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any

from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.core.settings import RaySettings
from ragkit.ingest.cluster.actors import CALL_TRIES, ActorGroup

LOCAL = "local"
_CLIENT = "ray://"
_FINEST = 10_000
"""Parts of a processor that Ray tells apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterShape:
    """Numbers of actors, and the part of a machine that each takes.

    Attributes:
        parsers: Actors that load and divide documents.
        embedders: Actors that embed passages.
        cpus: Processors of each actor; less than one where there are not enough.
        gpus: GPUs of each embedding actor.
    """

    parsers: int
    embedders: int
    cpus: float
    gpus: float

    @classmethod
    def of(cls, settings: RaySettings, resources: Mapping[str, float]) -> "ClusterShape":
        """Return the shape for a cluster with such resources, as `ray.cluster_resources` gives.

        With GPUs, each has an embedding actor, and the processors load documents. Without, half of
        the processors embed.
        """
        cpus, gpus = max(1.0, resources.get("CPU", 1.0)), resources.get("GPU", 0.0)
        each = settings.gpus_per_embedder
        if each is None:
            each = 1.0 if gpus >= 1 else 0.0
        half = max(1, int(cpus) // 2)
        embedders = settings.embedders or (int(gpus / each) if each else half)
        parsers = settings.parsers or (max(1, int(cpus) - embedders) if each else half)
        share = min(1.0, int(cpus / (parsers + embedders) * _FINEST) / _FINEST)
        return cls(parsers=parsers, embedders=embedders, cpus=share, gpus=each)


class _Session:
    """The process's membership of a cluster, which all of its ingestions share.

    Everything is done in one thread, since Ray's processes end with the thread that started them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ragkit-ray")
        self._users = 0
        self._is_own = False

    async def join(self, address: str) -> Mapping[str, float]:
        """Join a cluster, unless one is joined; return its resources."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._join, address)

    async def leave(self) -> None:
        """Leave the cluster with the last ingestion, where an ingestion has joined it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._leave)

    def _join(self, address: str) -> Mapping[str, float]:
        import ray

        if not ray.is_initialized():
            _init(address)
            self._is_own, self._users = True, 0
        self._users += 1
        return ray.cluster_resources()

    def _leave(self) -> None:
        import ray

        self._users -= 1
        if self._is_own and self._users == 0:
            self._is_own = False
            ray.shutdown()


def _init(address: str) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to others
    logging.getLogger("ray").setLevel(logging.ERROR)
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address=address,
            configure_logging=False,
            log_to_driver=False,
            **(own if address == LOCAL else {}),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"The Ray cluster {address!r} cannot be joined: {error}. Fix: start it "
            "(ray start --head), or set ingest.ray.address to 'local'."
        ) from error


_session = _Session()


class RayCluster:
    """A Ray cluster, which is joined on first use.

    Where the process has joined one already, that one is used and stays joined.
    """

    def __init__(self, settings: RaySettings) -> None:
        """Choose the cluster; nothing is started.

        Raises:
            ConfigError: The address is that of Ray's client, which this does not use.
            MissingExtraError: Ray is not installed.
        """
        if settings.address.startswith(_CLIENT):
            raise ConfigError(
                f"ingest.ray.address is {settings.address!r}. Fix: ingest on a machine of the "
                "cluster with 'auto', for example by `ray job submit`."
            )
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("ray", extra="ray")
        self._settings = settings
        self._joining = asyncio.Lock()
        self._shape: ClusterShape | None = None
        self._join: asyncio.Task[Mapping[str, float]] | None = None
        self._groups: list[ActorGroup] = []

    async def shape(self) -> ClusterShape:
        """Join the cluster, and return the numbers of its actors.

        Raises:
            ConfigError: It cannot be joined.
        """
        async with self._joining:
            if self._shape is None:
                if self._join is None:
                    self._join = asyncio.create_task(_session.join(self._settings.address))
                # Whoever is cancelled meanwhile leaves the cluster once it has been joined.
                resources = await asyncio.shield(self._join)
                self._shape = ClusterShape.of(self._settings, resources)
            return self._shape

    def group(self, worker: type[Any], *arguments: object, count: int, gpus: float) -> ActorGroup:
        """Start actors of a class; the cluster has been joined.

        Raises:
            ConfigError: An argument cannot be sent to other processes.
        """
        import ray

        assert self._shape is not None
        for one in arguments:
            _check_sendable(one)
        kind = ray.remote(worker).options(
            num_cpus=self._shape.cpus,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=CALL_TRIES - 1,
        )
        group = ActorGroup(
            [kind.remote() for _ in range(count)],
            references=[ray.put(one) for one in arguments],
            name=worker.__name__,
            start_s=self._settings.start_s,
        )
        self._groups.append(group)
        return group

    async def close(self) -> None:
        """End the actors, and leave the cluster if it was joined here."""
        groups, self._groups = self._groups, []
        await asyncio.gather(*(group.close() for group in groups))
        join, self._join, self._shape = self._join, None, None
        if join is None:
            return
        if not join.done():
            await asyncio.wait([join])
        if not join.cancelled() and join.exception() is None:
            await _session.leave()


def _check_sendable(argument: object) -> None:
    from ray import cloudpickle

    try:
        cloudpickle.dumps(argument)
    except (TypeError, AttributeError, PicklingError) as error:
        raise ConfigError(
            f"The chunker or the embedder cannot be sent to other machines: {error}. Fix: let it "
            "be pickled (`__reduce__`), or ingest with the engine 'local'."
        ) from error
