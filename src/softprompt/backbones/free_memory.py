"""How much memory is free, as the system says it. It does not know what it is wanted for."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["free_memory_budget", "give_back_memory"]


def free_memory_budget(share: float, device: torch.device) -> int:
    """Bytes of memory that something may take: a share of what is free now.

    Where the system does not say how much is free, 1 GiB.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * share)
    known = [free for free in (_of_the_machine(), _of_the_container()) if free is not None]
    return int(min(known, default=1 << 30) * share)


def give_back_memory() -> None:
    """Has the allocator return what it holds and nobody uses, where it can be asked (glibc).

    Blocks of many sizes that come and go leave holes; a server's memory would grow by them for
    hours.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _of_the_machine() -> int | None:
    """Bytes that Linux says are available."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("MemAvailable:")]
    return int(found[0].split()[1]) * 1024 if found else None


def _of_the_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes left within a container's limit; None where there is no limit."""
    try:
        limit = (folder / "memory.max").read_text("ascii").strip()
        used = int((folder / "memory.current").read_text("ascii"))
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    # Pages of files that nobody has touched lately are given back on demand.
    idle = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, int(limit) - used + idle)
