"""The same jobs on several processes or machines, by Ray.

It starts what other rooms do elsewhere and passes requests on; it knows nothing of how they are
answered. Needs the extra `ray`.
"""

from __future__ import annotations

from softprompt.cluster.engine import ReplicatedEngine
from softprompt.cluster.replicas import Replicas, ReplicaSettings

__all__ = ["ReplicaSettings", "Replicas", "ReplicatedEngine"]
