"""Whole runs on backbones that are no decoders, from a task to answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_encoder, tiny_encoder_decoder

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.backbones import Context, EncoderDecoder
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.errors import BackboneError, UsageError
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.peft import export_peft
from softprompt.tasks import Task
from softprompt.training.run_directory import RunDirectory

FAST: dict[str, Any] = {"epochs": 2, "batch_size": 8, "length": 4, "baselines": ()}


def used_as_measured(result: dict[str, Any], task: Task, backbone: Any, file: Path) -> SoftPrompt:
    """The prompt of a run, after its answers to the test rows were counted again."""
    prompt = SoftPrompt.load(result["prompt"])
    texts = [row.columns["text"] for row in task.test]
    answers = [p.answer for p in predict(prompt, texts, backbone)]
    right = sum(a == row.answer for a, row in zip(answers, task.test, strict=True))
    assert right / len(texts) == pytest.approx(result["test"]["accuracy"])
    assert evaluate(prompt, file, backbone)["n"] == 60
    return prompt


@pytest.mark.parametrize(
    ("placement", "depth"),
    [("suffix", "input"), ("suffix", "kv"), ("front", "input"), ("front", "deep"), ("both", "kv")],
)
def test_an_encoder_decoder_from_start_to_use(tmp_path: Path, placement: str, depth: str) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder_decoder()
    before = module_fingerprint(backbone.model)
    settings = {**FAST, "placement": placement, "depth": depth}
    result = tune(task, backbone, tmp_path / "run", **settings)
    prompt = used_as_measured(result, task, backbone, tmp_path / "feedback.jsonl")
    assert prompt.placement == placement
    assert module_fingerprint(backbone.model) == before
    if (placement, depth) == ("front", "input"):
        folder = export_peft(prompt, tmp_path / "peft", backbone)
        several = [folder / f"member-{n}" for n in range(len(prompt.members))]
        parts = several if len(several) > 1 else [folder]
        for part, vectors in zip(parts, prompt.members, strict=True):
            assert torch.equal(SoftPrompt.load(part).vectors, vectors)
        return
    with pytest.raises(UsageError, match=r"PEFT (cannot hold|holds) a prompt"):
        export_peft(prompt, tmp_path / "peft", backbone)


@pytest.mark.parametrize("placement", ["suffix", "front"])
def test_an_encoder_decoder_learns(tmp_path: Path, placement: str) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder_decoder()
    settings = {**FAST, "placement": placement, "epochs": 12, "population": 1, "length": 8}
    tune(task, backbone, tmp_path / "run", **settings)
    losses = [record["loss"] for record in RunDirectory(tmp_path / "run").records()[1:]]
    assert losses[-1] < 0.9 * losses[0]


def test_an_encoder_decoder_writes_and_measures_what_it_writes(tmp_path: Path) -> None:
    feedback_task(tmp_path)
    task = Task.from_file(tmp_path / "feedback.jsonl", kind="generation", target="label")
    backbone = tiny_encoder_decoder()
    settings = {**FAST, "max_new_tokens": 4, "baselines": ("zero_shot",)}
    result = tune(task, backbone, tmp_path / "run", **settings)
    prompt = SoftPrompt.load(result["prompt"])
    assert isinstance(predict(prompt, ["the late parcel"], backbone)[0].answer, str)


def test_contexts_of_an_encoder_are_kept_on_disk_and_in_fewer_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    task, backbone = feedback_task(tmp_path), tiny_encoder_decoder()
    settings = {**FAST, "population": 2, "batch_size": 2, "epochs": 1}
    usual = tune(task, backbone, tmp_path / "a", **settings, disk_cache="off")
    first = tune(task, backbone, tmp_path / "b", **settings, disk_cache="on")
    read: list[int] = []
    encode = EncoderDecoder.encode_context

    def counted(self: EncoderDecoder, rows: Any) -> Context:
        read.append(len(rows))
        return encode(self, rows)

    monkeypatch.setattr(EncoderDecoder, "encode_context", counted)
    again = tune(task, backbone, tmp_path / "c", **settings, disk_cache="on")
    assert sum(read) < 48, "of the training texts, only one bucket is read to estimate the time"
    for run in (first, again):
        assert run["validation"] == usual["validation"]
        vectors = [SoftPrompt.load(x["prompt"]).members[0] for x in (usual, run)]
        torch.testing.assert_close(vectors[0], vectors[1], atol=1e-5, rtol=1e-5)
    packed = tune(task, backbone, tmp_path / "d", **settings, cache_precision="eight")
    assert 0 < abs(packed["cache_loss_change"]) < 0.05


def test_start_vectors_are_those_of_the_side_that_they_stand_on(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder_decoder()
    found = {}
    for placement in ("suffix", "front"):
        settings = {**FAST, "placement": placement, "depth": "deep", "epochs": 1, "population": 1}
        result = tune(
            task, backbone, tmp_path / placement, **settings, text="a b c d", learning_rate=1e-9,
            initialisation="text",
        )  # fmt: skip
        found[placement] = SoftPrompt.load(result["prompt"]).vectors
        ids = torch.tensor(backbone.encode("a b c d")[:4])
        own = backbone.layer_inputs(backbone.embed(ids), encoder=placement == "front")
        own[0] = backbone.embed(ids)
        expected = own.transpose(0, 1).flatten(1)
        torch.testing.assert_close(found[placement], expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found["suffix"], found["front"])


@pytest.mark.parametrize("depth", ["deep", "kv"])
def test_a_prompt_on_both_sides_begins_on_each(tmp_path: Path, depth: str) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder_decoder()
    settings = {**FAST, "placement": "both", "depth": depth, "epochs": 1, "population": 1}
    result = tune(
        task, backbone, tmp_path / "run", **settings, text="a b c d", learning_rate=1e-9,
        initialisation="text",
    )  # fmt: skip
    embeds = backbone.embed(torch.tensor(backbone.encode("a b c d")[:4]))
    start = DEPTHS.get(depth).start
    expected = [start(embeds[:2], backbone, encoder=True), start(embeds[2:], backbone)]
    found = SoftPrompt.load(result["prompt"]).vectors
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "placement", "depth"),
    [("bert", "prefix", "input"), ("roberta", "front", "deep"), ("distilbert", "suffix", "input")],
)
def test_an_encoder_from_start_to_use(
    tmp_path: Path, architecture: str, placement: str, depth: str
) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder(architecture)
    before = module_fingerprint(backbone.model)
    settings = {**FAST, "placement": placement, "depth": depth}
    settings["baselines"] = ("majority", "zero_shot")
    result = tune(task, backbone, tmp_path / "run", **settings)
    assert set(result["baselines"]) == {"majority"}, "without a head an encoder has no answer"
    prompt = used_as_measured(result, task, backbone, tmp_path / "feedback.jsonl")
    heads = {name: t.shape for name, t in prompt.tensors.items() if name.endswith("head.weight")}
    assert len(heads) == len(prompt.members)
    assert set(heads.values()) == {(2, 32)}
    assert (prompt.heads, prompt.length) == (2, 4)
    assert module_fingerprint(backbone.model) == before


def test_an_encoder_learns_and_a_warm_start_takes_the_head_along(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder()
    settings = {**FAST, "placement": "prefix", "population": 1, "parametrisation": "residual"}
    first = tune(task, backbone, tmp_path / "run", **{**settings, "epochs": 10})
    losses = [record["loss"] for record in RunDirectory(tmp_path / "run").records()[1:]]
    assert losses[-1] < 0.9 * losses[0]
    again = {**settings, "initialisation": "prompt", "start": first["prompt"]}
    second = tune(task, backbone, tmp_path / "warm", **again, learning_rate=1e-9)
    before, after = (SoftPrompt.load(run["prompt"]) for run in (first, second))
    torch.testing.assert_close(after.members[0], before.members[0])
    assert second["validation"]["accuracy"] == first["validation"]["accuracy"]


def test_a_classifiers_prompt_grows_with_its_head(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder()
    settings = {**FAST, "placement": "prefix", "grow_to": 10}
    del settings["length"]
    result = tune(task, backbone, tmp_path / "run", **settings)
    prompt = used_as_measured(result, task, backbone, tmp_path / "feedback.jsonl")
    assert prompt.length in {8, 10}


def test_what_an_encoder_cannot_do_is_refused_before_training(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_encoder()
    with pytest.raises(BackboneError, match=r"no keys and values.*--method p-tuning-v2"):
        tune(task, backbone, tmp_path / "run", **FAST, depth="kv")
    with pytest.raises(UsageError, match="writes no text"):
        tune(task, backbone, tmp_path / "run", **FAST, objective="answer")
    free = Task.from_file(tmp_path / "feedback.jsonl", kind="generation", target="label")
    with pytest.raises(UsageError, match="writes no text"):
        tune(free, backbone, tmp_path / "run", **FAST)
    assert not (tmp_path / "run").exists()
