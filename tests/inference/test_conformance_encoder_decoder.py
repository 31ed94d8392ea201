"""What every combination keeps to on a tiny T5, whichever side the vectors stand on."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.test_conformance import TEXTS, laid, laid_out, module_of, saved
from tiny import tiny_encoder_decoder

from softprompt.backbones import EncoderDecoder
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.generation import generate
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks import Task

COMBINATIONS = list(product(PLACEMENTS.names(), DEPTHS.names(), PARAMETRISATIONS.names()))
IN_THE_DECODER = {"suffix": 3, "front": 0, "prefix": 0, "both": 1, "slots": 1}


@pytest.mark.parametrize(("placement", "depth", "parametrisation"), COMBINATIONS)
def test_every_combination_keeps_the_rules(
    tmp_path: Path, placement: str, depth: str, parametrisation: str
) -> None:
    backbone = tiny_encoder_decoder()
    before = module_fingerprint(backbone.model)
    module = module_of(backbone, depth, parametrisation)
    live: torch.Tensor = module()
    prompt = saved(tmp_path, backbone, placement, depth, live.detach())

    # Folded = unfolded, saved = loaded.
    (rows,) = prompt.members
    assert torch.equal(rows, live.detach())
    examples = laid(prompt, backbone)
    assert all(sum(x < 0 for x in e.trunk) == IN_THE_DECODER[placement] for e in examples)
    what = Continuation.of(examples, torch.device("cpu"), [3], depth)
    context = backbone.encode_context([example.context for example in examples])
    assert bool(context.width) == (IN_THE_DECODER[placement] == 3)
    scores = log_scores(backbone, context, what, [live])

    # Gradients reach every trained number's tensor and nothing of the backbone.
    scores.sum().backward()
    trained = [p for group in module.groups(0.1) for p in group["params"]]  # type: ignore[operator]
    assert all(p.grad is not None and bool(p.grad.any()) for p in trained)
    assert all(p.grad is None for p in backbone.model.parameters())
    assert module_fingerprint(backbone.model) == before

    # Batch = alone, together with another prompt = alone.
    found = scores.detach().view(len(examples), -1).double().numpy()
    both = score_answers(backbone, examples, [rows, rows[:2]], depth=depth)
    assert abs(both[0] - found).max() < 1e-4
    for row, example in enumerate(examples):
        alone = score_answers(backbone, [example], [rows], depth=depth)[0, 0]
        assert abs(alone - found[row]).max() < 1e-4
        shorter = score_answers(backbone, [example.with_vectors(2)], [rows[:2]], depth=depth)
        assert abs(shorter[0, 0] - both[1][row]).max() < 1e-4

    # Cached = uncached: the same text read in the pass, nothing of it a context.
    if context.width:
        read = [replace(e, context=(), encoder=e.context) for e in examples]
        uncached = score_answers(backbone, read, [rows], depth=depth)[0]
        assert abs(uncached - found).max() < 1e-4


def model_scores(
    backbone: EncoderDecoder, example: Example, rows: torch.Tensor
) -> list[torch.Tensor]:
    """Log-scores of the answers by the model's own forward pass, one answer at a time."""

    def embedded(ids: tuple[int, ...]) -> torch.Tensor:
        parts = [
            rows[-1 - token] if token < 0 else backbone.embed(torch.tensor(token)) for token in ids
        ]
        return torch.stack(parts)[None]

    found = []
    for answer in example.answers:
        given = torch.cat([embedded(example.trunk), embedded(answer)[:, :-1]], 1)
        logits = backbone.model(
            inputs_embeds=embedded(example.encoder or example.context),
            decoder_inputs_embeds=given,
        ).logits[0, len(example.trunk) - 1 :]
        picked = logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)]
        found.append(picked.sum())
    return found


@pytest.mark.parametrize("placement", PLACEMENTS.names())
@pytest.mark.parametrize("architecture", ["t5", "t5-v1.1", "umt5"])
def test_scores_and_gradients_are_the_models_own(architecture: str, placement: str) -> None:
    backbone = tiny_encoder_decoder(architecture)
    examples = laid_out(Layout(backbone, placement, 3))
    drawn = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(5))
    mine, theirs = (drawn.clone().requires_grad_() for _ in range(2))
    context = backbone.encode_context([example.context for example in examples])
    what = Continuation.of(examples, torch.device("cpu"), [3])
    scores = log_scores(backbone, context, what, [mine])
    own = torch.stack([x for e in examples for x in model_scores(backbone, e, theirs)])
    torch.testing.assert_close(scores, own, atol=1e-4, rtol=1e-4)
    scores.sum().backward()
    own.sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("architecture", ["t5", "t5-v1.1", "mt5", "umt5"])
