"""Rows with different prompts, or none, in one pass: every depth, placement and length together.

What a prompt is made of is constant at work, so it is taken apart once and laid into any batch. It
does not know where prompts come from or what rows are for.

Shapes: R rows, N positions, Q places beside, D hidden size, X numbers that a prompt has at a place,
P rows of all prompts of a batch, W places taken by prompts, U positions that predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Beside, Context, Inserted, Pass, extended
from softprompt.errors import ArtifactError, BackboneError
from softprompt.inference.continuation import Continuation
from softprompt.inference.laid_row import LaidRow
from softprompt.locale import _
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS, Entering

__all__ = ["ANSWER_TOKENS", "MixedRow", "ReadyPrompt", "first_pass", "score_rows"]

ANSWER_TOKENS = 1024
"""Tokens of a row's answers in one pass at most: each sees the whole row, so memory grows by their
square."""


@dataclass(frozen=True, eq=False)
class ReadyPrompt:
    """What a prompt puts into the backbone, in the backbone's precision and place.

    Args:
        length: places P_k.
        computed: whether they go through the layers.
        entering: what enters there.
    """

    length: int
    computed: bool
    entering: Entering

    @classmethod
    @torch.no_grad()
    def of(cls, vectors_PX: Tensor, depth: str, backbone: Backbone) -> ReadyPrompt:
        """A prompt's rows [P_k, X] of a depth, ready for a backbone.

        Raises:
            ArtifactError: its numbers are too large for the backbone's precision.
        """
        where = DEPTHS.get(depth)
        put = vectors_PX.to(backbone.device, backbone.compute_dtype)
        if not bool(put.isfinite().all()):
            raise ArtifactError(
                _("The prompt's vectors are too large for {dtype}.").format(dtype=backbone.dtype),
                _("Answer in fp32 or bf16, or train the prompt again."),
            )
        return cls(len(vectors_PX), where.computed, where.enter(put, backbone))

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        what = self.entering
        found = [x for x in (what.embeds_PD, what.layers_LPD) if x is not None]
        found += [x for pair in what.pairs for x in pair]
        return sum(x.numel() * x.element_size() for x in found)


@dataclass(frozen=True)
class MixedRow:
    """A row of a batch.

    Args:
        example: laid out for its prompt's length.
        prompt: that stands in it; None for a row without one.
        whole: whether all of its context has to be known before its pass, since a readout reads it.
    """

    example: Example
    prompt: ReadyPrompt | None = None
    whole: bool = False


@torch.no_grad()
def score_rows(backbone: Backbone, context: Context, rows: Sequence[MixedRow]) -> list[list[float]]:
    """The summed log-probability of each answer of each row, in passes that hold them.

    Args:
        backbone: the frozen model.
        context: of B rows; row r continues context r // (R / B).
        rows: R rows with answers.
    """
    parts = [_parts(row.example.answers) for row in rows]
    found: list[list[float]] = [[] for _ in rows]
    for place in range(max(map(len, parts))):
        some = [
            replace(row, example=replace(row.example, answers=mine[place] if mine[place:] else ()))
            for row, mine in zip(rows, parts, strict=True)
        ]
        for scores, more in zip(found, _scores(backbone, context, some), strict=True):
            scores.extend(more)
    return found


def _parts(answers: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], ...]]:
    """The answers in order, so many together as one pass holds; a longer one stands alone."""
    parts: list[tuple[tuple[int, ...], ...]] = []
    tokens = ANSWER_TOKENS
    for answer in answers:
        tokens += len(answer)
        if tokens > ANSWER_TOKENS:
            parts.append(())
            tokens = len(answer)
        parts[-1] += (answer,)
    return parts


def _scores(backbone: Backbone, context: Context, rows: Sequence[MixedRow]) -> list[list[float]]:
    """The same in one pass."""
    what, step = _laid(backbone, rows)
    hidden_UD = backbone.continue_from(
        context,
        step.embeds_RND,
        step.position_RN,
        step.branch_RN,
        what.source_U,
        step.inserted,
        step.beside,
    )
    tokens_M = backbone.log_probabilities(hidden_UD, what.pick_M, what.target_M)
    scores = iter(what.per_answer(tokens_M).tolist())
    return [[next(scores) for _ in row.example.answers] for row in rows]


@torch.no_grad()
def first_pass(
    backbone: Backbone, context: Context, rows: Sequence[MixedRow]
) -> tuple[Tensor, Context]:
    """The pass before a row's first token.

    Args:
        backbone: the frozen model.
        context: of R rows.
        rows: R rows; their answers are not looked at.

    Returns:
        Hidden states [R, D] that predict each row's first token, and the keys and values of every
        position so far.
    """
    begun = [replace(row, example=replace(row.example, answers=())) for row in rows]
    what, step = _laid(backbone, begun)
    last_R = (what.position_RN >= 0).sum(1) - 1
    first_R = torch.arange(len(last_R), device=last_R.device) * what.ids_RN.shape[1]
    return extended(backbone, context, replace(step, wanted_U=last_R + first_R))


def _laid(backbone: Backbone, rows: Sequence[MixedRow]) -> tuple[Continuation, Pass]:
    """Rows as tensors, with what enters them.

    Raises:
        BackboneError: the backbone is no decoder, whose contexts alone can be cut and continued.
    """
    if backbone.form != "continued":
        raise BackboneError(
            _(
                "Rows with different prompts are answered together by decoders only; {model} is of "
                "another kind."
            ).format(model=backbone.identity.name),
            _("Use `softprompt predict`, or a Predictor, for this prompt."),
        )
    prompts = list(dict.fromkeys(row.prompt for row in rows if row.prompt is not None))
    # Places that are computed and places that are not count apart: they come from two tables.
    computed = [prompt for prompt in prompts if prompt.computed]
    others = [prompt for prompt in prompts if not prompt.computed]
    starts = {**_starts(computed), **_starts(others, first=1)}
    laid = [
        LaidRow.of(row.example, 0, True)
        if row.prompt is None
        else LaidRow.of(row.example, starts[row.prompt], row.prompt.computed)
        for row in rows
    ]
    what = Continuation.laid(
        [row.example for row in rows], laid, backbone.device, DEPTHS.get("input")
    )
    embeds_RND, inserted = _embedded(backbone, what, computed)
    beside = _beside(others, what.row_RQ, what.place_RQ)
    return what, Pass(embeds_RND, what.position_RN, what.branch_RN, None, inserted, beside)


def _starts(prompts: Sequence[ReadyPrompt], first: int = 0) -> dict[ReadyPrompt, int]:
    """Where each prompt's rows begin in a table of all of them."""
    found, start = {}, first
    for prompt in prompts:
        found[prompt] = start
        start += prompt.length
    return found


