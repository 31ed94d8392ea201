"""To and from PEFT's prompt-tuning folders (`adapter_config.json`, `adapter_model.safetensors`).

PEFT puts virtual tokens before everything, the opening token included. So a `front` prompt goes
over as it is; a `prefix` prompt takes the opening token's embedding along as its first virtual
token, and then no BOS may be added; `suffix` and `slots` have no counterpart. What PEFT's format
does not hold (template, answers, fingerprints) goes into a file of our own beside PEFT's two.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.backbones import Backbone, Identity
from softprompt.errors import ArtifactError, UsageError
from softprompt.prompts.artifact import refuse_foreign
from softprompt.prompts.prompt import PromptTask, SoftPrompt
from softprompt.storage import atomic_folder
from softprompt.tasks import Choice

__all__ = ["export_peft", "load_peft"]

_TENSOR = "prompt_embeddings"
_NOTE = "softprompt.json"


def export_peft(prompt: SoftPrompt, path: Path, backbone: Backbone) -> Path:
    """Writes a folder that `peft.PeftModel.from_pretrained` reads.

    The members of an ensemble go into folders of their own, `member-0`, `member-1`, ... below it:
    PEFT knows no ensembles, and the mean of their probabilities is the caller's to take.

    Args:
        prompt: of placement `front` or `prefix` and depth `input`.
        path: the folder to write.
        backbone: the prompt's own; a `prefix` prompt needs its BOS embedding.

    Raises:
        UsageError: PEFT's format cannot hold the prompt; the message says why.
    """
    prompt.check_backbone(backbone)
    refuse_foreign(path, "adapter_config.json")
    if prompt.depth != "input" or prompt.placement not in {"front", "prefix"}:
        raise UsageError(
            f"PEFT cannot hold a prompt of placement {prompt.placement!r} and depth "
            f"{prompt.depth!r}: its virtual tokens always stand before the whole input.",
            "Train with --placement front or prefix to export, or use the artifact as it is.",
        )
    bos_1D = None
    if prompt.placement == "prefix" and backbone.bos is not None:
        ids_1 = torch.tensor([backbone.bos], device=backbone.device)
        bos_1D = backbone.embed(ids_1).detach().float().cpu()
    members = prompt.members
    with atomic_folder(path) as folder:
        for number, vectors_PD in enumerate(members):
            inside = folder / f"member-{number}" if len(members) > 1 else folder
            inside.mkdir(exist_ok=True)
            _write_member(prompt, vectors_PD, bos_1D, inside, backbone)
    return path


def _write_member(
    prompt: SoftPrompt, vectors_PD: Tensor, bos_1D: Tensor | None, folder: Path, backbone: Backbone
) -> None:
    """One prompt in PEFT's own files, and ours beside them."""
    note = ""
    if bos_1D is not None:
        vectors_PD = torch.cat([bos_1D, vectors_PD])
        note = (
            "The first virtual token is the embedding of BOS: tokenise with "
            "add_special_tokens=False, so that BOS is not added once more."
        )
    config = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": _model_path(prompt.backbone.name),
        "revision": None,
        "inference_mode": True,
        "num_virtual_tokens": int(vectors_PD.shape[0]),
        "token_dim": backbone.hidden_size,
        "num_transformer_submodules": 1,
        "num_layers": backbone.layers,
        "num_attention_heads": backbone.model.config.get_text_config().num_attention_heads,
        "prompt_tuning_init": "RANDOM",
    }
    ours = {
        "note": note,
        "bos_included": bool(note),
        "task": asdict(prompt.task),
        "backbone": asdict(prompt.backbone),
        "dtype": prompt.dtype,
    }
    content = save_tensors({_TENSOR: vectors_PD.contiguous()}, metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(content)
    _write(folder / "adapter_config.json", config)
    _write(folder / _NOTE, ours)


def load_peft(path: Path) -> SoftPrompt:
    """A prompt of placement `front` (or `prefix`, where the folder was exported from one).

    A folder that PEFT wrote itself names its base model but has no fingerprints; they stay empty,
    and only the size of the vectors can be checked against a backbone.

    Raises:
        ArtifactError: it is no prompt-tuning folder, or it is damaged.
    """
    config = _read(path / "adapter_config.json")
    if config.get("peft_type") != "PROMPT_TUNING":
        raise ArtifactError(
            f"{path} is a PEFT folder of type {config.get('peft_type')!r}; prompt tuning is read.",
            "Use PEFT for it.",
        )
    file = path / "adapter_model.safetensors"
    try:
        tensors = load_tensors(file.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path} has no adapter_model.safetensors; other weight files are not read.",
            "Save it with safe_serialization=True.",
        ) from error
    except SafetensorError as error:
        raise ArtifactError(f"{file} is damaged ({error}).", "Copy it again.") from error
    named = [name for name in tensors if name.endswith(_TENSOR) or "prompt_embeddings" in name]
    if len(named) != 1:
        raise ArtifactError(f"{file} holds {sorted(tensors)}; {_TENSOR!r} is wanted.")
    vectors_PD = tensors[named[0]].float()
    ours = _read(path / _NOTE) if (path / _NOTE).is_file() else {}
    placement = "front"
    if ours.get("bos_included"):
        placement, vectors_PD = "prefix", vectors_PD[1:]
    name = str(config.get("base_model_name_or_path") or "")
    identity = Identity(**ours["backbone"]) if ours else Identity(name, None, "", "")
    return SoftPrompt(
        tensors={"vectors": vectors_PD.contiguous()},
        placement=placement,
        task=_task(ours),
        backbone=identity,
        initialisation="peft",
        dtype=ours.get("dtype", "fp32"),
    )


def _task(ours: dict[str, Any]) -> PromptTask:
    if not ours:
        return PromptTask("generation", "{text}{answer}", ("text",), "answer")
    task = dict(ours["task"])
    task["choices"] = tuple(Choice(**choice) for choice in task["choices"])
    task["inputs"] = tuple(task["inputs"])
    return PromptTask(**task)


def _model_path(name: str) -> str:
    from softprompt.backbones.load import NANO

    return str(NANO) if name == "nano" else name


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} is missing or damaged.", "Copy it again.") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{file} is damaged.", "Copy it again.")
    return value
