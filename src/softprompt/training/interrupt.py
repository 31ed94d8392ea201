"""Ctrl-C as a wish to stop, not as an accident: the loop ends at its next step."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

__all__ = ["ONCE_SECONDS", "Interrupt"]

ONCE_SECONDS = 1.0
"""Interruptions that are closer together are one."""


class Interrupt:
    """While entered, the first SIGINT sets `asked`; one a second later or more interrupts at once.

    The same wish may come twice, from a terminal and from the process that started this one.

    Outside the main thread signals cannot be caught, and `asked` stays False.
    """

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._asked_at > ONCE_SECONDS:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._asked_at = True, time.monotonic()
