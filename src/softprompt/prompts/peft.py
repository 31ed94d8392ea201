"""To PEFT's folders of prompts (`adapter_config.json`, `adapter_model.safetensors`).

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
from safetensors.torch import save as save_tensors
from torch import Tensor

from softprompt.backbones import Backbone, Identity
from softprompt.backbones.lora import CONFIG, NOTE
from softprompt.errors import UsageError
from softprompt.locale import _, mark
from softprompt.prompts.artifact import refuse_foreign
from softprompt.prompts.peft_folder import TENSOR, member_folder
from softprompt.prompts.prompt import SoftPrompt
from softprompt.storage import atomic_folder

__all__ = ["export_peft", "notes_of"]

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
                "PEFT holds a prompt for an encoder-decoder as embeddings before the text; its "
                "keys and values in the decoder are shared by pairs of layers. One of placement "
                "{placement!r} and depth {depth!r} does not go over."
            ).format(placement=prompt.placement, depth=prompt.depth),
            _(
                "Train with --placement front --depth input to export, or use the artifact as it "
                "is."
            ),
        )
    refuse_foreign(path, NOTE if len(prompt.members) == 1 else f"{member_folder(0)}/{NOTE}")
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
            inside = folder / member_folder(number) if len(members) > 1 else folder
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
    if opening_1X is not None:
        vectors_PX = torch.cat([opening_1X, vectors_PX])
    config = {
        "base_model_name_or_path": _model_path(prompt.backbone.name),
        "revision": _revision(prompt.backbone),
        "inference_mode": True,
        "num_virtual_tokens": int(vectors_PX.shape[0]),
        "num_transformer_submodules": 1,
        **form,
    }
    ours = {
        "note": " ".join(_notes(prompt, opening=opening_1X is not None)),
        "members": len(prompt.members),
        "bos_included": opening_1X is not None,
        "task": asdict(prompt.task),
        "backbone": asdict(prompt.backbone),
        "dtype": prompt.dtype,
    }
    content = save_tensors({TENSOR: vectors_PX.contiguous()}, metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(content)
    _write(folder / CONFIG, config)
    _write(folder / NOTE, ours)


def notes_of(prompt: SoftPrompt, backbone: Backbone) -> list[str]:
    """What the user of an exported prompt has to know, in the language in use."""
    opening = prompt.placement == "prefix" and backbone.bos is not None
    notes = [_(note) for note in _notes(prompt, opening=opening)]
    count = len(prompt.members)
    if count > 1:
        several = _(
            "It is an ensemble: {n} folders, member-0 to member-{last}, each one for PEFT; the "
            "mean of their probabilities is the answer."
        )
        notes.insert(0, several.format(n=count, last=count - 1))
    return notes


def _notes(prompt: SoftPrompt, *, opening: bool) -> list[str]:
    """The same of each member, in English, as it stands in the files."""
    notes = []
    if opening:
        notes.append(
            mark(
                "The first virtual token is BOS: tokenise with add_special_tokens=False, so that "
                "BOS is not added once more."
            )
        )
    if prompt.task.choices and prompt.task.scoring == "distinct":
        notes.append(
            mark(
                "It was trained on the first tokens that tell its labels apart: compare these, or "
                "train with objective=whole_choices for a prompt that shall write whole labels."
            )
        )
    if prompt.task.adjustment:
        notes.append(
            mark(
                "Add task.adjustment, which stands in softprompt.json, to the log-probability of "
                "each label before the largest is taken; PEFT does not."
            )
        )
    return notes


def _revision(backbone: Identity) -> str | None:
    """Of a model of the hub; a folder has none."""
    return None if Path(_model_path(backbone.name)).is_dir() else backbone.revision


def _model_path(name: str) -> str:
    from softprompt.backbones.load import NANO

    return str(NANO) if name == "nano" else name


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
