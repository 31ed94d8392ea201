"""How much memory a piece of work takes in this process, above what was there before it.

On Linux the kernel keeps the peak (`VmHWM`, set back when the watch begins) and a thread reads its
parts several hundred times a second: anonymous pages (what the process has written) and file pages
(mapped files: cached contexts, and libraries' code, touched for the first time). File pages are
given back whenever memory is short; anonymous ones are not. Elsewhere only the peak since the
process began is known. On CUDA the allocator's own peak counts. It knows nothing of what is run.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

__all__ = ["Peak", "Watch"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_SECONDS = 0.002


@dataclass(frozen=True)
class Peak:
    """Bytes above what was resident when the watch began.

    Args:
        resident: peak of all resident pages, mapped ones included.
        anonymous: peak of pages that no file stands behind; None where the system does not say.
        mapped: peak of pages of mapped files, likewise.
        device: peak of what is allocated on the CUDA device; None without one.
        before: resident bytes when the watch began, not counted in the others.
    """

    resident: int
    anonymous: int | None
    mapped: int | None
    device: int | None
    before: int


class Watch:
    """Watches this process from `with` to its end; `peak` is what it saw.

    Anything imported or allocated before is taken off; memory that the C library holds back for
    reuse is given to the system first.
    """

    peak: Peak

    def __enter__(self) -> Watch:
        gc.collect()
        _trim()
        self._cuda = torch.cuda.is_available()
        if self._cuda:
            torch.cuda.empty_cache()
            self._device = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        self._exact = _reset()
        self._before = _pages()
        self._most = dict(self._before)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if self._exact:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._exact:
            self._thread.join()
        self._read()
        above = {name: self._most[name] - start for name, start in self._before.items()}
        # The kernel's peak, where it is kept, sees what happens between two samples.
        peak = self._most.get("VmHWM", 0) - self._before["VmRSS"]
        self.peak = Peak(
            resident=max(peak, above["VmRSS"]),
            anonymous=above.get("anonymous"),
            mapped=above.get("RssFile"),
            device=torch.cuda.max_memory_allocated() - self._device if self._cuda else None,
            before=self._before["VmRSS"],
        )

    def _sample(self) -> None:
        while not self._ended.wait(_SECONDS):
            self._read()

    def _read(self) -> None:
        for name, value in _pages().items():
            self._most[name] = max(self._most[name], value)


def _pages() -> dict[str, int]:
    """Bytes of this process by kind; only the peak so far where there is no `/proc`."""
    if not _STATUS.is_file():
        return {"VmRSS": _peak_so_far()}
    found = {}
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in {"VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem"}:
            found[name] = int(value.split()[0]) * 1024
    if "RssAnon" in found:
        found["anonymous"] = found.pop("RssAnon") + found.pop("RssShmem")
    return found


def _peak_so_far() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset() -> bool:
    """Sets the kernel's peak back to what is resident now; False where that cannot be done."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _trim() -> None:
    """Has glibc give free memory back, so that it does not hide what is allocated next."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
