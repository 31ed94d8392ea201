"""Rows with different prompts side by side get what each gets alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, product
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from softprompt.backbones import Backbone, Context, RowBatch
from softprompt.inference import mixed
from softprompt.inference.generation import generate
from softprompt.inference.mixed import MixedRow, ReadyPrompt, first_pass, score_rows
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout
from softprompt.prompts.depths import DEPTHS
from softprompt.tasks import Rendered

KINDS = [*product(("front", "prefix", "suffix", "both"), ("input", "deep", "kv")), (None, "input")]
TEXTS = ("great coffee and friendly staff", "late")
Kind = tuple[str | None, str]


def row_of(backbone: Backbone, kind: Kind, text: str, seed: int) -> tuple[MixedRow, torch.Tensor]:
    """A row with a prompt of that kind, and the prompt's rows [P, X]."""
    placement, depth = kind
    length = 2 + 2 * (seed % 2)
    layout = Layout(backbone, placement, length if placement else 0, depth)
    example = layout.example(Rendered((f"{text}\nSentiment:",), " "), ["good", "bad and late"])
    width = DEPTHS.get(depth).width(backbone)
    vectors_PX = torch.randn(length, width, generator=torch.Generator().manual_seed(seed))
    ready = ReadyPrompt.of(vectors_PX, depth, backbone) if placement else None
    return MixedRow(example, ready), vectors_PX


def mixture(backbone: Backbone, kinds: list[Kind]) -> list[tuple[MixedRow, torch.Tensor, str]]:
    """Two rows of each kind with texts and prompts of different lengths."""
    found = []
    for number, (kind, text) in enumerate(product(kinds, TEXTS)):
        row, vectors = row_of(backbone, kind, text, number)
        found.append((row, vectors, kind[1]))
    return found


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "gpt_oss"])
def test_scores_of_a_mixture_are_those_of_each_row_alone(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    rows = mixture(backbone, KINDS)
    context = backbone.encode_context([row.example.context for row, _, _ in rows])
    together = score_rows(backbone, context, [row for row, _, _ in rows])
    for (row, vectors, depth), scores in zip(rows, together, strict=True):
        prompts = [vectors] if row.prompt is not None else []
        alone = score_answers(backbone, [row.example], prompts, depth=depth)[0, 0]
        assert abs(alone - torch.tensor(scores).numpy()).max() < 1e-4


def test_very_many_answers_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    kinds: list[Kind] = [("suffix", "input"), ("prefix", "deep"), (None, "input")]
    rows = []
    for number, (row, _, _) in enumerate(mixture(backbone, kinds)):
        answers = tuple((n, 5 + n, backbone.eos) for n in range(number, 7 + 2 * number))
        rows.append(MixedRow(replace(row.example, answers=answers), row.prompt))
    context = backbone.encode_context([row.example.context for row in rows])
    whole = score_rows(backbone, context, rows)
    monkeypatch.setattr(mixed, "ANSWER_TOKENS", 8)
    longest = []
    laid = mixed._laid

    def noted(backbone: Backbone, rows: Sequence[MixedRow]) -> Any:
        longest.append(max(sum(map(len, row.example.answers)) for row in rows))
        return laid(backbone, rows)

    monkeypatch.setattr(mixed, "_laid", noted)
    parts = score_rows(backbone, context, rows)
    assert max(longest) <= 8
    for one, other in zip(whole, parts, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


def written(backbone: Backbone, rows: list[MixedRow], count: int) -> list[list[int]]:
    """The likeliest `count` tokens of each row; a row leaves when half of its tokens are there."""
    context = backbone.encode_context([row.example.context for row in rows])
    hidden, whole = first_pass(backbone, context, rows)
    batch = RowBatch(backbone)
    found: list[list[int]] = [[] for _ in rows]
    seats = list(range(len(rows)))
    batch.join(whole)
    for step in range(count):
        tokens = backbone.logits(hidden).argmax(-1)
        for seat, token in zip(seats, tokens.tolist(), strict=True):
            found[seat].append(token)
        if step == count // 2 and len(seats) > 1:
            batch.leave(0)
            seats[0] = seats[-1]
            seats.pop()
            tokens = torch.cat([tokens[-1:], tokens[1:-1]])
        hidden = batch.add(tokens)
    return found


@pytest.mark.parametrize("pair", combinations_with_replacement(KINDS, 2), ids=str)
def test_text_of_every_pair_of_kinds_is_what_each_writes_alone(pair: tuple[Kind, Kind]) -> None:
    backbone = tiny_backbone()
    rows = [row for row, _, _ in mixture(backbone, list(pair))]
    together = written(backbone, rows, 8)
    for row, tokens in zip(rows, together, strict=True):
        assert written(backbone, [row], 8)[0][: len(tokens)] == tokens


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "gemma3", "gpt_oss"])
def test_text_is_what_the_offline_loop_writes(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    rows = mixture(backbone, KINDS)
    together = written(backbone, [row for row, _, _ in rows], 9)
    for (row, vectors, depth), tokens in zip(rows, together, strict=True):
        prompts = [vectors] if row.prompt is not None else []
        alone = generate(backbone, [row.example], prompts, 9, depth=depth)[0]
        cut = tokens[: tokens.index(backbone.eos)] if backbone.eos in tokens else tokens
        text = backbone.tokenizer.decode(cut, skip_special_tokens=True).strip()
        assert alone.startswith(text) and (len(tokens) < 9 or alone == text)


def test_a_row_joins_rows_that_are_already_writing() -> None:
    backbone = tiny_backbone()
    (first, _), (second, _) = (
        row_of(backbone, ("suffix", "input"), text, seed) for seed, text in enumerate(TEXTS)
    )
    alone = {row: written(backbone, [row], 6)[0] for row in (first, second)}
    batch = RowBatch(backbone)

    def begin(row: MixedRow) -> torch.Tensor:
        context = backbone.encode_context([row.example.context])
        hidden, whole = first_pass(backbone, context, [row])
        batch.join(whole)
        return backbone.logits(hidden).argmax(-1)

    tokens = begin(first)
    found: list[list[int]] = [[int(tokens[0])], []]
    for step in range(5):
        tokens = backbone.logits(batch.add(tokens)).argmax(-1)
        if step == 1:
            tokens = torch.cat([tokens, begin(second)])
        for row, token in enumerate(tokens.tolist()):
            found[row].append(token)
    assert found[0] == alone[first]
    assert found[1] == alone[second][: len(found[1])]


def test_scores_over_a_shared_part_are_those_of_whole_rows() -> None:
    backbone = tiny_backbone()
    rows = [row for row, _, _ in mixture(backbone, [("suffix", "input"), ("suffix", "kv")])][::2]
    shared = 4
    parts = []
    for row in rows:
        context, trunk = row.example.context, row.example.trunk
        cut = Example(context[:shared], context[shared:] + trunk, row.example.answers)
        parts.append(MixedRow(cut, row.prompt))
    one: Context = backbone.encode_context([rows[0].example.context[:shared]])
    over = score_rows(backbone, one, parts)
    whole = score_rows(
        backbone, backbone.encode_context([row.example.context for row in rows]), rows
    )
    assert torch.allclose(torch.tensor(over), torch.tensor(whole), atol=1e-4)
