"""From PEFT's folders of prompts (`adapter_config.json`, `adapter_model.safetensors`).

A folder of prompt tuning, P-tuning or prefix tuning, whether PEFT wrote it or a prompt was
exported to it, is a prompt of placement `front` (or `prefix`, where it was one; prefix tuning of an
encoder-decoder stands in the decoder and is a `suffix`); a folder of several such folders,
`member-0`, `member-1`, ..., is an ensemble.

Shapes: P virtual tokens, X numbers of one, L layers, J key-value heads, d head size.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from softprompt.backbones import Identity
from softprompt.backbones.lora import CONFIG, NOTE
from softprompt.errors import ArtifactError
from softprompt.locale import _
from softprompt.prompts.prompt import PromptTask, SoftPrompt

__all__ = ["TENSOR", "is_peft", "load_peft", "member_folder"]

TENSOR = "prompt_embeddings"
_READ = {"PROMPT_TUNING": "input", "P_TUNING": "input", "PREFIX_TUNING": "kv"}
"""Depth by PEFT's types."""


def is_peft(path: Path) -> bool:
    """Whether a folder is PEFT's, or one that an ensemble was exported to."""
    return any((path / name / CONFIG).is_file() for name in (".", member_folder(0)))


def load_peft(path: Path) -> SoftPrompt:
    """A prompt, or an ensemble where its members were exported to `member-0`, `member-1`, ...

    Args:
        path: the folder, of which `is_peft` is true.

    Raises:
        ArtifactError: it is no folder of such a prompt, it is damaged, or PEFT computes with it
            what is not computed here.
    """
    if (path / CONFIG).is_file():
        return _load_one(path)
    count = len(list(path.glob(f"{member_folder('*')}/{CONFIG}")))
    members = [_load_one(path / member_folder(number)) for number in range(count)]
    wanted = _read(path / member_folder(0) / NOTE).get("members")
    if wanted != count or any(_alike(one) != _alike(members[0]) for one in members):
        raise ArtifactError(
            _("{path} is no whole ensemble: its {n} members are not of one export.").format(
                path=path, n=count
            ),
            _("Copy the folder again."),
        )
    tensors = {
        f"member.{number}.{name}": tensor
        for number, member in enumerate(members)
        for name, tensor in member.tensors.items()
    }
    return replace(members[0], tensors=tensors)


def _alike(prompt: SoftPrompt) -> tuple[object, ...]:
    """What the members of an ensemble share."""
    return prompt.placement, prompt.depth, prompt.task, prompt.backbone, prompt.dtype


def member_folder(number: int | str) -> str:
    """The name of the folder of an ensemble's member."""
    return f"member-{number}"


def _load_one(path: Path) -> SoftPrompt:
    """One prompt.

    A folder that PEFT wrote itself names its base model but has no fingerprints; they stay empty,
    and only the form of the model and the sizes of the prompt can be checked against a backbone.

    Raises:
        ArtifactError: it is no folder of such a prompt, it is damaged, or PEFT computes with it
            what is not computed here.
    """
    config = _read(path / CONFIG)
    if config.get("peft_type") not in _READ:
        raise ArtifactError(
            _("{path} is a PEFT folder of type {kind!r}; read are {names}.").format(
                path=path, kind=config.get("peft_type"), names=", ".join(_READ)
            ),
            _("Use PEFT for it, or LoRA as a model (--model)."),
        )
    if _in_decoder(config) and config.get("num_transformer_submodules") == 1:
        raise ArtifactError(
            _(
                "{path} is a prefix with num_transformer_submodules=1, for which PEFT keeps an "
                "encoder-decoder's cross-attention and its prefix in one cache; that is not "
                "computed here."
            ).format(path=path),
            _("Train it with num_transformer_submodules=2, as PEFT does unless told otherwise."),
        )
    table_PX = _table(path)
    ours = _read(path / NOTE) if (path / NOTE).is_file() else {}
    placement = "suffix" if _in_decoder(config) else "front"
    name = str(config.get("base_model_name_or_path") or "")
    try:
        vectors_PX = _first_module(table_PX, config)
        if ours.get("bos_included"):
            placement, vectors_PX = "prefix", vectors_PX[1:]
        revision = config.get("revision")
        identity = Identity(**ours["backbone"]) if ours else Identity(name, revision, "", "")
        return SoftPrompt(
            tensors=_TENSORS[_READ[config["peft_type"]]](vectors_PX, config),
            placement=placement,
            depth=_READ[config["peft_type"]],
            task=_task(ours),
            backbone=identity,
            initialisation="peft",
            dtype=ours.get("dtype", "fp32"),
            config={"peft": {"task_type": config.get("task_type")}},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            _("A file in {path} lacks or garbles a field ({error}).").format(
                path=path, error=error
            ),
            _("Copy the folder again."),
        ) from error


