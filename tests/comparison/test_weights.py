"""Weights that learn: LoRA's and a whole model's, their passes, and what is stored of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from softprompt.comparison import METHODS
from softprompt.comparison.adapters import Adapter, SuffixBackbone, folder_bytes
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.measures import measured
from softprompt.comparison.rates import lesson
from softprompt.comparison.weights import learn, of_task
from softprompt.comparison.work import Taught, after_context
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Layout
from softprompt.training.plan import epochs_for

pytest.importorskip("peft")


def test_the_context_before_a_suffix_adapter_stays_exact(job: Job) -> None:
    plain = job.backbone()
    backbone = SuffixBackbone.of(job.backbone())
    backbone.adapter = Adapter(Learner(backbone), 2, 0)
    for name, parameter in backbone.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    rows = [[1, 5, 6, 7, 8], [1, 9]]
    mine, theirs = backbone.encode_context(rows), plain.encode_context(rows)
    for part in ("keys", "values"):
        for a, b in zip(getattr(mine, part), getattr(theirs, part), strict=True):
            assert torch.equal(a, b)
    # What comes after the context is another matter, so the adapter does work.
    side = Taught(backbone, Layout(backbone, None), after=3)
    bare = Taught(plain, Layout(plain, None), after=3)
    ours, others = (
        score_answers(each.backbone, each.encoded(job.task, job.task.test).examples, ())
        for each in (side, bare)
    )
    assert not np.allclose(ours, others)
    # Where no token is left to the context, the adapter is on everywhere, as in plain LoRA.
    example = after_context(side.encoded(job.task, job.task.test), 1000).examples[0]
    assert example.context == ()
    whole = score_answers(backbone, [example], ())
    again = SuffixBackbone.of(job.backbone())
    again.adapter = Adapter(Learner(again), 2, 0)
    again.model.load_state_dict(backbone.model.state_dict())
    again.adapter = None
    everywhere = Taught(again, Layout(again, None)).encoded(job.task, job.task.test)
    np.testing.assert_allclose(
        whole[0, 0], score_answers(again, everywhere.examples[:1], ())[0, 0], rtol=1e-4
    )


def test_lora_over_a_model_in_bf16_is_stored_as_it_was_trained(job: Job) -> None:
    """Its matrices learn in fp32; rounding them would change the answers that were chosen by."""
    trained = Adapter(Learner(job.backbone(dtype="bf16")), 2, 0)
    for name, parameter in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    trained.save(job.folder / "adapter")
    again = Adapter(Learner(job.backbone(dtype="bf16")), 2, 1)
    again.read(job.folder / "adapter")
    matrices = [
        {n: p for n, p in adapter.model.named_parameters() if "lora_" in n}
        for adapter in (trained, again)
    ]
    assert {p.dtype for p in matrices[0].values()} == {torch.float32}
    for name, parameter in matrices[0].items():
        assert torch.equal(parameter, matrices[1][name])


def test_learning_after_the_context_reads_the_kept_contexts(job: Job) -> None:
    """Kept contexts and contexts that are encoded again in every step train the same weights."""
    trained = []
    for budget in (0, 1 << 30):
        backbone = SuffixBackbone.of(job.backbone())
        backbone.adapter = Adapter(Learner(backbone), 2, 0)
        brief = lesson(job, backbone, 1e-2, 2)
        material = of_task(
            Learner(backbone), job.task, brief, cut=lambda e: after_context(e, 4), budget=budget
        )
        assert material.contexts is not None
        assert (material.contexts.bytes > 0) == (budget > 0)
        learn(Learner(backbone), material, brief)
        trained.append([p.detach().clone() for p in backbone.model.parameters()])
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("rows", "whole", "sixth"),
    # From 32 rows, of which a hundred steps are more than all passes, to thousands.
    [(32, 40, 40), (128, 40, 13), (500, 40, 7), (2000, 12, 2), (11000, 12, 2)],
)
def test_few_rows_get_more_passes(job: Job, rows: int, whole: int, sixth: int) -> None:
    for share, passes in ((1.0, whole), (1 / 6, sixth)):
        brief = lesson(job, job.backbone(), 1e-3, None, share)
        assert replace(brief, batch=16).passes(rows) == passes
        # Passes that are given are what is made, however few the rows.
        assert replace(brief, epochs=3).passes(rows) <= 3


@pytest.mark.parametrize(("batch", "passes"), [(8, 12), (16, 24), (32, 40)])
def test_passes_follow_from_the_batches_of_the_prompt(job: Job, batch: int, passes: int) -> None:
    training = job.config.training.model_copy(update={"batch_size": batch})
    job = replace(job, config=job.config.model_copy(update={"training": training}))
    assert epochs_for(-(-1000 // batch)) == passes
    assert lesson(job, job.backbone(), 1e-3, None).passes(1000) == passes


def test_weights_get_the_passes_of_the_prompt_beside_them(job: Job) -> None:
    """Also with batches of another size."""
    training = job.config.training.model_copy(update={"epochs": None, "batch_size": 4})
    config = job.config.model_copy(update={"training": training})
    none = dict.fromkeys(("epochs", "lora_epochs", "search_epochs"))
    job = replace(job, config=config, how=job.how.model_copy(update=none))
    prompt, full = (
        METHODS.get(name).run(replace(job, folder=job.folder / name))
        for name in ("soft_prompt", "full")
    )
    passes = full.details["full_epochs"]
    assert passes == prompt.details["steps"] // -(-len(job.task.train) // 4) > 12
    # Of three steps each, enough for a hundred.
    assert full.details["search_epochs"] == 34
    three = config.model_copy(update={"training": training.model_copy(update={"epochs": 3})})
    told = METHODS.get("full").run(replace(job, config=three, folder=job.folder / "three"))
    assert (told.details["full_epochs"], told.details["epochs"]) == (3, 3)


@pytest.mark.parametrize("share", [1 / 6, 1.0])
def test_weights_get_as_many_passes_as_a_prompt(job: Job, share: float) -> None:
    backbone = job.backbone()
    backbone.model.model.layers[1].mlp.down_proj.weight.requires_grad_()
    steps: list[tuple[int, int]] = []
    scores: list[float] = []
    brief = lesson(job, backbone, 1e-3, None, share)
    material = of_task(Learner(backbone), job.task, brief)
    learned = learn(
        Learner(backbone),
        material,
        brief,
        noted=scores.append,
        progress=lambda *x: steps.append(x),
    )
    per_epoch = steps[-1][1] // learned.epochs
    assert learned.epochs == brief.passes(len(material.examples))
    assert len(steps) == steps[-1][1] == learned.epochs * per_epoch
    # Not each of many passes is validated.
    assert 6 * share < len(scores) <= 12 * share
    backbone.model.requires_grad_(False)


def test_stored_weights_are_what_is_used(job: Job) -> None:
    trained = METHODS.get("full").run(job)
    taught = trained.work.taught
    assert taught is not None
    assert trained.stored_bytes == folder_bytes(job.folder / "model")
    assert taught.backbone.identity.weights != job.backbone().identity.weights
    assert not any(p.requires_grad for p in taught.backbone.model.parameters())
    # Stopped after the training, nothing is trained again.
    before = taught.backbone.identity.weights
    again = METHODS.get("full").run(job).work.taught
    assert again is not None
    assert again.backbone.identity.weights == before


def test_trained_weights_are_judged_by_labels_that_suit_the_metric(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = job.task.labels[-1]
    asked: list[str] = []

    def all_the_last(task: Any, encoded: Any, answers: Any, metric: str) -> tuple[float, ...]:
        asked.append(metric)
        return tuple(99.0 * (label == last) for label in task.labels)

    monkeypatch.setattr("softprompt.comparison.work.adjustment_for", all_the_last)
    found = measured(job, METHODS.get("full"))
    assert set(found["answers"]) == {last}
    assert asked == [job.metric]


def test_weights_learn_what_the_prompt_is_told_to_learn(job: Job) -> None:
    training = job.config.training.model_copy(update={"objective": "whole_choices"})
    told = replace(job, config=job.config.model_copy(update={"training": training}))
    learner = told.learner(job.backbone())
    learner.backbone.model.requires_grad_(True)
    assert learner.layout.scoring == "whole"
    material = of_task(learner, told.task, lesson(told, learner.backbone, 1e-3, 1))
    assert material.objective == "whole_choices"
    assert len(set(material.classes)) == 2
    learn(learner, material, lesson(told, learner.backbone, 1e-3, 1))


def test_what_matrices_after_the_context_are_is_said_beside_them(job: Job) -> None:
    METHODS.get("lora_suffix").run(job)
    told = json.loads((job.folder / "adapter" / "softprompt.json").read_text("utf-8"))
    assert told["active_tokens"] == job.how.suffix_tokens == 4
    assert "last 4 tokens" in told["note"]
