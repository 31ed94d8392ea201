"""Every method on a tiny model: what it stores, what it leaves untouched, what it may take."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softprompt.comparison import METHODS
from softprompt.comparison.adapters import Adapter, SuffixBackbone, folder_bytes
from softprompt.comparison.domain import domain_of
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.measures import measured
from softprompt.comparison.prompted import history_of
from softprompt.comparison.rates import lesson
from softprompt.comparison.weights import learn, of_task
from softprompt.comparison.whole import loaded
from softprompt.comparison.work import Taught, after_context
from softprompt.errors import DataError, UsageError
from softprompt.inference.scoring import score_answers
from softprompt.prompts import Layout, SoftPrompt
from softprompt.training.plan import epochs_for

pytest.importorskip("peft")

TAUGHT = (
    "soft_prompt",
    "lora_suffix",
    "lora",
    "lora_prompt",
    "lora_domain_prompt",
    "full",
    "full_prompt",
)


@pytest.mark.parametrize(
    ("members", "readout", "name"),
    [
        (2, None, "together"),
        (1, None, "score"),
        (2, {"kept": True}, "together"),
        (1, {"kept": True}, "together"),
        # What is recorded of all together has the readout in it, which is left out.
        (2, {"kept": False}, "score"),
    ],
)
def test_the_history_is_that_of_what_is_kept(
    tmp_path: Path, members: int, readout: dict[str, bool] | None, name: str
) -> None:
    records = [
        {"kind": "validation", "step": step, "seconds": 1.0 + step, "score": 0.3, "together": 0.6}
        for step in (0, 4)
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text)
    result = {
        "seconds": {"context": 1.0, "training": 6.0, "evaluation": 1.0, "total": 8.0},
        "population": [{"left": None}, {"left": None}, {"left": 2}],
        "selection": {"members": members},
        "readout": readout,
    }
    found = history_of(result, tmp_path, 10.0)
    assert found == [[12.0, records[0][name]], [16.0, records[1][name]]]


def with_how(job: Job, **how: Any) -> Job:
    return replace(job, how=job.how.model_copy(update=how))


@pytest.mark.parametrize("name", TAUGHT)
def test_a_method_is_measured_in_every_respect(name: str, job: Job) -> None:
    begun = time.perf_counter()
    found = json.loads(json.dumps(measured(job, METHODS.get(name))))
    took = time.perf_counter() - begun
    assert len(found["answers"]) == len(job.task.test)
    assert set(found["answers"]) <= set(job.task.labels)
    assert len(found["validation_answers"]) == len(job.task.validation)
    assert found["trainable"] > 0
    assert found["stored_bytes"] >= 4 * 4 * 32
    if found["details"].get("kept") != "search":
        assert 0 < found["seconds"]["to_best"] <= found["seconds"]["training"]
    seconds = [at for at, _ in found["history"]]
    assert seconds[0] > 0 and seconds == sorted(seconds)
    assert seconds[-1] <= took
    assert max(score for _, score in found["history"]) >= found["validation"] - 1e-9
    assert 0 < found["latency"]["median"] <= found["latency"]["p95"]
    assert found["switch_seconds"] > 0
    assert found["space"]
    passes = {"lora": 2, "lora_suffix": 2, "full": 1}
    assert found["details"].get("epochs") == passes.get(name, found["details"].get("epochs"))
    assert found["energy"]["joules"] > 0
    loss = found["forgetting"]["loss"]
    assert loss["tokens"] > 100
    assert loss["attached"] != loss["untouched"]


@pytest.mark.parametrize(
    "name", ["soft_prompt", "lora_suffix", "lora", "lora_prompt", "lora_domain_prompt"]
)
def test_what_is_detached_leaves_the_model_as_it_was(name: str, job: Job) -> None:
    found = measured(job, METHODS.get(name))["forgetting"]
    assert found["detached_identical"] == 1.0
    assert found["loss"]["detached"] == found["loss"]["untouched"]


def test_what_cannot_be_measured_does_not_cost_the_rest(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Taught, passages: Any) -> Any:
        raise MemoryError("no room for a second model")

    monkeypatch.setattr(Taught, "continuation_loss", full)
    found = measured(job, METHODS.get("soft_prompt"))
    assert found["unmeasured"] == {"forgetting": "no room for a second model"}
    assert found["forgetting"] is None
    assert found["latency"]["median"] > 0


def test_changed_weights_cannot_be_detached(job: Job) -> None:
    full = measured(job, METHODS.get("full"))["forgetting"]
    assert full["detached_identical"] is None
    assert full["loss"]["detached"] is None
    hybrid = measured(replace(job, folder=job.folder / "b"), METHODS.get("full_prompt"))
    # Without its prompt the domain's model is left, not the one it began as.
    assert hybrid["forgetting"]["detached_identical"] == 0.0
    assert hybrid["forgetting"]["loss"]["detached"] != hybrid["forgetting"]["loss"]["untouched"]
    assert 0 < hybrid["shared_bytes"] < hybrid["stored_bytes"]
    assert hybrid["details"]["domain"]["about"] == "the task's own texts"


def test_matrices_of_a_domain_are_shared(job: Job) -> None:
    hybrid = measured(job, METHODS.get("lora_domain_prompt"))
    assert 0 < hybrid["shared_bytes"] < hybrid["stored_bytes"]
    assert hybrid["shared_bytes"] == folder_bytes(job.folder / "adapter")
    assert hybrid["details"]["domain"]["about"] == "the task's own texts"
    # The prompt was trained over the model with the matrices, not over the untouched one.
    prompt = SoftPrompt.load(job.folder / hybrid["kept"][-1])
    assert prompt.backbone.weights != job.backbone().identity.weights


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


def test_a_hybrid_goes_on_after_the_part_that_is_done(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.comparison.methods import lora as module

    first = METHODS.get("lora_prompt").run(job)
    monkeypatch.setattr(module, "searched", lambda *args: pytest.fail("trained again"))
    again = METHODS.get("lora_prompt").run(job)
    assert again.validation == first.validation
    assert again.stored_bytes == first.stored_bytes
    assert again.details["lora"] == first.details["lora"]


def test_switching_to_matrices_and_a_prompt_reads_both(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.comparison.adapters import Adapter

    work = METHODS.get("lora_prompt").run(job).work.taught
    assert work is not None and work.switch is not None
    read: list[Path] = []
    monkeypatch.setattr(Adapter, "read", lambda adapter, folder: read.append(folder))
    work.switch()
    assert read == [job.folder / "adapter"]


def test_domains(job: Job, tmp_path: Path) -> None:
    passages = tmp_path / "news.txt"
    passages.write_text("\n\n".join(f"the parcel number {n} was late" for n in range(20)))
    assert domain_of(with_how(job, domain=str(passages))).count == 20
    other = domain_of(with_how(job, domain_target="part"))
    assert other.about == "feedback: part"
    assert other.count == len(job.task.train)
    # Rows that nobody learns from are not said to be the test's.
    fewer = replace(job, task=replace(job.task, train=job.task.train[:9]))
    limited = domain_of(with_how(fewer, domain_target="part"))
    assert (limited.count, limited.left_out) == (9, other.left_out)
    labelled = domain_of(with_how(job, domain=str(tmp_path / "feedback.jsonl")))
    # The same file is divided in the same way, so rows of the test part are not among its rows.
    assert labelled.count + labelled.left_out >= len(job.task.train)
    assert labelled.left_out == len(job.task.test)
    passages.write_text("one\n\ntwo")
    with pytest.raises(DataError, match="at least 4 are needed"):
        domain_of(with_how(job, domain=str(passages)))
    with pytest.raises(DataError, match="cannot be read"):
        domain_of(with_how(job, domain=str(tmp_path / "absent.txt")))


@pytest.mark.parametrize("target", [None, "part"])
def test_the_domain_teaches_the_model(job: Job, target: str | None) -> None:
    domain = domain_of(with_how(job, domain_target=target))
    backbone = job.backbone()
    backbone.model.requires_grad_(True)
    brief = lesson(job, backbone, 1e-2, 3)
    material = domain.material(Learner(backbone), brief)
    before = material.score()
    assert learn(Learner(backbone), material, brief).score > before


def test_what_cannot_be_done_is_refused_with_what_works(job: Job) -> None:
    quantized = job.config.backbone.model_copy(update={"quantization": "4bit"})
    bits = replace(job, config=job.config.model_copy(update={"backbone": quantized}))
    for name in ("full", "full_prompt"):
        with pytest.raises(UsageError, match=r"weights in 4bit.* nearest that works is lora"):
            METHODS.get(name).check(bits)
    free = replace(job, task=replace(job.task, choices=(), kind="generation"))
    with pytest.raises(UsageError, match="nearest that works is zero_shot"):
        METHODS.get("majority").check(free)
    prompt = job.config.prompt.model_copy(update={"initialisation": "context"})
    shown = replace(job, config=job.config.model_copy(update={"prompt": prompt}))
    with pytest.raises(UsageError, match="Choose --depth kv"):
        METHODS.get("soft_prompt").check(shown)
    for name in METHODS:
        METHODS.get(name).check(job)


def test_a_passage_that_continues_is_scored_without_an_end(job: Job) -> None:
    backbone = job.backbone()
    side = Taught(backbone, Layout(backbone, None))
    loss, tokens = side.continuation_loss([("great coffee", " and friendly staff")])
    ids = [backbone.bos, *backbone.encode("great coffee"), *backbone.encode(" and friendly staff")]
    assert tokens == len(backbone.encode(" and friendly staff"))
    with torch.no_grad():
        logits = backbone.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    own = [float(logits[n - 1, ids[n]]) for n in range(len(ids) - tokens, len(ids))]
    assert loss == pytest.approx(-sum(own) / tokens, rel=1e-4)


@pytest.mark.parametrize("name", ["lora", "lora_suffix", "full"])
def test_weights_are_asked_as_they_were_taught(name: str, job: Job) -> None:
    """Choices are read until they differ, in training and at work."""
    taught = METHODS.get(name).run(job).work.taught
    assert taught is not None
    assert taught.layout.scoring == "distinct"
    free = replace(job, task=replace(job.task, choices=(), kind="generation"))
    assert free.learner(job.backbone()).layout.scoring == "whole"


def test_what_matrices_after_the_context_are_is_said_beside_them(job: Job) -> None:
    METHODS.get("lora_suffix").run(job)
    told = json.loads((job.folder / "adapter" / "softprompt.json").read_text("utf-8"))
    assert told["active_tokens"] == job.how.suffix_tokens == 4
    assert "last 4 tokens" in told["note"]


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


def test_a_stored_model_is_named_from_the_root(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(job.config.backbone.model)
    monkeypatch.chdir(folder.parent)
    assert loaded(job, Path(folder.name)).backbone.identity.name == str(folder)
