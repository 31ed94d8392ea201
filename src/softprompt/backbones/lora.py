"""A model with LoRA's matrices in it, from the folder that PEFT writes them to: as frozen as any.

The folder names the model that the matrices are for. They stay beside its weights, in fp32 where
those are in half precision, as PEFT trains them. It does not know what they have learned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from softprompt.backbones.frozen import Identity
from softprompt.errors import BackboneError
from softprompt.locale import _
from softprompt.storage import canonical_json, sha256

__all__ = ["CONFIG", "NOTE", "TENSORS", "base_of", "identity_with", "is_lora", "put_in"]

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
NOTE = "softprompt.json"
"""What PEFT's own files do not hold."""

_SCALES = (
    "alpha_pattern", "fan_in_fan_out", "lora_alpha", "r", "rank_pattern", "use_dora", "use_rslora",
)  # fmt: skip
"""Settings that say what is computed with the matrices."""
_PLAIN = frozenset({
    *_SCALES, "auto_mapping", "base_model_name_or_path", "bias", "corda_config",
    "ensure_weight_tying", "eva_config", "exclude_modules", "inference_mode", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_bias", "lora_dropout",
    "lora_ga_config", "megatron_core", "peft_type", "peft_version", "qalora_group_size",
    "revision", "runtime_config", "target_modules", "task_type",
})  # fmt: skip
"""Settings of matrices that every token passes through, beside weights that stay as they are."""
_FIRST_VALUES = (None, True, False, "gaussian")
"""Beginnings of the matrices that leave the weights beside them as they are."""


def is_lora(name: str) -> bool:
    """Whether a model's name is that of a folder with an adapter.

    Raises:
        BackboneError: it holds a model as well.
    """
    folder = Path(name)
    # The package's own model is no folder of this name, and no name is no folder.
    if name in ("", "nano") or not (folder / CONFIG).is_file():
        return False
    if any(folder.glob("model*.safetensors")):
        raise BackboneError(
            _("The folder {folder} holds a model and an adapter.").format(folder=folder),
            _("Put each into a folder of its own, and name the one that is meant."),
        )
    return True


def base_of(folder: Path) -> tuple[str, str | None]:
    """Name and revision of the model that a folder's matrices are for.

    Raises:
        BackboneError: it holds something else than LoRA on every token, or names no model that
            can be.
    """
    config = _read(folder / CONFIG)
    kind, name = config.get("peft_type"), config.get("base_model_name_or_path")
    if kind != "LORA":
        raise BackboneError(
            _("{folder} holds an adapter of type {kind}; a model takes LORA.").format(
                folder=folder, kind=kind
            ),
            _("A prompt is named in the place of PROMPT, not as --model."),
        )
    further = sorted(setting for setting in config if config[setting] and setting not in _PLAIN)
    if config.get("init_lora_weights") not in _FIRST_VALUES:
        further.append("init_lora_weights")
    if (folder / NOTE).is_file() and _read(folder / NOTE).get("active_tokens"):
        further.append("active_tokens")
    if further:
        raise BackboneError(
            _("The LoRA in {folder} is not matrices on every token alone: {settings}.").format(
                folder=folder, settings=", ".join(further)
            ),
            _("Name a folder of plain LoRA, or of the whole model."),
        )
    if not isinstance(name, str) or not name:
        raise BackboneError(
            _("{file} does not say which model it is for.").format(file=folder / CONFIG),
            _("Write its name as base_model_name_or_path."),
        )
    if is_lora(name):
        raise BackboneError(
            _("The LoRA in {folder} is for another LoRA ({name}).").format(
                folder=folder, name=name
            ),
            _("Name a folder of LoRA over a model."),
        )
    if Path(name).is_absolute() and not Path(name).is_dir() and not _own(name):
        raise BackboneError(
            _("There is no model folder {folder}.").format(folder=name),
            _("{file} names it: write there where it is.").format(file=folder / CONFIG),
        )
    revision = config.get("revision")
    return "nano" if _own(name) else name, revision if isinstance(revision, str) else None


def put_in(model: Any, folder: Path) -> None:
    """Puts a folder's matrices into the layers of a model, which are changed in place.

    Args:
        model: of Transformers, as its class loads it.
        folder: that `base_of` takes.

    Raises:
        BackboneError: the folder is damaged or for another model, or PEFT is not installed.
    """
    if not (folder / TENSORS).is_file():
        raise BackboneError(
            _("{folder} has no {file}.").format(folder=folder, file=TENSORS),
            _("Save the LoRA again with save_pretrained, as safetensors."),
        )
    try:
        from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
        from peft import set_peft_model_state_dict as put
    except ImportError as error:
        raise BackboneError(
            _("A model with LoRA needs a library that is not installed (peft)."),
            _("Run: pip install 'softprompt[compare]'"),
        ) from error
    try:
        tensors = load_file(folder / TENSORS)
        settings = LoraConfig.from_pretrained(str(folder))
        settings.init_lora_weights = True
        # PEFT warns of a model that lies elsewhere than the folder says.
        settings.base_model_name_or_path = None
        # Their first values, which are not kept, are drawn from torch's own generator.
        with torch.random.fork_rng():
            adapted: Any = get_peft_model(model, settings)
        wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        odd = _odd(_shapes(tensors), _shapes(wanted))
        if not odd:
            put(adapted, tensors)
    # PEFT raises whatever the folder's settings lead it to.
    except Exception as error:
        raise _foreign(folder, next(iter(str(error).splitlines()), type(error).__name__)) from error
    if odd:
        raise _foreign(folder, odd)
    model.requires_grad_(False)


def identity_with(plain: Identity, folder: Path) -> Identity:
    """What a model is that has a folder's matrices in it: the folder's name, and a fingerprint of
    its weights and of what is computed beside them.

    Args:
        plain: of the model without them.
        folder: that they are kept in.
    """
    config = _read(folder / CONFIG)
    matrices = sha256((folder / TENSORS).read_bytes())
    scales = {setting: config.get(setting) for setting in _SCALES}
    weights = sha256(canonical_json([plain.weights, matrices, scales]).encode())
    return Identity(str(folder.absolute()), None, weights, plain.tokenizer)


def _own(name: str) -> bool:
    """Whether it is the package's own model, which PEFT names by its place; another installation
    has it at another one."""
    return Path(name).parts[-3:] == ("softprompt", "backbones", "nano")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def _odd(found: Mapping[str, list[int]], wanted: Mapping[str, list[int]]) -> str:
    """The first tensor that is not as it should be, with both sizes; nothing where all are."""
    names = sorted(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
    return f"{names[0]}: {found.get(names[0])}, {wanted.get(names[0])}" if names else ""


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(found, dict):
        raise _damaged(file, "{}")
    return found


def _damaged(file: Path, reason: str) -> BackboneError:
    return BackboneError(
        _("{file} cannot be read ({reason}).").format(file=file, reason=reason),
        _("Copy the folder again."),
    )


def _foreign(folder: Path, reason: str) -> BackboneError:
    return BackboneError(
        _("The LoRA in {folder} does not fit its model ({reason}).").format(
            folder=folder, reason=reason
        ),
        _(
            "Copy the folder again, or name the model that it was trained over in its {file}."
        ).format(file=CONFIG),
    )
