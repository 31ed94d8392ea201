"""The checks of a data set, one file each."""

from __future__ import annotations

from softprompt.registry import discover
from softprompt.tasks.evidence import CHECKS

__all__ = ["CHECKS"]

discover(__name__, list(__path__))
