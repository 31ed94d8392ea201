"""A request as vLLM reads it: the whole embedded sequence, in base64.

vLLM's `prompt_embeds` is a tensor as `torch.save` writes it, and nothing else. That format is a zip
archive with a pickle in it, so this is the one place of the project that writes such a thing; none
is ever read, since whoever reads a pickle may run what it holds. The tensor is made here from
token ids and a checked prompt, and no client can hand one in. It does not know HTTP.

Shapes: N positions, P vectors of a prompt, D hidden size.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

import torch
from torch import Tensor

from softprompt.inference.mixed import MixedRow
from softprompt.serving.vllm_table import EmbeddingTable

__all__ = ["encoded", "sequence"]


@torch.no_grad()
def sequence(table: EmbeddingTable, row: MixedRow, answer: Sequence[int] = ()) -> Tensor:
    """[N, D] what the model reads of a row: tokens embedded, vectors in their places.

    Args:
        table: of the model.
        row: laid out; its prompt, if any, is of depth `input`.
        answer: tokens of an answer that follow.
    """
    ids_N = torch.tensor([*row.example.context, *row.example.trunk, *answer])
    embeds_ND = table.embed(ids_N.clamp(min=0))
    if row.prompt is not None:
        vectors_PD = row.prompt.entering.embeds_PD
        assert vectors_PD is not None, "only prompts of depth input come here"
        places_P = ids_N < 0
        embeds_ND[places_P] = vectors_PD[-1 - ids_N[places_P]]
    return embeds_ND


def encoded(embeds_ND: Tensor) -> str:
    """A tensor as `prompt_embeds` carries it.

    A view would carry the whole storage behind it, so a copy of just these numbers is written.
    """
    content = BytesIO()
    torch.save(embeds_ND.detach().cpu().clone().contiguous(), content)
    return base64.b64encode(content.getvalue()).decode("ascii")
