"""A prompt of a module that is no language model at work: inputs in, the module's outputs out.

It does not know what inputs and outputs mean.

Shapes: B inputs, P vectors of a prompt, D numbers of a vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import Adapter
from softprompt.backbones.adapter import as_kept
from softprompt.errors import ArtifactError, UsageError
from softprompt.locale import _
from softprompt.prompts import SoftPrompt
from softprompt.prompts.placements import PLACEMENTS, pieces
from softprompt.tasks import Slot

__all__ = ["refuse_no_adapter", "run_vectors", "vectors_before", "vectors_of"]


def vectors_before(placement: str, length: int) -> int:
    """How many of the vectors stand before an input, by a placement's name; the others follow it.

    Raises:
        UsageError: the placement needs a template.
    """
    if not pieces(placement):
        raise UsageError(
            _(
                "The placement {placement!r} needs a template, and inputs of a module have none."
            ).format(placement=placement),
            _("Choose front, suffix or both."),
        )
    count = 0
    for part in PLACEMENTS.get(placement)(("",), length):
        if isinstance(part, str):
            break
        count += part.length if isinstance(part, Slot) else 0
    return count


@torch.no_grad()
def run_vectors(
    prompt: SoftPrompt | str | Path,
    adapter: Adapter,
    inputs: Any,
    *,
    batch_size: int | None = None,
) -> Tensor:
    """The outputs [B, ...] of a module for inputs with a prompt.

    Args:
        prompt: that `tune_vectors` made, or its folder.
        adapter: of the same module.
        inputs: B inputs, as the adapter's `embed` takes them.
        batch_size: inputs that are run at once; all of them when None. Outputs that depend on the
            longest row of a batch need all at once.

    Raises:
        ArtifactError: the prompt belongs to a module with other weights.
        UsageError: the prompt belongs to a language model, there are no inputs, or what is given
            is no adapter.
    """
    refuse_no_adapter(adapter)
    if not isinstance(prompt, SoftPrompt):
        prompt = SoftPrompt.load(prompt)
    _refuse_foreign(prompt, adapter)
    if prompt.depth != "input" or prompt.heads:
        raise UsageError(
            _("A prompt of depth {depth!r} does not stand among a module's vectors.").format(
                depth=prompt.depth
            ),
            _("Use one that tune_vectors made."),
        )
    if hasattr(inputs, "__len__") and not len(inputs):
        raise UsageError(_("There are no inputs to run."), _("Give at least one."))
    if batch_size is not None and batch_size < 1:
        raise UsageError(
            _("batch_size cannot be {value}.").format(value=batch_size),
            _("Give at least 1, or leave it out for all at once."),
        )
    batches = [inputs]
    if batch_size is not None and len(inputs) > batch_size:
        kept = as_kept(inputs)
        batches = [kept[at : at + batch_size] for at in range(0, len(kept), batch_size)]
    before = [vectors_before(prompt.placement, len(prompt.vectors))]
    found = []
    for batch in batches:
        rows = adapter.embedded(batch)
        found.append(adapter.run(rows, [prompt.vectors.to(rows[0])], before))
    return torch.cat(found)


def refuse_no_adapter(adapter: object) -> None:
    """Refuses what is no adapter, a module by itself for example.

    Raises:
        UsageError: what it is.
    """
    if not isinstance(adapter, Adapter):
        raise UsageError(
            _("{kind} is no adapter of a module.").format(kind=type(adapter).__name__),
            _("Give Adapter(module, embed, forward), or a class of your own made from Adapter."),
        )


def vectors_of(folder: str, adapter: Adapter) -> Tensor:
    """The vectors [P, D] of a prompt that `tune_vectors` made for a module.

    Raises:
        ArtifactError: the folder is no prompt, or that of a module with other weights.
    """
    prompt = SoftPrompt.load(folder)
    _refuse_foreign(prompt, adapter)
    return prompt.vectors


def _refuse_foreign(prompt: SoftPrompt, adapter: Adapter) -> None:
    """Refuses a prompt of another module.

    Raises:
        ArtifactError: naming both.
    """
    mine, theirs = prompt.backbone, adapter.identity
    if mine.weights != theirs.weights:
        raise ArtifactError(
            _(
                "The prompt belongs to {trained} (weights {mine}), and the module given is {given} "
                "(weights {theirs})."
            ).format(
                trained=mine.name,
                mine=mine.weights[:12],
                given=theirs.name,
                theirs=theirs.weights[:12],
            ),
            _("Give the module that it was trained over, or train one for this module."),
        )
