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

from softprompt.backbones import BackboneConfig, load_backbone
from softprompt.comparison import METHODS
from softprompt.comparison.adapters import Adapter, folder_bytes
from softprompt.comparison.domain import domain_of
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.measures import measured
from softprompt.comparison.methods import refuse
from softprompt.comparison.prompted import history_of
from softprompt.comparison.rates import lesson
from softprompt.comparison.weights import learn
from softprompt.comparison.whole import loaded
from softprompt.comparison.work import Taught
from softprompt.errors import DataError, UsageError
from softprompt.inference import predict
from softprompt.prompts import Layout, SoftPrompt

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
    assert max(score for _, score in found["history"]) >= found["suited_score"] - 1e-9
    assert 0 < found["latency"]["median"] <= found["latency"]["p95"]
    assert found["switch_seconds"] > 0
    assert found["space"]
    passes = {"lora": 2, "lora_suffix": 2, "full": 1}
    assert found["details"].get("epochs") == passes.get(name, found["details"].get("epochs"))
    assert found["energy"]["joules"] > 0
    loss = found["forgetting"]["loss"]
    assert loss["tokens"] > 100
    assert loss["attached"] != loss["untouched"]
    low, high = loss["change_interval"]
    assert low <= loss["attached"] - loss["untouched"] <= high
    # What is kept has the best score of its trainings, by the rule that they are judged by.
    assert found["suited_score"] == pytest.approx(max(score for _, score in found["history"]))


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

    monkeypatch.setattr(Taught, "continuation_losses", full)
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


@pytest.mark.parametrize("name", ["lora_prompt", "lora_domain_prompt", "full_prompt"])
def test_the_prompt_of_a_hybrid_finds_its_model_again(name: str, job: Job) -> None:
    trained = METHODS.get(name).run(job)
    rows = job.task.test
    kept = job.folder / trained.kept[-1]
    prompt = SoftPrompt.load(kept)
    backbone = load_backbone(prompt.backbone.name, dtype=prompt.dtype)
    found = predict(prompt, [row.columns["text"] for row in rows], backbone)
    assert trained.work.taught is not None
    answered = trained.work.taught.answered(job.task, rows)
    assert [one.answer for one in found] == list(answered.texts)
    assert answered.given is not None
    wanted = np.asarray(answered.given[1].probabilities)
    ours = [[one.probabilities[label] for label in answered.given[1].labels] for one in found]
    np.testing.assert_allclose(ours, wanted, atol=1e-6)
    # The model with its matrices is one to train other prompts over, and no other weights.
    config = job.config.model_copy(
        update={"backbone": BackboneConfig(model=backbone.identity.name)}
    )
    over = replace(job, config=config, folder=job.folder / "over")
    if name != "full_prompt":
        for other in ("lora", "lora_suffix", "full"):
            with pytest.raises(UsageError, match="not trained further"):
                refuse(other, over)
    refuse("soft_prompt", over)


def test_a_hybrid_goes_on_after_the_part_that_is_done(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.comparison.methods import lora as module

    first = METHODS.get("lora_prompt").run(job)
    monkeypatch.setattr(module, "searched", lambda *args: pytest.fail("trained again"))
    again = METHODS.get("lora_prompt").run(job)
    assert again.history == first.history
    assert again.stored_bytes == first.stored_bytes
    assert again.details["lora"] == first.details["lora"]


def test_switching_to_matrices_and_a_prompt_reads_both(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:

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
    (nats,), (tokens,) = side.continuation_losses([("great coffee", " and friendly staff")])
    ids = [backbone.bos, *backbone.encode("great coffee"), *backbone.encode(" and friendly staff")]
    assert tokens == len(backbone.encode(" and friendly staff"))
    with torch.no_grad():
        logits = backbone.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    own = [float(logits[n - 1, ids[n]]) for n in range(len(ids) - tokens, len(ids))]
    assert nats == pytest.approx(-sum(own), rel=1e-4)


@pytest.mark.parametrize("name", ["lora", "lora_suffix", "full"])
def test_weights_are_asked_as_they_were_taught(name: str, job: Job) -> None:
    """Choices are read until they differ, in training and at work."""
    taught = METHODS.get(name).run(job).work.taught
    assert taught is not None
    assert taught.layout.scoring == "distinct"
    free = replace(job, task=replace(job.task, choices=(), kind="generation"))
    assert free.learner(job.backbone()).layout.scoring == "whole"


def test_a_stored_model_is_named_from_the_root(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(job.config.backbone.model)
    monkeypatch.chdir(folder.parent)
    assert loaded(job, Path(folder.name)).backbone.identity.name == str(folder)
