"""Which replica answers for which prompt: the one that hashing gives first, while it has room.

Rendezvous hashing (Thaler and Ravishankar 1998, "Using name-based mappings to increase hit rates",
IEEE/ACM Transactions on Networking 6(1)): every prompt orders the replicas in its own way, so that
no table has to be kept or told, whatever the number of prompts, and where a replica comes or goes
only its own share of prompts moves. Ray Serve's routing by reports of what replicas hold has
neither property: until reports arrive, and whenever a replica is full, prompts spread to others and
stay. It does not know what prompts are.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Any

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

__all__ = ["ByPrompt", "in_order"]


class ByPrompt(RequestRouter):
    """Sends requests of one prompt to one replica, and to its next ones while that is full.

    Requests without a prompt go to the less busy of two.
    """

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Replicas in the order in which they are tried."""
        key = pending_request.metadata.multiplexed_model_id if pending_request else ""
        if not key:
            # The shorter queue of two chosen by chance: within a list Serve looks at queues.
            return [random.sample(candidate_replicas, min(2, len(candidate_replicas)))]
        by_name: dict[str, Any] = {
            replica.replica_id.unique_id: replica for replica in candidate_replicas
        }
        return [[by_name[name]] for name in in_order(key, list(by_name))]


def in_order(key: str, names: list[str]) -> list[str]:
    """Names in the order that a key gives them: the same wherever it is asked."""

    def weight(name: str) -> bytes:
        return blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()

    return sorted(names, key=weight)
