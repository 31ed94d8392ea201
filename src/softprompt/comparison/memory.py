"""The memory that a process has taken at its peak.

On Linux the peak of resident memory of the present program image (`VmHWM`): the number that
`getrusage` gives would begin with the memory of the process that started this one. Elsewhere
`getrusage`. Device memory of CUDA is added. It does not know what took it.
"""

from __future__ import annotations

from pathlib import Path

import torch

from softprompt.training.result import peak_memory as by_usage

__all__ = ["peak_memory"]


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """Bytes; 0 where the system does not say."""
    try:
        lines = status.read_text(encoding="ascii").splitlines()
    except OSError:
        return by_usage()
    for line in lines:
        if line.startswith("VmHWM:"):
            device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
            return int(line.split()[1]) * 1024 + device
    return by_usage()