def _table(path: Path) -> Tensor:
    """The table of virtual tokens in a folder.

    Raises:
        ArtifactError: there is none, or something else beside it.
    """
    file = path / "adapter_model.safetensors"
    try:
        tensors = load_tensors(file.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(
            _("{path} has no adapter_model.safetensors; other weight files are not read.").format(
                path=path
            ),
            _("Save it with safe_serialization=True."),
        ) from error
    except SafetensorError as error:
        raise ArtifactError(
            _("{file} is damaged ({error}).").format(file=file, error=error), _("Copy it again.")
        ) from error
    named = [name for name in tensors if TENSOR in name]
    if len(named) != 1 or len(tensors) != 1:
        raise ArtifactError(
            _("{file} holds {tensors}; {tensor!r} alone is wanted.").format(
                file=file, tensors=sorted(tensors), tensor=TENSOR
            ),
            _("A prompt with a head or other trained layers beside it is PEFT's to use."),
        )
    whole = tensors[named[0]]
    if whole.ndim != 2 or not bool(torch.isfinite(whole).all()):
        raise ArtifactError(
            _("{file} holds no table of finite numbers; its shape is {shape}.").format(
                file=file, shape=list(whole.shape)
            ),
            _("Copy it again, or save it again with PEFT."),
        )
    return whole.float()


def _first_module(vectors_PX: Tensor, config: dict[str, Any]) -> Tensor:
    """The rows that PEFT uses: of two submodules (T5) it keeps as many again, unread."""
    if config.get("task_type") != "SEQ_2_SEQ_LM":
        return vectors_PX
    return vectors_PX[: int(config.get("num_virtual_tokens") or len(vectors_PX))]


def _in_decoder(config: dict[str, Any]) -> bool:
    """Whether PEFT puts the prompt before everything in a decoder beside an encoder."""
    return config["peft_type"] == "PREFIX_TUNING" and config.get("task_type") == "SEQ_2_SEQ_LM"


def _plain(vectors_PX: Tensor, config: dict[str, Any]) -> dict[str, Tensor]:
    """The artifact's tensors of depth `input`."""
    return {"vectors": vectors_PX.contiguous()}


def _by_layer(vectors_PX: Tensor, config: dict[str, Any]) -> dict[str, Tensor]:
    """The artifact's tensors of depth `kv`.

    For two submodules PEFT doubles the layers' pairs, parts them by four and reads the first two of
    each four: layer l has the pair 2 l modulo L (`PeftModel.get_prompt`).

    Raises:
        ArtifactError: numbers and sizes do not fit together.
        ValueError: one of them is no number, or the heads do not part the size.
    """
    layers, heads, size = (
        int(config.get(name) or 0) for name in ("num_layers", "num_attention_heads", "token_dim")
    )
    if heads and size % heads:
        raise ValueError(f"num_attention_heads {heads}, token_dim {size}")
    if not heads or vectors_PX.shape[1] != 2 * layers * size:
        raise ArtifactError(
            _(
                "The prefix has {numbers} numbers a virtual token; {layers} layers of keys and "
                "values of {size} make {wanted}."
            ).format(
                numbers=vectors_PX.shape[1], layers=layers, size=size, wanted=2 * layers * size
            ),
            _("Copy the folder again."),
        )
    by_part = vectors_PX.view(len(vectors_PX), layers, 2, heads, size // heads)
    if _in_decoder(config):
        by_part = by_part[:, [2 * layer % layers for layer in range(layers)]]
    keys_values = by_part.permute(2, 1, 3, 0, 4).contiguous()
    return {"keys": keys_values[0].contiguous(), "values": keys_values[1].contiguous()}


_TENSORS = {"input": _plain, "kv": _by_layer}


def _task(ours: dict[str, Any]) -> PromptTask:
    if not ours:
        return PromptTask("generation", "{text}{answer}", ("text",), "answer")
    return PromptTask.of(ours["task"])


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            _("{file} is missing or damaged.").format(file=file), _("Copy it again.")
        ) from error
    if not isinstance(value, dict):
        raise ArtifactError(_("{file} is damaged.").format(file=file), _("Copy it again."))
    return value
