"""What comes after the contexts of a batch, as tensors: trunks, answers as branches, predictions.

    trunk: prompt vectors and the text between them     branch 0
    answer c: its tokens but the last                   branch c + 1

Every answer continues the trunk without seeing the others, so one pass scores all of them. It does
not know what the scores are for.

Shapes: B rows, N positions, A answers over all rows, M predicted tokens, U positions that predict,
P prompt vectors, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Context
from softprompt.prompts import Example

__all__ = ["Continuation", "log_scores", "token_log_probabilities"]


@dataclass(frozen=True)
class Continuation:
    """The continued part of a batch of examples.

    Args:
        ids_BN: token ids; -1 - k where prompt vector k stands; 0 where there is padding.
        position_BN: position in the row's sequence; -1 for padding.
        branch_BN: 0 for the trunk, c + 1 for answer c.
        source_U: flat places (b * N + n) of the positions that predict something.
        pick_M: for each predicted token, which of the U predicts it.
        target_M: the token predicted.
        answer_M: which of the A answers it belongs to; answers are counted row by row.
        answers: A.
    """

    ids_BN: Tensor
    position_BN: Tensor
    branch_BN: Tensor
    source_U: Tensor
    pick_M: Tensor
    target_M: Tensor
    answer_M: Tensor
    answers: int

    @classmethod
    def of(cls, examples: Sequence[Example], device: torch.device) -> Continuation:
        """Lays out the trunks and answers of examples, padded on the right."""
        rows = [_row(example) for example in examples]
        width = max(len(ids) for ids, _, _ in rows)
        ids_BN = torch.zeros(len(rows), width, dtype=torch.long)
        position_BN = torch.full_like(ids_BN, -1)
        branch_BN = torch.zeros_like(ids_BN)
        source: list[int] = []
        target: list[int] = []
        owner: list[int] = []
        answers = 0
        for b, (example, (ids, positions, branches)) in enumerate(zip(examples, rows, strict=True)):
            ids_BN[b, : len(ids)] = torch.tensor(ids)
            position_BN[b, : len(ids)] = torch.tensor(positions)
            branch_BN[b, : len(ids)] = torch.tensor(branches)
            place = len(example.trunk)
            for answer in example.answers:
                before = [len(example.trunk) - 1, *range(place, place + len(answer) - 1)]
                source += [b * width + n for n in before]
                target += answer
                owner += [answers] * len(answer)
                answers += 1
                place += len(answer) - 1
        source_U, pick_M = torch.unique(torch.tensor(source, dtype=torch.long), return_inverse=True)
        return cls(
            ids_BN=ids_BN.to(device),
            position_BN=position_BN.to(device),
            branch_BN=branch_BN.to(device),
            source_U=source_U.to(device),
            pick_M=pick_M.to(device),
            target_M=torch.tensor(target, dtype=torch.long, device=device),
            answer_M=torch.tensor(owner, dtype=torch.long, device=device),
            answers=answers,
        )


def _row(example: Example) -> tuple[list[int], list[int], list[int]]:
    """Ids, positions and branches of one row's trunk and answers."""
    start = len(example.context)
    ids = list(example.trunk)
    positions = list(range(start, start + len(ids)))
    branches = [0] * len(ids)
    after = start + len(ids)
    for number, answer in enumerate(example.answers, 1):
        fed = answer[:-1]
        ids += fed
        positions += range(after, after + len(fed))
        branches += [number] * len(fed)
    return ids, positions, branches


def embedded(backbone: Backbone, ids_BN: Tensor, vectors_PD: Tensor | None) -> Tensor:
    """[B, N, D] embeddings of tokens, with prompt vectors where ids are negative."""
    embeds_BND = backbone.embed(ids_BN.clamp(min=0))
    if vectors_PD is None:
        return embeds_BND
    places_BN = ids_BN < 0
    vectors_PD = vectors_PD.to(device=embeds_BND.device, dtype=embeds_BND.dtype)
    return embeds_BND.masked_scatter(places_BN[..., None], vectors_PD[-1 - ids_BN[places_BN]])


def token_log_probabilities(
    backbone: Backbone, context: Context, what: Continuation, vectors_PD: Tensor | None
) -> Tensor:
    """[M] log-probability of every answer token, differentiable in the vectors."""
    embeds_BND = embedded(backbone, what.ids_BN, vectors_PD)
    hidden_BND = backbone.continue_from(context, embeds_BND, what.position_BN, what.branch_BN)
    hidden_UD = hidden_BND.flatten(0, 1).index_select(0, what.source_U)
    log_UV = backbone.logits(hidden_UD).log_softmax(-1)
    return log_UV[what.pick_M, what.target_M]


def log_scores(
    backbone: Backbone, context: Context, what: Continuation, vectors_PD: Tensor | None
) -> Tensor:
    """[A] summed log-probability of each answer, its end token included."""
    tokens_M = token_log_probabilities(backbone, context, what, vectors_PD)
    scores_A = torch.zeros(what.answers, dtype=tokens_M.dtype, device=tokens_M.device)
    return scores_A.index_add(0, what.answer_M, tokens_M)
