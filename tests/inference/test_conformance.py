"""What every combination of placement, depth and parametrisation keeps to, on a tiny backbone."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from prompts.test_artifact import make
from tiny import tiny_backbone

from softprompt.backbones import Backbone, Context
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.parametrisations import PARAMETRISATIONS, Scaled
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks import Rendered, Slot

TEXTS = ["great coffee", "the parcel was late and the box was broken", "ok"]
COMBINATIONS = list(product(PLACEMENTS.names(), DEPTHS.names(), PARAMETRISATIONS.names()))


def module_of(backbone: Backbone, depth: str, parametrisation: str) -> torch.nn.Module:
    """A parametrisation some steps away from its start."""
    torch.manual_seed(7)
    what = DEPTHS.get(depth)
    start = what.start(backbone.embed(torch.tensor([7, 8, 9])).detach(), backbone)
    scale = what.scale(start, backbone)
    ones = torch.ones(start.shape[1]) if scale is None else scale
    inner = PARAMETRISATIONS.get(parametrisation)(
        start / ones, lambda count: torch.randn(count, start.shape[1])
    )
    with torch.no_grad():
        for parameter in inner.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return Scaled(inner, ones)


def saved(
    folder: Path, backbone: Backbone, placement: str, depth: str, rows: torch.Tensor
) -> SoftPrompt:
    """The artifact, written and read again."""
    lengths = [2, 1] if placement == "slots" else [3]
    tensors = DEPTHS.get(depth).tensors(rows, lengths, backbone)
    prompt = replace(make(placement, backbone), tensors=tensors, depth=depth)
    return SoftPrompt.load(prompt.save(folder / "prompt"))


def laid(prompt: SoftPrompt, backbone: Backbone) -> list[Example]:
    return laid_out(prompt.layout(backbone))


def laid_out(layout: Layout) -> list[Example]:
    found = []
    for text in TEXTS:
        parts: tuple[str | Slot, ...] = (f"{text}\nSentiment:",)
        if layout.placement == "slots":
            parts = (Slot(2), f"{text}\nSentiment:", Slot(1))
        found.append(layout.example(Rendered(parts, " "), ["good", "bad and late"]))
    return found


@pytest.mark.parametrize(("placement", "depth", "parametrisation"), COMBINATIONS)
def test_every_combination_keeps_the_rules(
    tmp_path: Path, placement: str, depth: str, parametrisation: str
) -> None:
    backbone = tiny_backbone()
    before = module_fingerprint(backbone.model)
    module = module_of(backbone, depth, parametrisation)
    live: torch.Tensor = module()
    prompt = saved(tmp_path, backbone, placement, depth, live.detach())

    # Folded = unfolded, saved = loaded.
    (rows,) = prompt.members
    assert torch.equal(rows, live.detach())
    examples = laid(prompt, backbone)
    what = Continuation.of(examples, torch.device("cpu"), [3], depth)
    context = backbone.encode_context([example.context for example in examples])
    scores = log_scores(backbone, context, what, [live])

    # Gradients reach every trained number's tensor and nothing of the backbone.
    scores.sum().backward()
    trained = [p for group in module.groups(0.1) for p in group["params"]]  # type: ignore[operator]
    assert {id(p) for p in trained} == {id(p) for p in module.parameters()}
    assert all(p.grad is not None and bool(p.grad.any()) for p in trained)
    assert all(p.grad is None for p in backbone.model.parameters())
    assert module_fingerprint(backbone.model) == before

    # Batch = alone, together with another prompt = alone.
    found = scores.detach().view(len(examples), -1).double().numpy()
    both = score_answers(backbone, examples, [rows, rows[:2]], depth=depth)[0]
    assert abs(both - found).max() < 1e-4
    for row, example in enumerate(examples):
        alone = score_answers(backbone, [example], [rows], depth=depth)[0, 0]
        assert abs(alone - found[row]).max() < 1e-4

    # Cached = uncached: the whole row computed, nothing of it a context.
    whole = [replace(e, context=(), trunk=e.context + e.trunk) for e in examples]
    what = Continuation.of(whole, torch.device("cpu"), [3], depth)
    uncached = log_scores(backbone, Context.empty(len(whole), torch.device("cpu")), what, [rows])
    assert abs(uncached.view(len(whole), -1).double().numpy() - found).max() < 1e-4


@pytest.mark.parametrize("depth", ["deep", "kv"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_every_way_through_the_layers_and_every_company_gives_the_same(
    architecture: str, depth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(architecture)
    rows = laid_out(Layout(backbone, "suffix", 3, depth))
    width = DEPTHS.get(depth).width(backbone)
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randn(count, width, generator=generator) for count in (3, 1)]
    usual = score_answers(backbone, rows, prompts, depth=depth)
    for number, prompt in enumerate(prompts):
        own = [row.with_vectors(len(prompt)) for row in rows]
        alone = score_answers(backbone, own, [prompt], depth=depth)[0]
        assert abs(usual[number] - alone).max() < 1e-4
    for way in (backbone._over_shared_context, backbone._over_copied_context):
        monkeypatch.setattr(backbone, "_run", way)
        assert abs(score_answers(backbone, rows, prompts, depth=depth) - usual).max() < 1e-4
