"""What every combination keeps to on tiny encoders; there is no cached context to compare with."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from inference.test_conformance import TEXTS, laid_out, module_of
from prompts.test_artifact import make
from tiny import ENCODERS, tiny_encoder
from torch import nn

from softprompt.backbones import EncoderClassifier
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.errors import BackboneError, UsageError
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.head import HEAD, Headed, first_head
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import PLACEMENTS

COMBINATIONS = list(product(PLACEMENTS.names(), ("input", "deep"), PARAMETRISATIONS.names()))


def headed(backbone: EncoderClassifier, depth: str, parametrisation: str) -> Headed:
    inner: nn.Module = module_of(backbone, depth, parametrisation)
    return Headed(inner, first_head(2, backbone.hidden_size, 4) * 30)


def saved(folder: Path, backbone: EncoderClassifier, placement: str, depth: str,
          module: Headed) -> SoftPrompt:  # fmt: skip
    lengths = [2, 1] if placement == "slots" else [3]
    tensors = DEPTHS.get(depth).tensors(module.inner().detach(), lengths, backbone)
    tensors[HEAD] = module.head_CD.detach()
    prompt = replace(make(placement, backbone), tensors=tensors, depth=depth)
    return SoftPrompt.load(prompt.save(folder / "prompt"))


@pytest.mark.parametrize(("placement", "depth", "parametrisation"), COMBINATIONS)
def test_every_combination_keeps_the_rules(
    tmp_path: Path, placement: str, depth: str, parametrisation: str
) -> None:
    backbone = tiny_encoder()
    before = module_fingerprint(backbone.model)
    module = headed(backbone, depth, parametrisation)
    live: torch.Tensor = module()
    prompt = saved(tmp_path, backbone, placement, depth, module)

    # Folded = unfolded, saved = loaded.
    (rows,) = prompt.members
    assert torch.equal(rows, live.detach())
    assert (prompt.heads, prompt.length) == (2, 3)
    assert torch.equal(prompt.vectors, live[2:].detach())
    examples = laid_out(prompt.layout(backbone))
    assert not any(example.context for example in examples)
    what = Continuation.of(examples, torch.device("cpu"), [len(rows)], depth)
    context = backbone.encode_context([example.context for example in examples])
    scores = log_scores(backbone, context, what, [live])

    # Gradients reach every trained number's tensor, the head's too, and nothing of the backbone.
    scores.view(-1, 2)[:, 0].sum().backward()
    trained = [p for group in module.groups(0.1) for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in module.parameters()}
    assert all(p.grad is not None and bool(p.grad.any()) for p in trained)
    assert all(p.grad is None for p in backbone.model.parameters())
    assert module_fingerprint(backbone.model) == before

    # Batch = alone, together with a shorter prompt with another head = alone.
    found = scores.detach().view(len(examples), -1).double().numpy()
    other = torch.cat([-rows[:2], rows[2:4]])
    both = score_answers(backbone, examples, [rows, other], depth=depth)
    assert abs(both[0] - found).max() < 1e-4
    for row, example in enumerate(examples):
        alone = score_answers(backbone, [example], [rows], depth=depth)[0, 0]
        assert abs(alone - found[row]).max() < 1e-4
        short = score_answers(backbone, [example.with_vectors(4)], [other], depth=depth)[0, 0]
        assert abs(short - both[1][row]).max() < 1e-4


@pytest.mark.parametrize("placement", PLACEMENTS.names())
@pytest.mark.parametrize("architecture", ENCODERS)
def test_answers_are_the_models_own_at_the_opening_token(architecture: str, placement: str) -> None:
    backbone = tiny_encoder(architecture)
    examples = laid_out(Layout(backbone, placement, 3, "input", 2))
    drawn = torch.randn(5, backbone.hidden_size, generator=torch.Generator().manual_seed(5))
    mine, theirs = (drawn.clone().requires_grad_() for _ in range(2))
    what = Continuation.of(examples, torch.device("cpu"), [5])
    scores = log_scores(backbone, backbone.encode_context([()] * 3), what, [mine])
    own = torch.cat([own_scores(backbone, example, theirs) for example in examples])
    torch.testing.assert_close(scores, own, atol=1e-4, rtol=1e-4)
    scores[::2].sum().backward()
    own[::2].sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-3, rtol=1e-3)


def own_scores(backbone: EncoderClassifier, example: Example, rows: torch.Tensor) -> torch.Tensor:
    """[2] by the model itself, one row alone; the opening token is found by its id."""
    embeds = [rows[-1 - t] if t < 0 else backbone.embed(torch.tensor(t)) for t in example.trunk]
    hidden = backbone.model(inputs_embeds=torch.stack(embeds)[None]).last_hidden_state[0]
    return (hidden[example.trunk.index(backbone.bos)] @ rows[:2].T).log_softmax(-1)


def test_the_opening_token_is_found_wherever_it_stands() -> None:
    backbone = tiny_encoder()
    body = backbone.encode(f"{TEXTS[0]}\nSentiment:")
    # The first two rows are the head's.
    marks = [-3, -4, -5]
    for placement, trunk, pool in (
        ("suffix", [1, *body, *marks, 2], 0),
        ("prefix", [1, *marks, *body, 2], 0),
        ("front", [*marks, 1, *body, 2], 3),
        ("both", [1, -3, -4, *body, -5, 2], 0),
        ("slots", [1, -3, -4, *body, -5, 2], 0),
    ):
        example = laid_out(Layout(backbone, placement, 3, "input", 2))[0]
        assert list(example.trunk) == trunk
        assert example.pool == pool
        assert example.answers == ((-1,), (-2,))
        assert example.tokens == len(trunk)
    front = laid_out(Layout(backbone, "front", 3, "input", 2))[0]
    assert front.with_vectors(4).pool == 2


def test_keys_and_values_are_refused_with_what_works() -> None:
    with pytest.raises(BackboneError, match=r"is an encoder.*--method p-tuning-v2"):
        DEPTHS.get("kv").check(tiny_encoder())


def test_choices_that_the_head_has_not_are_refused() -> None:
    with pytest.raises(UsageError, match="a head that is trained with the prompt"):
        laid_out(Layout(tiny_encoder(), None))
    with pytest.raises(UsageError, match="has 3 choices; 2 are asked for"):
        laid_out(Layout(tiny_encoder(), "suffix", 3, "input", 3))
