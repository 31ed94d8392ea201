"""What comes after the contexts of a batch, as tensors: trunks, answers as branches, predictions.

    trunk: prompt vectors and the text between them     branch 0
    answer c: its tokens but the last                   branch c + 1

Every answer continues the trunk without seeing the others, so one pass scores all of them. Several
prompts (a population in training, an ensemble at work) are rows over one context, so one pass
scores those too. It does not know what the scores are for.

Shapes: B examples, K prompts, R = B * K rows (row b * K + k has example b and prompt k),
N positions, A answers over all rows, M predicted tokens, U positions that predict,
D hidden size, X numbers that a prompt has at a place. The rows of all prompts count through, one
prompt after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Beside, Context, EncoderDecoder, Inserted
from softprompt.inference.laid_row import LaidRow, padded
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS, Depth

__all__ = [
    "Continuation",
    "entering",
    "log_scores",
    "read_contexts",
    "token_log_probabilities",
]


@dataclass(frozen=True)
class Continuation:
    """The continued part of a batch of examples, once for each prompt.

    Args:
        ids_RN: token ids; 0 where a vector stands or where there is padding.
        places_W: flat places (r * N + n) where vectors stand.
        vector_W: which row of all prompts stands there.
        position_RN: position in the row's sequence; -1 for padding.
        branch_RN: 0 for the trunk, c + 1 for answer c.
        source_U: flat places (r * N + n) of the positions that predict something.
        pick_M: for each predicted token, which of the U predicts it.
        target_M: the token predicted.
        answer_M: which of the A answers it belongs to; answers are counted row by row.
        answers: A.
        depth: where the prompts enter.
        row_RQ: which row of all prompts stands at the places where nothing is computed; 0 where
            there is padding. None where all places are computed.
        place_RQ: position of those in the row's sequence; -1 for padding.
        reading: what an encoder reads first, where prompts stand in it; None else.
        pooled: whether answers are rows of a head, which are rows of the prompts.
    """

    ids_RN: Tensor
    places_W: Tensor
    vector_W: Tensor
    position_RN: Tensor
    branch_RN: Tensor
    source_U: Tensor
    pick_M: Tensor
    target_M: Tensor
    answer_M: Tensor
    answers: int
    depth: Depth
    row_RQ: Tensor | None = None
    place_RQ: Tensor | None = None
    reading: Continuation | None = None
    pooled: bool = False

    @classmethod
    def of(
        cls,
        examples: Sequence[Example],
        device: torch.device,
        lengths: Sequence[int] = (),
        depth: str = "input",
        hidden: Sequence[frozenset[int]] = (),
    ) -> Continuation:
        """Lays out the trunks and answers of examples, padded on the right.

        Args:
            examples: laid out for the longest prompt.
            device: of the tensors.
            lengths: vectors of each prompt; none where there is no prompt.
            depth: name of where the prompts enter.
            hidden: by row r, places of its prompt that it does not see, where nothing is computed
                at a prompt's places; none where absent.
        """
        prompts = list(zip(lengths, accumulate([0, *lengths]), strict=False))
        laid = [(e.with_vectors(n).after(start), start) for e in examples for n, start in prompts]
        laid = laid or [(example, 0) for example in examples]
        where = DEPTHS.get(depth)
        rows = [
            LaidRow.of(example, start, where.computed, hidden[r] if hidden else frozenset())
            for r, (example, start) in enumerate(laid)
        ]
        what = cls.laid([example for example, _ in laid], rows, device, where)
        if not any(example.encoder for example in examples):
            return what
        reading = cls.of([e.reading for e in examples], device, lengths, depth, hidden)
        return replace(what, reading=reading)

    @classmethod
    def laid(
        cls,
        examples: Sequence[Example],
        rows: Sequence[LaidRow],
        device: torch.device,
        depth: Depth,
    ) -> Continuation:
        """Rows that are laid out already, one for each example, as tensors."""
        ids_RN = padded([row.ids for row in rows], 0)
        width = ids_RN.shape[1]
        source: list[int] = []
        target: list[int] = []
        owner: list[int] = []
        answers = 0
        for r, (example, row) in enumerate(zip(examples, rows, strict=True)):
            place = row.trunk
            for answer in example.answers:
                first = row.trunk - 1 if example.pool is None else example.pool
                before = [first, *range(place, place + len(answer) - 1)]
                source += [r * width + n for n in before]
                target += answer
                owner += [answers] * len(answer)
                answers += 1
                place += len(answer) - 1
        source_U, pick_M = torch.unique(torch.tensor(source, dtype=torch.long), return_inverse=True)
        beside = any(row.places for row in rows) or not depth.computed
        # Found here: on another device it would be waited for.
        (places_W,) = torch.nonzero(ids_RN.flatten() < 0, as_tuple=True)
        return cls(
            ids_RN=ids_RN.clamp(min=0).to(device),
            places_W=places_W.to(device),
            vector_W=(-1 - ids_RN.flatten()[places_W]).to(device),
            position_RN=padded([row.positions for row in rows], -1).to(device),
            branch_RN=padded([row.branches for row in rows], 0).to(device),
            source_U=source_U.to(device),
            pick_M=pick_M.to(device),
            target_M=torch.tensor(target, dtype=torch.long, device=device),
            answer_M=torch.tensor(owner, dtype=torch.long, device=device),
            answers=answers,
            depth=depth,
            row_RQ=padded([row.beside for row in rows], 0).to(device) if beside else None,
            place_RQ=padded([row.places for row in rows], -1).to(device) if beside else None,
            pooled=any(example.pool is not None for example in examples),
        )

    def per_answer(self, tokens_M: Tensor) -> Tensor:
        """[A] sums of what is given for each answer token."""
        return tokens_M.new_zeros(self.answers).index_add(0, self.answer_M, tokens_M)


class Entered(NamedTuple):
    """What a pass gets: embeddings [R, N, D], and what goes deeper."""

    embeds_RND: Tensor
    inserted: Inserted | None = None
    beside: Beside | None = None


def entering(backbone: Backbone, what: Continuation, prompts: Sequence[Tensor]) -> Entered:
    """Tokens embedded, with prompts where they stand, and what goes deeper.

    Args:
        backbone: whose tokens these are.
        what: where prompts stand, and how deep they enter.
        prompts: [P_k, X] each; differentiable.
    """
    embeds_RND, row_RQ = backbone.embed(what.ids_RN), what.row_RQ
    if not prompts:
        return Entered(embeds_RND)
    vectors_PX = torch.cat([x.to(embeds_RND.device, embeds_RND.dtype) for x in prompts])
    if row_RQ is not None and what.place_RQ is not None:
        # `index_select` adds gradients in one order; indexing adds them as threads come.
        rows_WX = vectors_PX.index_select(0, row_RQ.flatten())
        pairs = what.depth.enter(rows_WX, backbone).pairs
        keys, values = (
            tuple(p[part].unflatten(0, row_RQ.shape).transpose(1, 2) for p in pairs)  # type: ignore[no-untyped-call]
            for part in (0, 1)
        )
        return Entered(embeds_RND, beside=Beside(keys, values, what.place_RQ))
    parts = what.depth.enter(vectors_PX, backbone)
    assert parts.embeds_PD is not None, "a depth that computes says what is embedded"
    put_WD = parts.embeds_PD.index_select(0, what.vector_W)
    flat_MD = embeds_RND.flatten(0, 1).index_copy(0, what.places_W, put_WD)
    embeds_RND = flat_MD.view(embeds_RND.shape)
    if parts.layers_LPD is None:
        return Entered(embeds_RND)
    deeper_LWD = parts.layers_LPD.index_select(1, what.vector_W)
    return Entered(embeds_RND, Inserted(what.places_W, deeper_LWD))


def read_contexts(
    backbone: Backbone, context: Context, what: Continuation, prompts: Sequence[Tensor]
) -> Context:
    """The contexts of the rows: those given, or what an encoder makes of the rows with prompts.

    Args:
        backbone: the frozen model.
        context: of the examples; empty where prompts stand in the encoder.
        what, prompts: as for `log_scores`.
    """
    first = what.reading
    if first is None:
        return context
    assert isinstance(backbone, EncoderDecoder), "only an encoder reads"
    entered = entering(backbone, first, prompts)
    return backbone.read(entered.embeds_RND, first.position_RN, entered.inserted, entered.beside)


def token_log_probabilities(
    backbone: Backbone, context: Context, what: Continuation, prompts: Sequence[Tensor]
) -> Tensor:
    """[M] log-probability of every answer token, differentiable in the prompts."""
    entered = entering(backbone, what, prompts)
    hidden_UD = backbone.continue_from(
        read_contexts(backbone, context, what, prompts),
        entered.embeds_RND,
        what.position_RN,
        what.branch_RN,
        what.source_U,
        entered.inserted,
        entered.beside,
    )
    if what.pooled:
        return _by_heads(hidden_UD, what, prompts)
    return backbone.log_probabilities(hidden_UD, what.pick_M, what.target_M)


def _by_heads(hidden_UD: Tensor, what: Continuation, prompts: Sequence[Tensor]) -> Tensor:
    """[M] fp32 log-probability of each choice by the head of the row's prompt; one token each.

    A head has no bias: the last normalisation of an encoder leaves a direction in which all hidden
    states are the same, so a row of the head can hold one.
    """
    table_PX = torch.cat([x.to(hidden_UD.device) for x in prompts])
    head_MD = table_PX.index_select(0, -1 - what.target_M)[:, : hidden_UD.shape[1]].float()
    logits_M = (hidden_UD.index_select(0, what.pick_M).float() * head_MD).sum(-1)
    return logits_M.view(len(what.ids_RN), -1).log_softmax(-1).flatten()


def log_scores(
    backbone: Backbone, context: Context, what: Continuation, prompts: Sequence[Tensor]
) -> Tensor:
    """[A] summed log-probability of each answer, its end token included.

    Args:
        backbone: the frozen model.
        context: of the examples that `what` was laid out for.
        what: with as many prompts.
        prompts: [P_k, X] each.
    """
    tokens_M = token_log_probabilities(backbone, context, what, prompts)
    return what.per_answer(tokens_M)
