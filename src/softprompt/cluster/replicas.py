"""Replicas on Ray Serve: started, found, and ended.

Every prompt has a replica of its own by hashing (see `softprompt.cluster.router`), so that each is
loaded where its requests go and nowhere else. Ray asks nobody who they are: its ports belong into a
private network, and a cluster that is started here listens on the loopback. It does not know
requests.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from softprompt.backbones import Identity
from softprompt.cluster.replica import Replica
from softprompt.cluster.settings import ReplicaSettings
from softprompt.errors import BackboneError, SoftPromptError, UsageError
from softprompt.locale import _, figure

__all__ = ["ReplicaSettings", "Replicas"]

_APPLICATION = "softprompt"


class Replicas:
    """Running replicas of one model.

    Joins the cluster that `RAY_ADDRESS` names, or starts one on this machine.

    Args:
        settings: of the replicas.

    Attributes:
        settings: as given.
        identity: of the model that they have loaded.

    Raises:
        UsageError: Ray is missing, or there is no room for the replicas.
        BackboneError: they cannot load the model.
    """

    def __init__(self, settings: ReplicaSettings) -> None:
        self.settings = settings
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray lets workers yield to every other process; an engine that people wait for must not
        # starve beside a busy neighbour.
        os.environ.setdefault("RAY_worker_niceness", "0")
        self._ray, self._serve = _library()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._join()
        try:
            self._room()
            # The project's own server stands in front, so no HTTP proxy of Serve's is wanted.
            self._serve.start(proxy_location="Disabled")
            self._handle = self._serve.run(
                _deployment(self._serve, settings), name=_APPLICATION, route_prefix=None
            )
            self.identity: Identity = self._handle.identity.remote().result(
                timeout_s=settings.start_seconds
            )
        except SoftPromptError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise BackboneError(
                _("The replicas cannot start with the model {model!r}: {error}").format(
                    model=settings.model, error=_first(error)
                ),
                _("Ray's logs (in /tmp/ray/session_latest/logs/serve) say more."),
            ) from error

    def handle(self, key: str) -> Any:
        """What calls the replica of a prompt's key, or any at "", and gets a stream."""
        return self._handle.options(stream=True, multiplexed_model_id=key)

    def close(self) -> None:
        """Ends the replicas, and the cluster if it was started here."""
        if self._ray.is_initialized():
            self._serve.shutdown()
            if self._own:
                self._ray.shutdown()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _join(self) -> None:
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address} if address else {}
        if not address:
            settings = self.settings
            options |= {
                "address": "local",
                "_node_ip_address": "127.0.0.1",
                "num_cpus": max(1, round(settings.cpus * settings.replicas + 0.5)),
                "include_dashboard": False,
            }
        try:
            self._ray.init(log_to_driver=False, logging_level="error", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                _("The Ray cluster cannot be reached: {error}").format(error=_first(error)),
                _("Check RAY_ADDRESS; without it a cluster is started here."),
            ) from error

    def _room(self) -> None:
        """Refuses more replicas than there are cores or GPUs for, which would wait for ever.

        Raises:
            UsageError: with both numbers.
        """
        there, settings = self._ray.cluster_resources(), self.settings
        for what, name, each in (
            (_("cores"), "CPU", settings.cpus),
            (_("GPUs"), "GPU", settings.gpus),
        ):
            wanted = each * settings.replicas
            if wanted > there.get(name, 0):
                raise UsageError(
                    _("{n} replicas take {wanted} {what}; the cluster has {there}.").format(
                        n=settings.replicas,
                        wanted=figure(wanted),
                        what=what,
                        there=figure(there.get(name, 0)),
                    ),
                    _("Ask for fewer --replicas."),
                )


def _deployment(serve: Any, settings: ReplicaSettings) -> Any:
    """The replicas as an application of Ray Serve."""

    from ray.serve.config import RequestRouterConfig

    routing: dict[str, Any] = {"request_router_class": "softprompt.cluster.router.ByPrompt"}

    class Served(Replica):
        """A replica as Serve starts and ends it."""

        def __init__(self, settings: ReplicaSettings) -> None:
            name = serve.get_replica_context().replica_id.unique_id
            super().__init__(settings, str(name))

        async def identity(self) -> Identity:  # type: ignore[override]
            return super().identity

        def __del__(self) -> None:
            if hasattr(self, "_engine"):
                self.close()

    deployed = serve.deployment(
        Served,
        name="replica",
        num_replicas=settings.replicas,
        # The engine batches by itself and needs many at once; what is beyond goes to the next one.
        max_ongoing_requests=settings.max_ongoing,
        request_router_config=RequestRouterConfig(**routing),
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        graceful_shutdown_timeout_s=5.0,
    )
    return deployed.bind(settings)


def _library() -> tuple[Any, Any]:
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise UsageError(
            _("Replicas need Ray Serve, which is not installed."),
            _("Run: pip install 'softprompt[ray]'"),
        ) from error
    return ray, serve


def _first(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
