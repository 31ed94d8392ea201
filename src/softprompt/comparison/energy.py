"""The energy that a stretch of work takes: read from meters where the machine has them.

Meters: RAPL's package counters under /sys/class/powercap (Linux, where they may be read), and
`nvidia-smi`, whose power is sampled; both are read once a second, since counters begin anew after
some minutes of full power. Where the processor has no meter, its CPU
seconds times the watts of a busy core stand for it, and the source says `estimated`. Meters count
the whole machine, other programs included.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["POWERCAP", "Meter", "added", "gpu_watts"]

POWERCAP = Path("/sys/class/powercap")

JOULES_PER_KWH = 3.6e6
_SAMPLE_SECONDS = 1.0


def added(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """What two stretches of work took together, as `Meter.read` tells it.

    Args:
        before: of the first one, or None.
        now: of the second one.
    """
    if before is None:
        return dict(now)
    sums = {key: before[key] + now[key] for key in ("joules", "kwh", "cpu_seconds")}
    sources = list(dict.fromkeys((*before["sources"], *now["sources"])))
    return {**before, **now, **sums, "sources": sources}


def gpu_watts() -> float | None:
    """What all NVIDIA devices draw now; None where `nvidia-smi` does not tell."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return sum(float(line) for line in done.stdout.splitlines() if line.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


class Meter:
    """Measures while it is entered; `read` tells what it has come to.

    Args:
        watts: of a busy core, for the estimate.
        powercap: where RAPL's counters are.
        gpu: tells what the graphics processors draw, in watts, or None.
    """

    def __init__(
        self,
        watts: float,
        powercap: Path = POWERCAP,
        gpu: Callable[[], float | None] = gpu_watts,
    ) -> None:
        self._watts, self._powercap, self._gpu = watts, powercap, gpu
        self._joules_gpu: float | None = None
        self._joules: float | None = None
        self._ended: float | None = None
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> Meter:
        self._counters = _counters(self._powercap)
        self._cpu = time.process_time()
        if self._counters:
            self._joules = 0.0
        if self._gpu() is not None:
            self._joules_gpu = 0.0
        if self._joules is not None or self._joules_gpu is not None:
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join()
        self._ended = time.process_time()

    @property
    def cpu_seconds(self) -> float:
        """Of this process, until now or the end."""
        return (time.process_time() if self._ended is None else self._ended) - self._cpu

    def read(self) -> dict[str, Any]:
        """What it has come to: `joules`, `kwh`, `sources` (`rapl`, `nvidia-smi`, `estimated`),
        `cpu_seconds`, and `watts_per_core` where that was used."""
        sources, joules = [], 0.0
        found: dict[str, Any] = {"cpu_seconds": round(self.cpu_seconds, 3)}
        if self._joules is None:
            joules += self.cpu_seconds * self._watts
            sources.append("estimated")
            found["watts_per_core"] = self._watts
        else:
            joules += self._joules
            sources.append("rapl")
        if self._joules_gpu is not None:
            joules += self._joules_gpu
            sources.append("nvidia-smi")
        return {"joules": joules, "kwh": joules / JOULES_PER_KWH, "sources": sources, **found}

    def _sample(self) -> None:
        """Adds up what counters have counted, and power times time."""
        last = time.perf_counter()
        while True:
            stopped = self._stop.wait(_SAMPLE_SECONDS)
            self._count(last=stopped)
            now = time.perf_counter()
            if self._joules_gpu is not None and (watts := self._gpu()) is not None:
                self._joules_gpu += watts * (now - last)
            last = now
            if stopped:
                return

    def _count(self, last: bool) -> None:
        """Adds what the counters have counted since they were read."""
        if self._joules is None:
            return
        now = _counters(self._powercap)
        spent = _spent(self._counters, now)
        if spent is not None:
            self._joules, self._counters = self._joules + spent, now
        elif last:
            # A counter that cannot be read any more makes the whole an estimate.
            self._joules = None


def _counters(folder: Path) -> dict[str, tuple[int, int]]:
    """By package, micro-joules counted so far and where the counter begins anew."""
    found = {}
    for zone in sorted(folder.glob("intel-rapl:*")) if folder.is_dir() else ():
        # intel-rapl:0:1 is a part of intel-rapl:0, and `psys` of all packages and more.
        if zone.name.count(":") != 1:
            continue
        try:
            if not (zone / "name").read_text().startswith("package"):
                continue
            counted = int((zone / "energy_uj").read_text())
            most = int((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        found[zone.name] = counted, most
    return found


def _spent(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> float | None:
    """Joules between two readings; None where there is no meter."""
    if not before or set(before) != set(after):
        return None
    spent = 0
    for name, (counted, most) in before.items():
        now = after[name][0]
        spent += now - counted if now >= counted else now + most - counted
    return spent / 1e6