def test_without_a_prompt_the_model_writes_what_it_writes(architecture: str) -> None:
    backbone = tiny_encoder_decoder(architecture)
    examples = laid_out(Layout(backbone, None))
    written = generate(backbone, examples, [], 12)
    for example, text in zip(examples, written, strict=True):
        ids = torch.tensor([example.context])
        own = backbone.model.generate(ids, max_new_tokens=12, do_sample=False, num_beams=1)
        assert text == backbone.tokenizer.decode(own[0, 1:], skip_special_tokens=True).strip()
    assert any(written)


@pytest.mark.parametrize("placement", PLACEMENTS.names())
@pytest.mark.parametrize("depth", DEPTHS.names())
def test_written_tokens_are_those_of_passes_without_a_cache(placement: str, depth: str) -> None:
    backbone = tiny_encoder_decoder()
    examples = laid_out(Layout(backbone, placement, 3, depth))
    width = DEPTHS.get(depth).width(backbone)
    rows = torch.randn(3, width, generator=torch.Generator().manual_seed(6))
    written = generate(backbone, examples, [rows], 6, depth=depth)
    everything = range(backbone.vocabulary)
    for example, text in zip(examples, written, strict=True):
        tokens: list[int] = []
        while len(tokens) < 6 and (not tokens or tokens[-1] != backbone.eos):
            # A score of every next token: as many answers as the vocabulary has.
            begun = replace(example, answers=tuple((*tokens, token) for token in everything))
            scores = score_answers(backbone, [begun], [rows], depth=depth)[0, 0]
            tokens.append(int(scores.argmax()))
        assert text == backbone.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_the_layout_is_the_same_text_for_both_sides() -> None:
    backbone = tiny_encoder_decoder()
    body = backbone.encode(f"{TEXTS[0]}\nSentiment:")
    marks = [-1, -2, -3]
    for placement, context, encoder, trunk in (
        ("suffix", [*body, 2], [], [3, *marks]),
        ("front", [], [*marks, *body, 2], [3]),
        ("prefix", [], [*marks, *body, 2], [3]),
        ("both", [], [-1, -2, *body, 2], [3, -3]),
        ("slots", [], [-1, -2, *body, 2], [3, -3]),
    ):
        example = laid_out(Layout(backbone, placement, 3))[0]
        assert list(example.context) == context
        assert list(example.encoder) == encoder
        assert list(example.trunk) == trunk
    beside = laid_out(Layout(backbone, "suffix", 3, "kv"))[0]
    assert list(beside.trunk) == [*marks, 3]


@pytest.mark.parametrize("depth", DEPTHS.names())
def test_a_row_whose_text_after_the_prompt_is_empty_is_the_same_in_company(
    tmp_path: Path, depth: str
) -> None:
    """Its whole prompt stands in the decoder, and that of the others in the encoder."""
    file = tmp_path / "rows.jsonl"
    told = [
        {"a": f"great thing {n}", "b": "nine boxes" if n % 3 else "", "label": "ab"[n % 2]}
        for n in range(30)
    ]
    file.write_text("\n".join(map(json.dumps, told)), "utf-8")
    task = Task.from_file(file, template="{a}{prompt:2}{b}{prompt:1} {answer}", target="label")
    backbone = tiny_encoder_decoder()
    layout = Layout(backbone, "slots", 3, depth)
    examples = [layout.example(task.render(row), ("a", "b")) for row in task.train[:8]]
    assert {bool(example.encoder) for example in examples} == {False, True}
    rows_PX = module_of(backbone, depth, "direct")().detach()
    together = score_answers(backbone, examples, [rows_PX], depth=depth)[0]
    for example, scores in zip(examples, together, strict=True):
        alone = score_answers(backbone, [example], [rows_PX], depth=depth)[0, 0]
        np.testing.assert_allclose(scores, alone, atol=1e-4)
