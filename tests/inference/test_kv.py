"""Prompts of keys and values: against Transformers' own cache, its own masks, one row at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from inference.test_scoring import ANSWERS, examples
from tiny import feedback_task, tiny_backbone
from transformers import DynamicCache

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.backbones import Backbone
from softprompt.errors import UsageError
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.inference.generation import generate
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Example, Layout
from softprompt.prompts.depths import DEPTHS
from softprompt.tasks import Rendered, Task

PLACEMENTS = ("suffix", "prefix", "front", "both", "slots")
KV = DEPTHS.get("kv")


def drawn(backbone: Backbone, count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, KV.width(backbone), generator=generator)


def laid(backbone: Backbone, placement: str) -> list[Example]:
    """The rows of the other tests, laid out for keys and values."""
    layout = Layout(backbone, placement, 3, "kv")
    found = []
    for example in examples(backbone, placement):
        ids = [*example.context, *example.trunk]
        if ids[-1] < 0:
            last = max(place for place, token in enumerate(ids) if token >= 0)
            ids = [*ids[:last], *ids[last + 1 :], ids[last]]
        first = next(place for place, token in enumerate(ids) if token < 0)
        found.append(replace(example, context=tuple(ids[:first]), trunk=tuple(ids[first:])))
    if placement == "suffix":
        part = Rendered(("ok\nSentiment:",), " ")
        assert layout.example(part, ANSWERS) == found[-1]
    return found


def logits(
    backbone: Backbone, example: Example, rows: torch.Tensor, after: tuple[int, ...]
) -> torch.Tensor:
    """[V] for what follows: stretches of tokens run one after another over one growing cache."""
    ids = [*example.context, *example.trunk, *after]
    cache, place, found = DynamicCache(), 0, None
    pairs = KV.enter(rows, backbone).pairs
    while place < len(ids):
        end = place
        while end < len(ids) and (ids[end] < 0) == (ids[place] < 0):
            end += 1
        if ids[place] < 0:
            picked = [-1 - token for token in ids[place:end]]
            for layer, (key, value) in enumerate(pairs):
                added = (x[picked].transpose(0, 1)[None] for x in (key, value))
                cache.update(*added, layer)
        else:
            output = backbone.model(
                input_ids=torch.tensor([ids[place:end]]),
                position_ids=torch.arange(place, end)[None],
                **backbone._continuing(cache),
            )
            found = output.logits[0, -1]
        place = end
    assert found is not None
    return found


def plain(backbone: Backbone, example: Example, rows: torch.Tensor, answer: int) -> torch.Tensor:
    wanted = example.answers[answer]
    parts = [
        logits(backbone, example, rows, wanted[:place]).log_softmax(-1)[token]
        for place, token in enumerate(wanted)
    ]
    return torch.stack(parts).sum()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_scores_and_gradients_equal_transformers_own_cache(
    any_backbone: Backbone, placement: str
) -> None:
    rows = laid(any_backbone, placement)[:3:2]
    ours, theirs = (drawn(any_backbone, 3).requires_grad_() for _ in range(2))
    context = any_backbone.encode_context([row.context for row in rows])
    what = Continuation.of(rows, torch.device("cpu"), [3], "kv")
    scores = log_scores(any_backbone, context, what, [ours])
    total = sum(
        (plain(any_backbone, row, theirs, a) for row in rows for a in range(len(ANSWERS))),
        torch.zeros(()),
    )
    scores.sum().backward()
    total.backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert abs(float((scores.sum() - total).detach() / total.detach())) < 1e-5
    # Short windows may hide a prompt in front from everything that predicts: both are 0 then.
    assert float((ours.grad - theirs.grad).norm()) <= 1e-4 * float(theirs.grad.norm())


def test_only_tokens_are_computed() -> None:
    backbone = tiny_backbone()
    rows = laid(backbone, "suffix")
    what = Continuation.of(rows, torch.device("cpu"), [3], "kv")
    longest = sum(len(answer) - 1 for answer in rows[0].answers)
    assert what.ids_RN.shape == (len(rows), 1 + longest)
    assert int(what.position_RN[0, 0]) == len(rows[0].context) + 3


def test_a_prompt_of_keys_and_values_starts_as_the_tokens_that_it_is_made_of() -> None:
    backbone = tiny_backbone()
    embeds = backbone.embed(torch.tensor([7, 8, 9])).detach()
    tokens = Example((1, 7, 8, 9), (11,), ((40, 2), (50, 60, 2)))
    rows = KV.start(embeds, backbone)
    found = score_answers(
        backbone, [replace(tokens, context=(1,), trunk=(-1, -2, -3, 11))], [rows], depth="kv"
    )
    assert abs(found - score_answers(backbone, [tokens], [])).max() < 1e-4
    scale = KV.scale(rows, backbone)
    assert scale is not None
    assert scale.shape == (KV.width(backbone),)
    assert (scale > 0).all()


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_tensors_hold_what_they_were_made_of(architecture: str) -> None:
    backbone = tiny_backbone(architecture)
    rows = drawn(backbone, 5)
    for lengths in ([5], [2, 3]):
        tensors = KV.tensors(rows, lengths, backbone)
        assert torch.equal(KV.vectors(tensors), rows)
        assert KV.lengths(tensors) == tuple(lengths)
    assert KV.tensors(rows, [5], backbone)["keys"].shape == (backbone.layers, 2, 5, 8)


@pytest.mark.parametrize("placement", ["suffix", "front", "slots"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral"])
def test_generated_tokens_are_those_of_transformers_own_cache(
    architecture: str, placement: str
) -> None:
    backbone = tiny_backbone(architecture)
    rows = drawn(backbone, 3)
    asked = laid(backbone, placement)
    answers = generate(backbone, asked, [rows], 4, depth="kv")
    for example, answer in zip(asked, answers, strict=True):
        tokens: list[int] = []
        for _ in range(4):
            tokens.append(int(logits(backbone, example, rows, tuple(tokens)).argmax()))
            if tokens[-1] == backbone.eos:
                break
        text = backbone.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert answer == text


def test_a_row_without_any_token_is_refused() -> None:
    layout = Layout(tiny_backbone(), "front", 3, "kv")
    assert layout.example(Rendered(("",), ""), ["x"]).trunk[-1] == 1
    gpt2 = tiny_backbone("gpt2")
    # As tokenizers of GPT-2 and Qwen are: they put nothing before a text.
    gpt2.bos = None
    bare = Layout(gpt2, "suffix", 3, "kv")
    with pytest.raises(UsageError, match="needs a token after it"):
        bare.example(Rendered(("",), ""), ["x"])


FAST: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "length": 4,
    "baselines": (),
    "depth": "kv",
    "readout": "off",
}


@pytest.mark.parametrize(
    ("placement", "parametrisation"), [("suffix", "direct"), ("front", "encoder")]
)
def test_a_run_from_start_to_use(tmp_path: Path, placement: str, parametrisation: str) -> None:
    task = feedback_task(tmp_path)
    settings = {**FAST, "placement": placement, "parametrisation": parametrisation}
    result = tune(task, tiny_backbone(), tmp_path / "run", **settings)
    prompt = SoftPrompt.load(result["prompt"])
    assert all(tensor.shape == (2, 2, 4, 8) for tensor in prompt.tensors.values())
    assert evaluate(prompt, tmp_path / "feedback.jsonl", tiny_backbone())["n"] == 60
    texts = [row.columns["text"] for row in task.test]
    answers = [p.answer for p in predict(prompt, texts, tiny_backbone())]
    right = sum(a == row.answer for a, row in zip(answers, task.test, strict=True))
    assert right / len(texts) == pytest.approx(result["test"]["accuracy"])


def test_slots_and_free_text(tmp_path: Path) -> None:
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
    assert KV.lengths(prompt.tensors) == (2, 3)
    assert isinstance(predict(prompt, ["the late parcel"], tiny_backbone())[0].answer, str)


def test_a_killed_run_of_two_threads_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.training.loop import Loop

    task = feedback_task(tmp_path)
    settings = {**FAST, "length": 32, "population": 8, "survivors": 8, "checkpoint_seconds": 0}
    settings |= {"ensemble": "off"}
    torch.set_num_threads(2)
    try:
        whole = tune(task, tiny_backbone(), tmp_path / "whole", **settings)
        right = Loop.train_step

        def stopping(self: Loop) -> None:
            if self.step == 5:
                raise KeyError("stopped")
            right(self)

        with monkeypatch.context() as patch:
            patch.setattr(Loop, "train_step", stopping)
            with pytest.raises(KeyError):
                tune(task, tiny_backbone(), tmp_path / "again", **settings)
        again = tune(task, tiny_backbone(), tmp_path / "again", **settings)
    finally:
        torch.set_num_threads(1)
    first, second = (SoftPrompt.load(result["prompt"]).vectors for result in (whole, again))
    assert torch.equal(first, second)
