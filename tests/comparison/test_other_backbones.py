"""Comparisons over backbones that are no decoders: what suits is measured, the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, save_tiny

from comparison.conftest import FAST, HOW
from softprompt.backbones import Backbone, Context, load_backbone
from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.comparison.domain import _parts
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Lesson, _without_context, of_task
from softprompt.comparison.whole import loaded
from softprompt.comparison.words import unmeasured
from softprompt.errors import UsageError
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.training import Reporter, RunConfig


def begin(folder: Path, architecture: str, **how: Any) -> Comparison:
    feedback_task(folder)
    config = RunConfig.of(
        f"{folder}/feedback.jsonl",
        backbone={"model": str(save_tiny(folder / "model", architecture)), "dtype": "fp32"},
        prompt={"length": 4},
        training=FAST,
    )
    settings = CompareConfig(methods=tuple(METHODS), **{**HOW, "full_rates": (1e-3,), **how})
    return Comparison.begin(folder / "run", config, settings)


@pytest.mark.parametrize(
    ("architecture", "refused"),
    [
        ("t5", {"lora_suffix": "lora"}),
        (
            "bert",
            {
                "own_template": "soft_prompt",
                "zero_shot": "soft_prompt",
                "few_shot": "soft_prompt",
                "lora_suffix": "lora",
                "lora_prompt": "lora",
                "lora_domain_prompt": "lora",
                "full_prompt": "full",
            },
        ),
    ],
)
def test_what_a_backbone_cannot_take_is_refused(
    tmp_path: Path, architecture: str, refused: dict[str, str]
) -> None:
    pytest.importorskip("peft")
    found = compare(begin(tmp_path, architecture))
    assert set(found["errors"]) == set(refused)
    assert set(found["methods"]) == set(METHODS) - set(refused)
    for name, told in found["errors"].items():
        assert told["kind"] == "refused"
        why = "reads a text as a whole" if architecture == "t5" else "has no answer without a head"
        assert why in told["error"] and repr(name) in told["error"]
        assert told["error"].endswith(f"The nearest that works is {refused[name]}.")
    untold = found["methods"]["full"]["unmeasured"]
    assert ("forgetting" in untold) is (architecture == "bert")
    assert found["methods"]["majority"]["unmeasured"] == {}
    if architecture == "bert":
        # One line for all, which names the backbone and no folder of theirs.
        (line,) = unmeasured(found)
        assert line.startswith("soft prompt, LoRA, full fine-tuning: forgetting: ")
        assert "methods" not in line


@pytest.mark.parametrize("name", ["lora", "full"])
def test_an_encoder_learns_a_head_with_its_weights(tmp_path: Path, name: str) -> None:
    pytest.importorskip("peft")
    comparison = begin(tmp_path, "bert", epochs=8, lora_epochs=8, lora_rates=(1e-2,))
    folder = tmp_path / "run" / "methods" / name
    folder.mkdir(parents=True)
    job = Job(comparison.task, comparison.config, comparison.how, folder, Reporter())
    METHODS.get(name).check(job)
    trained = METHODS.get(name).run(job)
    taught = trained.work.taught
    assert taught is not None
    (head_CD,) = taught.prompts
    choices = len(job.task.choices)
    assert head_CD.shape == (choices, taught.backbone.hidden_size)
    # Both have moved from where they began.
    start = job.learner(job.backbone())
    assert start.head is not None
    assert not torch.equal(head_CD, start.head)
    rows = job.task.test
    answered = taught.answered(job.task, rows)
    assert answered.metric["n"] == len(rows)
    # What is stored is what is used.
    if name == "full":
        again = loaded(job, folder / "model")
        assert again.head is not None
        assert torch.equal(again.head, head_CD)
        assert again.backbone.identity.weights == taught.backbone.identity.weights
        return
    kept = head_CD.detach().clone()
    with torch.no_grad():
        head_CD.zero_()
    assert taught.switch is not None
    taught.switch()
    assert torch.equal(head_CD, kept)
    assert taught.answered(job.task, rows).texts == answered.texts
    assert taught.detach is not None
    assert taught.detach().identity.weights == job.backbone().identity.weights


def test_an_encoder_writes_nothing(tmp_path: Path) -> None:
    comparison = begin(tmp_path, "bert")
    free = replace(comparison.task, choices=(), kind="generation")
    job = Job(free, comparison.config, comparison.how, tmp_path, Reporter())
    for name in ("lora", "full"):
        with pytest.raises(UsageError, match="is an encoder"):
            METHODS.get(name).check(job)


@pytest.mark.parametrize("architecture", ["t5", "llama"])
def test_weights_learn_from_rows_as_they_are_scored(tmp_path: Path, architecture: str) -> None:
    """What an encoder has read stays read by it, and it learns too."""
    comparison = begin(tmp_path, architecture)
    task, backbone = comparison.task, tiny_backbone(tmp_path, architecture)
    brief = Lesson(1e-3, 1, 0, "accuracy")
    # Whole answers: a single place has no places before it to weigh.
    learner = Learner(backbone, scoring="whole")
    (example, *_) = of_task(learner, task, brief).examples
    with torch.no_grad():
        constant = backbone.encode_context([example.context])
        scored = token_log_probabilities(
            backbone, constant, Continuation.of([example], backbone.device), ()
        )
    backbone.model.requires_grad_(True)
    whole = Continuation.of([_without_context(backbone, example)], backbone.device)
    learned = token_log_probabilities(backbone, Context.empty(1, backbone.device), whole, ())
    torch.testing.assert_close(learned, scored, atol=1e-4, rtol=0)
    (-learned.sum()).backward()
    still = [
        name
        for name, p in backbone.model.named_parameters()
        if p.grad is None or not bool(p.grad.any())
    ]
    assert not still


def test_a_text_is_read_by_an_encoder_and_gone_on_with_by_its_decoder(tmp_path: Path) -> None:
    backbone = tiny_backbone(tmp_path, "t5")
    ids = [*backbone.encode("the soup was cold and late"), backbone.eos]
    (part,) = _parts(backbone, "the soup was cold and late")
    assert part.encoder[: len(ids) // 2] == tuple(ids[: len(ids) // 2])
    assert part.answers == (tuple(ids[len(ids) // 2 :]),)
    assert part.trunk == (backbone.start,)


def tiny_backbone(folder: Path, architecture: str) -> Backbone:
    return load_backbone(str(save_tiny(folder / "other", architecture)), dtype="fp32")