def _embedded(
    backbone: Backbone, what: Continuation, prompts: Sequence[ReadyPrompt]
) -> tuple[Tensor, Inserted | None]:
    """Tokens embedded with prompts where they stand, and what goes into deeper layers."""
    embeds_RND, places_W, source_W = backbone.embed(what.ids_RN), what.places_W, what.vector_W
    if not prompts:
        return embeds_RND, None
    table_PD = torch.cat([_embeds(prompt) for prompt in prompts])
    put_WD = table_PD.index_select(0, source_W)
    embeds_RND = embeds_RND.flatten(0, 1).index_copy(0, places_W, put_WD).view(embeds_RND.shape)
    deep = [prompt.entering.layers_LPD for prompt in prompts]
    layers = next((x for x in deep if x is not None), None)
    if layers is None:
        return embeds_RND, None
    # Rows of prompts without deeper vectors keep what the layers give them.
    has_P = torch.cat(
        [torch.full((p.length,), x is not None) for p, x in zip(prompts, deep, strict=True)]
    ).to(source_W.device)
    row_P = has_P.cumsum(0) - 1
    kept_W = has_P[source_W]
    table_LPD = torch.cat([x for x in deep if x is not None], 1)
    inserted = Inserted(places_W[kept_W], table_LPD.index_select(1, row_P[source_W[kept_W]]))
    return embeds_RND, inserted


def _embeds(prompt: ReadyPrompt) -> Tensor:
    assert prompt.entering.embeds_PD is not None, "a depth that computes says what is embedded"
    return prompt.entering.embeds_PD


def _beside(
    prompts: Sequence[ReadyPrompt], row_RQ: Tensor | None, place_RQ: Tensor | None
) -> Beside | None:
    """Keys and values of prompts that are not computed, for the rows that have such a prompt."""
    if not prompts or row_RQ is None or place_RQ is None:
        return None

    def part(which: int) -> tuple[Tensor, ...]:
        layers = zip(*(prompt.entering.pairs for prompt in prompts), strict=True)
        # Padding reads row 0: zeros, since a prompt's own numbers may be no finite ones.
        tables = (
            torch.cat([torch.zeros_like(pairs[0][which][:1]), *(pair[which] for pair in pairs)])
            for pairs in layers
        )
        return tuple(
            table.index_select(0, row_RQ.flatten()).unflatten(0, row_RQ.shape).transpose(1, 2)  # type: ignore[no-untyped-call]
            for table in tables
        )

    return Beside(part(0), part(1), place_RQ)
