"""Prompts that enter at every layer: scores and gradients against one uncached pass with hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from inference.test_scoring import ANSWERS, examples
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.backbones import Backbone
from softprompt.errors import ArtifactError
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.generation import generate
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS
from softprompt.tasks import Task

PLACEMENTS = ("suffix", "prefix", "front", "both", "slots")


def drawn(backbone: Backbone, count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, backbone.layers * backbone.hidden_size, generator=generator)


@contextmanager
def put(backbone: Backbone, places: list[int], layers: torch.Tensor) -> Iterator[None]:
    """Every layer but the first gets these vectors [L, P, D] at these places of a single row."""
    body = backbone.model.base_model
    modules = body.h if hasattr(body, "h") else body.layers

    def hook(number: int) -> Any:
        def change(module: Any, args: Any, kwargs: Any) -> Any:
            hidden = args[0] if args else kwargs.pop("hidden_states")
            rows = list(hidden[0])
            for place, vector in zip(places, layers[number], strict=True):
                rows[place] = vector
            return (torch.stack(rows)[None], *args[1:]), kwargs

        return change

    handles = [
        module.register_forward_pre_hook(hook(number), with_kwargs=True)
        for number, module in enumerate(modules)
        if number
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def logits(
    backbone: Backbone, example: Example, rows: torch.Tensor, after: tuple[int, ...]
) -> torch.Tensor:
    """[N, V] of the whole sequence and some tokens after it, in one uncached pass."""
    layers = rows.view(len(rows), backbone.layers, -1).transpose(0, 1)
    ids = [*example.context, *example.trunk, *after]
    places = {-1 - token: place for place, token in enumerate(ids) if token < 0}
    embeds = torch.stack(
        [layers[0, -1 - i] if i < 0 else backbone.embed(torch.tensor(i)) for i in ids]
    )
    with put(backbone, [places[vector] for vector in range(len(rows))], layers):
        found: torch.Tensor = backbone.model(inputs_embeds=embeds[None]).logits[0]
    return found


def plain(backbone: Backbone, example: Example, rows: torch.Tensor, answer: int) -> torch.Tensor:
    """The log-probabilities of the answer's tokens, summed."""
    wanted = example.answers[answer]
    log = logits(backbone, example, rows, wanted)[-len(wanted) - 1 : -1].log_softmax(-1)
    return log.gather(1, torch.tensor(wanted)[:, None]).sum()


def test_scores_and_gradients_equal_one_uncached_pass(any_backbone: Backbone) -> None:
    for placement in PLACEMENTS:
        rows = examples(any_backbone, placement)
        ours, theirs = (drawn(any_backbone, 3).requires_grad_() for _ in range(2))
        context = any_backbone.encode_context([row.context for row in rows])
        what = Continuation.of(rows, torch.device("cpu"), [3], "deep")
        scores = log_scores(any_backbone, context, what, [ours])
        total = sum(
            (plain(any_backbone, row, theirs, a) for row in rows for a in range(len(ANSWERS))),
            torch.zeros(()),
        )
        scores.sum().backward()
        total.backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        assert abs(float((scores.sum() - total).detach() / total.detach())) < 1e-5, placement
        assert float((ours.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-4, placement


def test_a_deep_prompt_starts_as_the_input_prompt_that_it_is_made_of() -> None:
    backbone = tiny_backbone()
    # Directly after the opening token hidden states are those that the start was made of.
    example = Example((1,), (-1, -2, -3), ((40, 2), (50, 60, 2)))
    embeds = backbone.embed(torch.tensor([7, 8, 9])).detach()
    shallow = score_answers(backbone, [example], [embeds])
    rows = DEPTHS.get("deep").start(embeds, backbone)
    deep = score_answers(backbone, [example], [rows], depth="deep")
    assert abs(shallow - deep).max() < 1e-4
    scale = DEPTHS.get("deep").scale(rows, backbone)
    assert scale is not None
    assert torch.equal(scale[: backbone.hidden_size], torch.ones(backbone.hidden_size))


def test_tensors_hold_what_they_were_made_of() -> None:
    backbone, depth = tiny_backbone(), DEPTHS.get("deep")
    rows = drawn(backbone, 5)
    for lengths in ([5], [2, 3]):
        tensors = depth.tensors(rows, lengths, backbone)
        assert torch.equal(depth.vectors(tensors), rows)
        assert depth.lengths(tensors) == tuple(lengths)
    assert depth.tensors(rows, [5], backbone)["deep"].shape == (2, 5, 32)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_generated_tokens_are_those_of_passes_without_a_cache(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    rows = drawn(backbone, 3)
    answers = generate(backbone, examples(backbone, "suffix"), [rows], 4, depth="deep")
    for example, answer in zip(examples(backbone, "suffix"), answers, strict=True):
        tokens: list[int] = []
        for _ in range(4):
            tokens.append(int(logits(backbone, example, rows, tuple(tokens))[-1].argmax()))
            if tokens[-1] == backbone.eos:
                break
        text = backbone.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert answer == text


FAST: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "length": 4,
    "baselines": (),
    "depth": "deep",
    "readout": "off",
}


@pytest.mark.parametrize("parametrisation", ["direct", "superposition"])
def test_a_run_from_start_to_use(tmp_path: Path, parametrisation: str) -> None:
    task = feedback_task(tmp_path)
    settings = {**FAST, "parametrisation": parametrisation}
    result = tune(task, tiny_backbone(), tmp_path / "run", **settings)
    prompt = SoftPrompt.load(result["prompt"])
    assert prompt.depth == "deep"
    assert all(tensor.shape == (2, 4, 32) for tensor in prompt.tensors.values())
    assert evaluate(prompt, tmp_path / "feedback.jsonl", tiny_backbone())["n"] == 60
    texts = [row.columns["text"] for row in task.test]
    answers = [p.answer for p in predict(prompt, texts, tiny_backbone())]
    right = sum(a == row.answer for a, row in zip(answers, task.test, strict=True))
    assert right / len(texts) == pytest.approx(result["test"]["accuracy"])


def test_a_warm_start_takes_every_layer_along(tmp_path: Path) -> None:
    settings = {**FAST, "population": 1}
    task = feedback_task(tmp_path)
    first = tune(task, tiny_backbone(), tmp_path / "run", **settings)
    settings |= {"length": 6, "initialisation": "prompt", "start": first["prompt"]}
    second = tune(task, tiny_backbone(), tmp_path / "warm", **settings, learning_rate=1e-9)
    before, after = (SoftPrompt.load(run["prompt"]).vectors for run in (first, second))
    torch.testing.assert_close(after[-4:], before)


def test_slots_free_text_and_another_model(tmp_path: Path) -> None:
    feedback_task(tmp_path)
    task = Task.from_file(
        tmp_path / "feedback.jsonl",
        kind="generation",
        target="label",
        template="{prompt:2}{text}\nLabel:{prompt:3} {answer}",
    )
    settings = {**FAST, "length": 8, "epochs": 1, "population": 1, "max_new_tokens": 4}
    result = tune(task, tiny_backbone(), tmp_path / "run", **settings)
    prompt = SoftPrompt.load(result["prompt"])
    assert [tuple(t.shape) for t in prompt.tensors.values()] == [(2, 2, 32), (2, 3, 32)]
    assert isinstance(predict(prompt, ["the late parcel"], tiny_backbone())[0].answer, str)
    with pytest.raises(ArtifactError, match="The prompt's vectors have 64 numbers"):
        predict(prompt, ["x"], tiny_backbone("gemma3"))
