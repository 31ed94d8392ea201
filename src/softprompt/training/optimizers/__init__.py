"""Optimisers, all from well-kept libraries: one file each.

An optimiser factory takes parameter groups whose `lr` is set already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from softprompt.locale import mark
from softprompt.registry import Registry, discover

__all__ = ["OPTIMIZERS"]

Factory = Callable[[list[dict[str, Any]], float], torch.optim.Optimizer]
"""From parameter groups and weight decay to an optimiser."""

OPTIMIZERS: Registry[Factory] = Registry(mark("optimizer"))
discover(__name__, list(__path__))
