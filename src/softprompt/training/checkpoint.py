"""Checkpoints: everything that a run needs to go on bit for bit, written in one step.

Tensors lie in safetensors, the rest in JSON. The two newest are kept, so that a damaged one costs
little. It knows names and tensors, not what they mean.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.storage import atomic_folder, sha256

__all__ = ["Checkpoint", "optimizer_state", "restore_optimizer"]

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a run.

    Args:
        step: steps done.
        tensors: parameters, optimiser moments, best vectors.
        state: numbers and words: scores, patience, seconds.
    """

    step: int
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Writes `step-NNNNNNN` into the folder and removes all but the newest two.

        Raises:
            UsageError: the folder cannot be written.
        """
        content = save_tensors({k: v.detach().cpu().contiguous() for k, v in self.tensors.items()})
        with atomic_folder(folder / f"step-{self.step:07d}") as fresh:
            (fresh / "tensors.safetensors").write_bytes(content)
            text = json.dumps({**self.state, "step": self.step, "sha256": sha256(content)})
            (fresh / "state.json").write_text(text, encoding="utf-8")
        for old in sorted(folder.glob("step-*"))[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def newest(cls, folder: Path) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None."""
        for path in sorted(folder.glob("step-*"), reverse=True):
            try:
                content = (path / "tensors.safetensors").read_bytes()
                state = json.loads((path / "state.json").read_text(encoding="utf-8"))
                if state.pop("sha256") == sha256(content):
                    return cls(state.pop("step"), load_tensors(content), state)
            except (OSError, ValueError, KeyError, SafetensorError):
                continue
        return None


def optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """An optimiser's tensors by `optimizer.PARAMETER.NAME`, and its plain values by parameter."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    return tensors, plain


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    plain: Mapping[str, Mapping[str, Any]],
) -> None:
    """Puts back what `optimizer_state` gave."""
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in plain.items()}
    for key, tensor in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == "optimizer":
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
