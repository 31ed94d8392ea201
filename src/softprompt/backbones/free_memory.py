"""How much memory is free, as the system says it. It does not know what it is wanted for."""

from __future__ import annotations

import torch

__all__ = ["free_memory_budget"]


def free_memory_budget(share: float, device: torch.device) -> int:
    """Bytes of memory that something may take: a share of what is free now.

    Where the system does not say how much is free, 1 GiB.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * share)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(int(line.split()[1]) * 1024 * share)
    except OSError:
        pass
    return 1 << 30
