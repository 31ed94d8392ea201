"""Checkpoints: one safetensors file each, state as JSON in its header, replaced atomically.

Holds weights, optimizer state and where the text stands; nothing else of a run changes. Reads
no format that could run code. Does not know when to save.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from recipes.nano.model import Optimizers
from recipes.nano.schedule import Progress
from recipes.nano.settings import RecipeError
from recipes.nano.shards import Mixture

STABLE = "stable.safetensors"
COOLDOWN = "cooldown.safetensors"


def save(
    path: Path,
    model: LlamaForCausalLM,
    optimizers: Optimizers,
    mixture: Mixture,
    progress: Progress,
) -> None:
    """Write a checkpoint; an interruption leaves the previous file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"weight:{name}": weight.detach() for name, weight in model.named_parameters()}
    tensors |= dict(optimizers.tensors())
    state = {"progress": dataclasses.asdict(progress), "mixture": mixture.state()}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"state": json.dumps(state)})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def newest(folder: Path) -> Path | None:
    """Return the checkpoint to go on from: that of the cool-down where there is one."""
    return next((folder / n for n in (COOLDOWN, STABLE) if (folder / n).is_file()), None)


def load_progress(path: Path) -> Progress:
    """Read only where the run stood."""
    with safe_open(path, framework="pt") as file:
        return Progress(**json.loads(file.metadata()["state"])["progress"])


def load_weights(path: Path, model: LlamaForCausalLM) -> None:
    """Copy the weights of a checkpoint into `model`."""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, weight in model.named_parameters():
            saved = file.get_tensor(f"weight:{name}")
            if saved.shape != weight.shape:
                raise RecipeError(
                    f"{path.name} holds {name} as {tuple(saved.shape)}, the settings give "
                    f"{tuple(weight.shape)}; use the settings of that run or a new --output"
                )
            weight.copy_(saved)


def load_model(folder: Path, model: LlamaForCausalLM) -> None:
    """Copy the weights of an exported model into `model`, whose shape must be the same."""
    weights = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name not in weights or weights[name].shape != weight.shape:
                raise RecipeError(
                    f"--start-from {folder}: {name} is absent or of another shape; "
                    "use the settings and the tokenizer of that model"
                )
            weight.copy_(weights[name])


def load(path: Path, model: LlamaForCausalLM, optimizers: Optimizers, mixture: Mixture) -> Progress:
    """Restore everything that `save` wrote and return where the run stood."""
    load_weights(path, model)
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if not name.startswith("weight:")]  # noqa: SIM118
        optimizers.restore({name: file.get_tensor(name) for name in names})
        mixture.restore(json.loads(file.metadata()["state"])["mixture"])
    return load_progress(path)
