"""To and from PEFT's folders of prompts (`adapter_config.json`, `adapter_model.safetensors`).

Depth `input` is PEFT's prompt tuning, depth `kv` its prefix tuning, and a folder of P-tuning holds
plain vectors. PEFT puts virtual tokens before everything, the opening token included. So a `front`
prompt goes over as it is; a `prefix` prompt takes the opening token along as its first virtual
token, and then no BOS may be added; other placements have no counterpart. What PEFT's format does
not hold (template, answers, fingerprints) goes into a file of our own beside PEFT's two.

Shapes: P virtual tokens, X numbers of one, L layers, J key-value heads, d head size.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.backbones import Backbone, Identity
from softprompt.errors import ArtifactError, UsageError
from softprompt.locale import _
from softprompt.prompts.artifact import refuse_foreign
from softprompt.prompts.prompt import PromptTask, SoftPrompt
from softprompt.storage import atomic_folder

__all__ = ["export_peft", "load_peft"]

_TENSOR = "prompt_embeddings"
_NOTE = "softprompt.json"
_READ = {"PROMPT_TUNING": "input", "P_TUNING": "input", "PREFIX_TUNING": "kv"}
"""Depth by PEFT's types."""
_TASKS = {"continued": "CAUSAL_LM", "encoder_decoder": "SEQ_2_SEQ_LM"}
"""PEFT's task by the form of a backbone; of an encoder-decoder the prompt stands in the encoder."""


def export_peft(prompt: SoftPrompt, path: Path, backbone: Backbone) -> Path:
    """Writes a folder that `peft.PeftModel.from_pretrained` reads.

    The members of an ensemble go into folders of their own, `member-0`, `member-1`, ... below it:
    PEFT knows no ensembles, and the mean of their probabilities is the caller's to take.

    Args:
        prompt: of placement `front` or `prefix` and depth `input` or `kv`.
        path: the folder to write.
        backbone: the prompt's own; a `prefix` prompt needs what it makes of BOS.

    Raises:
        UsageError: PEFT's format cannot hold the prompt; the message says why.
    """
    prompt.check_backbone(backbone)
    if backbone.form not in _TASKS:
        raise UsageError(
            _(
                "{model} is an encoder, whose prompt has a head beside it; PEFT keeps and reads "
                "heads in its own way."
            ).format(model=backbone.identity.name),
            _("Use the artifact as it is."),
        )
    if backbone.form == "encoder_decoder" and prompt.depth != "input":
        raise UsageError(
            _(
                "PEFT holds a prompt for an encoder-decoder as embeddings before the text, or as "
                "keys and values before everything in the decoder; one of placement {placement!r} "
                "and depth {depth!r} is neither."
            ).format(placement=prompt.placement, depth=prompt.depth),
            _(
                "Train with --placement front --depth input to export, or use the artifact as it "
                "is."
            ),
        )
    refuse_foreign(path, _NOTE if len(prompt.members) == 1 else f"member-0/{_NOTE}")
    if prompt.depth not in _WRITTEN or prompt.placement not in {"front", "prefix"}:
        raise UsageError(
            _(
                "PEFT cannot hold a prompt of placement {placement!r} and depth {depth!r}: its "
                "virtual tokens always stand before the whole input, as embeddings or as keys and "
                "values."
            ).format(placement=prompt.placement, depth=prompt.depth),
            _(
                "Train with --placement front or prefix and --depth input or kv to export, or use "
                "the artifact as it is."
            ),
        )
    form = _WRITTEN[prompt.depth](backbone)
    config = {**form.config, "task_type": _TASKS[backbone.form]}
    opening_1X = form.opening_1X if prompt.placement == "prefix" else None
    members = prompt.members
    with atomic_folder(path) as folder:
        for number, vectors_PX in enumerate(members):
            inside = folder / f"member-{number}" if len(members) > 1 else folder
            inside.mkdir(exist_ok=True)
            _write_member(prompt, vectors_PX, opening_1X, config, inside)
    return path


class _Form(NamedTuple):
    """What a depth is in PEFT: entries of its configuration, and BOS as a virtual token [1, X]."""

    config: dict[str, Any]
    opening_1X: Tensor | None


def _embeddings(backbone: Backbone) -> _Form:
    """Prompt tuning."""
    opening_1D = None
    if backbone.bos is not None:
        ids_1 = torch.tensor([backbone.bos], device=backbone.device)
        opening_1D = backbone.embed(ids_1).detach().float().cpu()
    text = backbone.model.config.get_text_config()
    config = {
        "peft_type": "PROMPT_TUNING",
        "token_dim": backbone.hidden_size,
        "num_layers": backbone.layers,
        "num_attention_heads": text.num_attention_heads,
        "prompt_tuning_init": "RANDOM",
    }
    return _Form(config, opening_1D)


def _keys_values(backbone: Backbone) -> _Form:
    """Prefix tuning.

    Raises:
        UsageError: layers differ in their heads.
    """
    if len(set(backbone.key_shapes)) > 1:
        raise UsageError(
            _(
                "PEFT holds keys and values of one shape; the layers of {model} have {shapes}."
            ).format(model=backbone.identity.name, shapes=sorted(set(backbone.key_shapes))),
            _("Use the artifact as it is."),
        )
    opening_1X = None
    if backbone.bos is not None:
        context = backbone.encode_context([[backbone.bos]])
        pairs = zip(context.keys, context.values, strict=True)
        opening_1X = torch.cat([x[0].float().cpu().flatten()[None] for p in pairs for x in p], 1)
    heads, size = backbone.key_shapes[0]
    config = {
        "peft_type": "PREFIX_TUNING",
        "token_dim": heads * size,
        "num_layers": backbone.layers,
        "num_attention_heads": heads,
        "encoder_hidden_size": heads * size,
        "prefix_projection": False,
    }
    return _Form(config, opening_1X)


