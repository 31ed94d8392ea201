"""A model with LoRA's matrices in it, from the folder that PEFT writes them to: as frozen as any.

The folder names the model that the matrices are for. They stay beside its weights, in the precision
that they were stored in, as while they were trained. It does not know what they have learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from softprompt.backbones.backbone import Backbone, Identity
from softprompt.errors import BackboneError
from softprompt.locale import _
from softprompt.storage import canonical_json, sha256

__all__ = ["CONFIG", "NOTE", "TENSORS", "base_of", "is_lora", "with_lora", "with_matrices"]

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
NOTE = "softprompt.json"
"""What PEFT's own files do not hold."""

_FURTHER = (
    "alora_invocation_tokens", "layer_replication", "megatron_config", "modules_to_save",
    "target_parameters", "trainable_token_indices",
)  # fmt: skip
"""Settings with which a folder holds more than matrices, or fewer tokens pass through them."""
_SCALES = (
    "alpha_pattern", "fan_in_fan_out", "lora_alpha", "r", "rank_pattern", "use_dora", "use_rslora",
)  # fmt: skip
"""Settings that say what is computed with the matrices."""
_FIRST_VALUES = (None, True, False, "gaussian")
"""Beginnings of the matrices that leave the weights beside them as they are."""


def is_lora(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_of(folder: Path) -> tuple[str, str | None]:
    """Name and revision of the model that a folder's matrices are for.

    Raises:
        BackboneError: it holds something else than LoRA on every token, or names no model.
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
    further = [setting for setting in _FURTHER if config.get(setting)]
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
    if Path(name).is_dir() and is_lora(Path(name)):
        raise BackboneError(
            _("The LoRA in {folder} is for another LoRA ({name}).").format(
                folder=folder, name=name
            ),
            _("Name a folder of LoRA over a model."),
        )
    revision = config.get("revision")
    return name, revision if isinstance(revision, str) else None


def with_matrices(backbone: Backbone, folder: Path) -> Backbone:
    """A backbone with a folder's matrices put into its layers, which are changed in place.

    Raises:
        BackboneError: the folder is damaged or for another model, or PEFT is not installed.
    """
    from safetensors.torch import load_file

    try:
        from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
        from peft import set_peft_model_state_dict as put
    except ImportError as error:
        raise BackboneError(
            _("A model with LoRA needs a library that is not installed (peft)."),
            _("Run: pip install 'softprompt[compare]'"),
        ) from error
    try:
        tensors: dict[str, Tensor] = load_file(folder / TENSORS)
        settings = LoraConfig.from_pretrained(str(folder))
        settings.init_lora_weights = True
        # PEFT warns of a model that lies elsewhere than the folder says.
        settings.base_model_name_or_path = None
        # Their first values, which are not kept, are drawn from torch's own generator.
        with torch.random.fork_rng():
            model: Any = get_peft_model(backbone.model, settings)
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise _foreign(backbone, folder, str(error).splitlines()[0]) from error
    wanted = {name: list(one.shape) for name, one in get_peft_model_state_dict(model).items()}
    found = {name: list(one.shape) for name, one in tensors.items()}
    odd = sorted(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
    if odd:
        reason = f"{odd[0]}: {found.get(odd[0])}, {wanted.get(odd[0])}"
        raise _foreign(backbone, folder, reason)
    put(model, tensors)
    model.requires_grad_(False)
    return with_lora(backbone, folder)


def with_lora(backbone: Backbone, folder: Path) -> Backbone:
    """A backbone whose layers have a folder's matrices, under the name and fingerprint of both.

    Args:
        backbone: with the matrices in it.
        folder: that they are kept in.
    """
    plain, name, config = backbone.identity, str(folder.absolute()), _read(folder / CONFIG)
    matrices = sha256((folder / TENSORS).read_bytes())
    scales = {setting: config.get(setting) for setting in _SCALES}
    weights = sha256(canonical_json([plain.weights, matrices, scales]).encode())
    identity = Identity(name, None, weights, plain.tokenizer)
    settings = {**backbone.settings, "model": name, "revision": None}
    loaded = type(backbone)
    return loaded(backbone.model, backbone.tokenizer, identity, backbone.dtype, settings)


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


def _foreign(backbone: Backbone, folder: Path, reason: str) -> BackboneError:
    return BackboneError(
        _("The LoRA in {folder} does not fit {model} ({reason}).").format(
            folder=folder, model=backbone.identity.name, reason=reason
        ),
        _(
            "Copy the folder again, or name the model that it was trained over in its {file}."
        ).format(file=CONFIG),
    )
