"""Memory in huge pages, where the system gives them to programs that ask.

A training step passes over hundreds of megabytes in short operations. On a virtual machine each of
the small pages under them may cost microseconds: a step of `nano` took 2.1 to 2.7 times as long
without huge pages (benchmarks/LOG.md). The C library asks for them where a variable says so when
the process starts, so the command starts itself again once, in the same process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["restart_with_huge_pages"]

_VARIABLE, _VALUE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
_OFFERED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Replaces the process by the same command with huge pages asked for.

    Does nothing where they are not offered on request or the variable is set already, so it happens
    once at most.
    """
    if _VARIABLE in os.environ or not _glibc():
        return
    try:
        offered = "[madvise]" in _OFFERED.read_text("ascii")
    except (OSError, ValueError):
        return
    if offered and sys.executable and len(sys.orig_argv) > 1:
        os.environ[_VARIABLE] = _VALUE
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _glibc() -> bool:
    """Whether the C library is one that knows the variable."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False
