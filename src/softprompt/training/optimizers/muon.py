"""Muon for the vectors, AdamW for what is no matrix (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/; here `torch.optim.Muon`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from softprompt.training.optimizers import OPTIMIZERS

__all__ = ["MuonAndAdamW"]

_SIZE = 3.0
"""A Muon step matched to AdamW's has a fifth of the rate as its root mean square, an AdamW step
about the rate itself; this lets one learning rate suit both."""


class MuonAndAdamW(torch.optim.Optimizer):
    """Two optimisers over one set of groups and one state, so that both are saved as one.

    The gradients of the vectors of one prompt point in few directions. Muon makes all directions
    of a step equally long, so that the weaker ones are followed as well.

    Args:
        groups: each with `lr`.
        weight_decay: decoupled.
    """

    def __init__(self, groups: list[dict[str, Any]], weight_decay: float) -> None:
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in groups:
            for chosen, wanted in ((matrices, True), (others, False)):
                some = [p for p in group["params"] if _is_matrix(p, group) == wanted]
                factor = _SIZE if wanted else 1.0
                if some:
                    chosen.append({**group, "params": some, "lr": group["lr"] * factor})
        super().__init__([*matrices, *others], {"weight_decay": weight_decay})
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
        if others:
            self._parts.append(
                torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=weight_decay)
            )
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        self._link()

    def _link(self) -> None:
        """Gives both parts this optimiser's groups and state."""
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of each part."""
        assert closure is None, "a closure would be called twice"
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a saved state."""
        super().load_state_dict(state_dict)
        self._link()


def _is_matrix(parameter: torch.Tensor, group: dict[str, Any]) -> bool:
    """Whether Muon takes it; the weights of a network are too large to be made orthogonal."""
    return parameter.ndim == 2 and not group.get("network", False)


OPTIMIZERS.register("muon")(MuonAndAdamW)