_WRITTEN = {"input": _embeddings, "kv": _keys_values}


def _write_member(
    prompt: SoftPrompt,
    vectors_PX: Tensor,
    opening_1X: Tensor | None,
    form: dict[str, Any],
    folder: Path,
) -> None:
    """One prompt in PEFT's own files, and ours beside them."""
    notes = []
    if opening_1X is not None:
        vectors_PX = torch.cat([opening_1X, vectors_PX])
        notes.append(
            "The first virtual token is BOS: tokenise with add_special_tokens=False, so that BOS "
            "is not added once more."
        )
    if prompt.task.choices and prompt.task.scoring == "distinct":
        notes.append(
            "It was trained on the first tokens that tell its labels apart: compare these, or "
            "train with objective=whole_choices for a prompt that shall write whole labels."
        )
    if prompt.task.adjustment:
        notes.append(
            "Add task.adjustment below to the log-probability of each label before the largest is "
            "taken; PEFT does not."
        )
    config = {
        "base_model_name_or_path": _model_path(prompt.backbone.name),
        "revision": None,
        "inference_mode": True,
        "num_virtual_tokens": int(vectors_PX.shape[0]),
        "num_transformer_submodules": 1,
        **form,
    }
    ours = {
        "note": " ".join(notes),
        "bos_included": opening_1X is not None,
        "task": asdict(prompt.task),
        "backbone": asdict(prompt.backbone),
        "dtype": prompt.dtype,
    }
    content = save_tensors({_TENSOR: vectors_PX.contiguous()}, metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(content)
    _write(folder / "adapter_config.json", config)
    _write(folder / _NOTE, ours)


def load_peft(path: Path) -> SoftPrompt:
    """A prompt of placement `front` (or `prefix`, where the folder was exported from one).

    A folder that PEFT wrote itself names its base model but has no fingerprints; they stay empty,
    and only the size of the vectors can be checked against a backbone.

    Raises:
        ArtifactError: it is no folder of such a prompt, or it is damaged.
    """
    config = _read(path / "adapter_config.json")
    if config.get("peft_type") not in _READ:
        raise ArtifactError(
            _("{path} is a PEFT folder of type {kind!r}; read are {names}.").format(
                path=path, kind=config.get("peft_type"), names=", ".join(_READ)
            ),
            _("Use PEFT for it."),
        )
    vectors_PX = _first_module(_table(path), config)
    ours = _read(path / _NOTE) if (path / _NOTE).is_file() else {}
    placement = "front"
    if ours.get("bos_included"):
        placement, vectors_PX = "prefix", vectors_PX[1:]
    name = str(config.get("base_model_name_or_path") or "")
    try:
        identity = Identity(**ours["backbone"]) if ours else Identity(name, None, "", "")
        return SoftPrompt(
            tensors=_TENSORS[_READ[config["peft_type"]]](vectors_PX, config),
            placement=placement,
            depth=_READ[config["peft_type"]],
            task=_task(ours),
            backbone=identity,
            initialisation="peft",
            dtype=ours.get("dtype", "fp32"),
        )
    except (KeyError, TypeError) as error:
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
    named = [name for name in tensors if _TENSOR in name]
    if len(named) != 1 or len(tensors) != 1:
        raise ArtifactError(
            _("{file} holds {tensors}; {tensor!r} alone is wanted.").format(
                file=file, tensors=sorted(tensors), tensor=_TENSOR
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
    """The rows that PEFT uses: for two submodules (T5) it keeps as many again and reads the first.

    Raises:
        ArtifactError: prefix tuning of such a model, whose prompt PEFT puts into the decoder.
    """
    if config.get("task_type") != "SEQ_2_SEQ_LM":
        return vectors_PX
    if config["peft_type"] == "PREFIX_TUNING":
        raise ArtifactError(
            _(
                "PEFT's prefix tuning of an encoder-decoder stands in the decoder, before "
                "everything; no placement here is that."
            ),
            _("Use PEFT for it, or train one with --depth kv."),
        )
    return vectors_PX[: int(config.get("num_virtual_tokens") or len(vectors_PX))]


def _plain(vectors_PX: Tensor, config: dict[str, Any]) -> dict[str, Tensor]:
    """The artifact's tensors of depth `input`."""
    return {"vectors": vectors_PX.contiguous()}


def _by_layer(vectors_PX: Tensor, config: dict[str, Any]) -> dict[str, Tensor]:
    """The artifact's tensors of depth `kv`.

    Raises:
        ArtifactError: numbers and sizes do not fit together.
    """
    layers, heads, size = (
        int(config.get(name) or 0) for name in ("num_layers", "num_attention_heads", "token_dim")
    )
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
    keys_values = by_part.permute(2, 1, 3, 0, 4).contiguous()
    return {"keys": keys_values[0].contiguous(), "values": keys_values[1].contiguous()}


_TENSORS = {"input": _plain, "kv": _by_layer}


def _task(ours: dict[str, Any]) -> PromptTask:
    if not ours:
        return PromptTask("generation", "{text}{answer}", ("text",), "answer")
    return PromptTask.of(ours["task"])


def _model_path(name: str) -> str:
    from softprompt.backbones.load import NANO

    return str(NANO) if name == "nano" else name


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


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
