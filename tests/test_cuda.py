"""The same answers, losses and gradients on a CUDA device as on the processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from serving.made import KINDS, made
from tiny import (
    ARCHITECTURES,
    SENTENCES,
    feedback_task,
    tiny_encoder,
    tiny_encoder_decoder,
    tiny_encoder_decoder_model,
    tiny_encoder_model,
    tiny_model,
    tiny_tokenizer,
)

from softprompt import Predictor, SoftPrompt, predict, tune
from softprompt.backbones import Backbone, Context, EncoderClassifier, EncoderDecoder
from softprompt.backbones.fused import replay
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Layout
from softprompt.prompts.depths import DEPTHS
from softprompt.serving import Engine, Prompts, Request
from softprompt.tasks import Rendered
from softprompt.training.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

FAST: dict[str, Any] = {"epochs": 4, "batch_size": 8, "length": 4, "population": 3}


@pytest.fixture(autouse=True, scope="module")
def exact_products() -> None:
    """Products in full precision, as on the processor."""
    torch.backends.cuda.matmul.allow_tf32 = False


def on_both(architecture: str = "llama") -> tuple[Backbone, Backbone]:
    """The same weights on the processor and on the device."""
    found = [Backbone(tiny_model(architecture), tiny_tokenizer())]
    found.append(Backbone(tiny_model(architecture).cuda(), tiny_tokenizer()))
    return found[0], found[1]


def rows_of(backbone: Backbone, depth: str) -> Any:
    layout = Layout(backbone, "suffix", 3, depth)
    return [
        layout.example(Rendered((f"{text}\nSentiment:",), " "), ["good", "bad and late"])
        for text in SENTENCES[:4]
    ]


@pytest.mark.parametrize("depth", DEPTHS.names())
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores(architecture: str, depth: str) -> None:
    found = []
    for backbone in on_both(architecture):
        generator = torch.Generator().manual_seed(3)
        width = DEPTHS.get(depth).width(backbone)
        prompts = [torch.randn(count, width, generator=generator) for count in (3, 1)]
        found.append(score_answers(backbone, rows_of(backbone, depth), prompts, depth=depth))
    assert abs(found[0] - found[1]).max() < 2e-3


def loss_and_gradient(backbone: Backbone, depth: str, seed: int) -> tuple[float, torch.Tensor]:
    """Of two prompts over cached contexts."""
    rows, width = rows_of(backbone, depth), DEPTHS.get(depth).width(backbone)
    generator = torch.Generator().manual_seed(seed)
    prompts = [torch.randn(3, width, generator=generator).requires_grad_() for _ in range(2)]
    what = Continuation.of(rows, backbone.device, [3, 3], depth)
    context = backbone.encode_context([row.context for row in rows])
    loss = -token_log_probabilities(backbone, context, what, prompts).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [prompt.grad for prompt in prompts if prompt.grad is not None]
    return loss.item(), torch.stack(gradients)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_loss_and_gradient_over_a_cached_context(architecture: str) -> None:
    found = [loss_and_gradient(backbone, "input", 3) for backbone in on_both(architecture)]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-4)
    assert (found[0][1] - found[1][1]).norm() < 1e-3 * found[0][1].norm()


@pytest.mark.parametrize("depth", DEPTHS.names())
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral"])
def test_a_recorded_pass_gives_what_a_computed_one_gives(architecture: str, depth: str) -> None:
    both = on_both(architecture)
    for seed in range(replay.MEETINGS + 3):
        found = [loss_and_gradient(backbone, depth, seed) for backbone in both]
        assert found[1][0] == pytest.approx(found[0][0], rel=1e-4)
        assert (found[0][1] - found[1][1]).norm() < 1e-3 * found[0][1].norm()
    stack = both[1]._stack
    assert stack is not None
    assert stack._replays is not None
    assert (stack._replays.trouble, stack._replays.replayed) == (None, 4)


def test_cached_is_uncached() -> None:
    _, backbone = on_both()
    rows = rows_of(backbone, "input")
    prompt = torch.randn(3, backbone.hidden_size, generator=torch.Generator().manual_seed(1))
    cached = score_answers(backbone, rows, [prompt])
    whole = [replace(row, context=(), trunk=row.context + row.trunk) for row in rows]
    what = Continuation.of(whole, backbone.device, [3])
    empty = Context.empty(len(whole), backbone.device)
    tokens_M = token_log_probabilities(backbone, empty, what, [prompt])
    uncached = what.per_answer(tokens_M).view(len(rows), -1).double().cpu().numpy()
    assert abs(cached[0] - uncached).max() < 1e-3


@pytest.mark.parametrize("readout", ["on", "off"])
def test_a_run_learns_and_its_prompt_answers_the_same_on_the_processor(
    tmp_path: Path, readout: str
) -> None:
    here, there = on_both()
    task = feedback_task(tmp_path)
    result = tune(task, there, tmp_path / "run", **FAST, readout=readout)
    losses = [record["loss"] for record in RunDirectory(tmp_path / "run").records()[1:]]
    assert losses[-1] < losses[0]
    prompt = SoftPrompt.load(result["prompt"])
    for one, other in zip(
        predict(prompt, SENTENCES[:3], here), predict(prompt, SENTENCES[:3], there), strict=True
    ):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)


def test_other_kinds_of_backbone_learn(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    t5 = EncoderDecoder(tiny_encoder_decoder_model("t5").cuda(), tiny_tokenizer("encoder_decoder"))
    bert = EncoderClassifier(tiny_encoder_model("bert").cuda(), tiny_tokenizer("encoder"))
    there: Any
    here: Any
    for name, there, here, placement in (
        ("t5", t5, tiny_encoder_decoder(), "suffix"),
        ("bert", bert, tiny_encoder(), "prefix"),
    ):
        result = tune(task, there, tmp_path / name, **FAST, placement=placement)
        prompt = SoftPrompt.load(result["prompt"])
        answers = [
            predict(prompt, SENTENCES[:2], where)[0].probabilities for where in (here, there)
        ]
        assert answers[1] == pytest.approx(answers[0], abs=1e-3)


def test_the_engine_answers_as_the_predictor_does() -> None:
    _, there = on_both()
    names = {
        "-".join(kind): made(*kind, seed=number, backbone=there, readout=True)
        for number, kind in enumerate(KINDS)
    }
    with Engine(there, Prompts(names)) as engine:
        asked = [Request(prompt=name, text=text) for name in names for text in SENTENCES[:2]]
        answers = [ticket.result(120) for ticket in engine.submit_together(asked)]
    for request, answer in zip(asked, answers, strict=True):
        (expected,) = Predictor(names[str(request.prompt)], there).predict([str(request.text)])
        assert answer.text == expected.answer, request.prompt
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
