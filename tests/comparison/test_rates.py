"""The search for a learning rate: what is kept of its trainings, and how it goes on."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.comparison import METHODS, compare
from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job
from softprompt.comparison.measures import quality
from softprompt.comparison.words import at_edge
from softprompt.errors import DivergedError

pytest.importorskip("peft")

RATES = importlib.import_module("softprompt.comparison.rates")
WEIGHTS = importlib.import_module("softprompt.comparison.weights")


def test_a_rate_that_diverges_loses_and_nothing_else(begun: Any) -> None:
    # At the second rate the weights overflow.
    found = compare(begun("majority", "full", full_rates=(1e-3, 1e30), epochs=2))
    assert found["errors"] == {}
    details = found["methods"]["full"]["details"]
    assert details["rate"] == 1e-3
    assert details["rates"]["1e+30"] is None
    assert details["rates"]["0.001"] > 0


def test_where_every_rate_diverges_the_method_fails_and_says_so(begun: Any) -> None:
    for rates in ((1e30,), (1e29, 1e30)):
        found = compare(begun("full", "majority", folder=f"r{len(rates)}", full_rates=rates))
        assert list(found["methods"]) == ["majority"]
        assert "rate" in found["errors"]["full"]["error"]
        assert found["errors"]["full"]["kind"] == "failed"


@pytest.mark.parametrize(
    ("scores", "best", "kept_from", "rate"),
    [
        # The rate is that of the best full training, which further seeds take.
        ([0.4, 0.9, 0.6, 0.5], 1, "search", 1e-3),
        ([0.4, 0.5, 0.8, 0.6], 2, "training", 1e-3),
        ([0.4, 0.5, 0.6, 0.8], 3, "training", 1e-2),
        ([0.4, 0.5, 0.8, 0.8], 3, "training", 1e-2),
        # Of equals in the search the larger is trained in full as well.
        ([0.5, 0.5, 0.6, 0.8], 3, "training", 1e-2),
        # The lowest rate has no lower one beside it.
        ([0.6, 0.5, 0.8], 2, "training", 1e-3),
    ],
)
def test_the_best_weights_of_all_trainings_are_kept(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    scores: list[float],
    best: int,
    kept_from: str,
    rate: float,
) -> None:
    learn, after, rest = RATES.learn, [], iter(scores)

    def scored(learner: Any, *given: Any, **more: Any) -> Any:
        learned = learn(learner, *given, **more)
        after.append([p.detach().clone() for p in learner.free])
        return replace(learned, score=next(rest))

    monkeypatch.setattr(RATES, "learn", scored)
    found = METHODS.get("lora").run(
        replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    )
    assert (found.details["kept"], found.details["rate"]) == (kept_from, rate)
    assert list(found.details["trained"].values()) == scores[2:]
    assert found.details["kept_rate"] == [1e-3, 1e-2, *map(float, found.details["trained"])][best]
    assert (found.details["epochs"], found.details["full_epochs"]) == (2 if best > 1 else 1, 2)
    assert len(after) == len(scores)
    assert not list(job.folder.rglob("searched*"))
    kept = [p for name, p in found.work.taught.backbone.model.named_parameters() if "lora_" in name]
    assert len(kept) == len(after[best])
    for one, wanted, other in zip(kept, after[best], after[best - 1], strict=True):
        torch.testing.assert_close(one.detach(), wanted)
        assert not torch.equal(wanted, other)
    # Every validation is told, in the order of time.
    seconds = [seconds for seconds, _ in found.history]
    assert len(seconds) >= len(scores) and seconds == sorted(seconds)


@pytest.mark.parametrize(
    "scores", [[0.4, 0.5, 0.6, 0.3], [0.4, 0.7, 0.6, 0.3], [0.4, 0.5, 0.6, 0.8]]
)
@pytest.mark.parametrize("stopped", [1, 2, 3, 4])
def test_a_search_that_was_stopped_goes_on_after_its_last_training(
    job: Job, monkeypatch: pytest.MonkeyPatch, scores: list[float], stopped: int
) -> None:
    job = replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    learn, after, stop = RATES.learn, [], True

    def scored(learner: Any, *given: Any, **more: Any) -> Any:
        if stop and len(after) == stopped - 1:
            raise KeyboardInterrupt
        learned = learn(learner, *given, **more)
        after.append([p.detach().clone() for p in learner.free])
        return replace(learned, score=scores[len(after) - 1])

    monkeypatch.setattr(RATES, "learn", scored)
    with pytest.raises(KeyboardInterrupt):
        METHODS.get("lora").run(job)
    assert len(after) == stopped - 1
    begun = job.folder / "searched.json"
    spent = json.loads(begun.read_text("utf-8"))["seconds"] if stopped > 1 else 0.0
    stop = False
    found = METHODS.get("lora").run(job)
    assert len(after) == len(scores)
    assert found.details["rates"] == {"0.001": scores[0], "0.01": scores[1]}
    assert found.details["trained"] == {"0.001": scores[2], "0.01": scores[3]}
    kept = [p for name, p in found.work.taught.backbone.model.named_parameters() if "lora_" in name]
    for one, wanted in zip(kept, after[scores.index(max(scores))], strict=True):
        assert torch.equal(one.detach(), wanted)
    assert found.seconds["search"] + found.seconds["training"] > spent
    assert len(found.history) == 1 + 1 + 2 + 2
    assert not list(job.folder.rglob("searched*"))


@pytest.mark.parametrize("damage", ["json", "weights", "older"])
def test_a_damaged_search_begins_anew(
    job: Job, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    job = replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    learn, trained, stop = RATES.learn, 0, True

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal trained
        if stop and trained == 2:
            raise KeyboardInterrupt
        trained += 1
        return learn(*given, **more)

    monkeypatch.setattr(RATES, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        METHODS.get("lora").run(job)
    if damage == "json":
        (job.folder / "searched.json").write_text('{"trainings": [', "utf-8")
    elif damage == "older":
        (job.folder / "searched.json").write_text('{"trainings": [{"rate": 1}]}', "utf-8")
    else:
        next(job.folder.glob("searched-*")).unlink()
    stop, trained = False, 0
    METHODS.get("lora").run(job)
    assert trained == 4


def test_a_search_outlives_a_disk_that_is_full(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    learn, trained = RATES.learn, []

    def counted(learner: Any, material: Any, brief: Any, **more: Any) -> Any:
        trained.append((brief.rate, brief.epochs))
        return learn(learner, material, brief, **more)

    def full(self: Any, folder: Path) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RATES, "learn", counted)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(Adapter, "save", full)
        METHODS.get("lora").run(job)
    before = list(trained)
    METHODS.get("lora").run(job)
    # The weights of the last training alone were nowhere but in memory.
    assert trained == [*before, before[-1]]
    assert not list(job.folder.rglob("searched*"))


def test_few_rows_are_not_learned_from_twice_at_the_same_rate(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"lora_rates": (1e-3, 1e-2), "search_epochs": None, "lora_epochs": 3}
    job = replace(job, how=job.how.model_copy(update=settings))
    learn, trained, stop = RATES.learn, [], True

    def counted(learner: Any, material: Any, brief: Any, **more: Any) -> Any:
        if stop and trained:
            raise KeyboardInterrupt
        trained.append((brief.rate, brief.passes(len(material.examples))))
        return learn(learner, material, brief, **more)

    monkeypatch.setattr(RATES, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        METHODS.get("lora").run(job)
    stop = False
    found = METHODS.get("lora").run(job)
    # A sixth of so few steps tells nothing, so that the search has made all of them.
    assert trained == [(1e-3, 3), (1e-2, 3)]
    assert len(found.history) == sum(passes for _rate, passes in trained)
    assert found.details["kept"] == "training"
    assert found.details["trained"].items() <= found.details["rates"].items()
    assert found.seconds["to_best"] <= found.seconds["training"]


def test_what_a_killed_process_took_is_written_down(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    learn, before = RATES.learn, []

    def counted(*given: Any, **more: Any) -> Any:
        # What stands here now is all that a process leaves that is killed in this training.
        before.append(json.loads((job.folder / "spent.json").read_text("utf-8"))["energy"])
        return learn(*given, **more)

    monkeypatch.setattr(RATES, "learn", counted)
    _trained, found = quality(job, METHODS.get("lora"))
    spent = [one["cpu_seconds"] for one in (*before, found["energy"])]
    assert spent == sorted(set(spent))
    _trained, again = quality(job, METHODS.get("majority"))
    assert again["energy"]["cpu_seconds"] > spent[-1]


def test_weights_before_a_training_that_diverges_are_kept(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, count, kept = RATES.learn, 0, []

    def scored(learner: Any, *given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        learned = learn(learner, *given, **more)
        if count == 4:
            raise DivergedError("At rate 0.01 it is not finite.", "Lower it.")
        kept[:] = [p.detach().clone() for p in learner.free]
        return replace(learned, score=[0.4, 0.5, 0.6][count - 1])

    monkeypatch.setattr(RATES, "learn", scored)
    found = METHODS.get("lora").run(
        replace(job, how=job.how.model_copy(update={"lora_rates": (1e-3, 1e-2)}))
    )
    assert (found.details["kept"], found.details["rate"]) == ("training", 1e-3)
    assert found.details["trained"] == {"0.001": 0.6, "0.01": None}
    matrices = found.work.taught.backbone.model.named_parameters()
    mine = [p for name, p in matrices if "lora_" in name]
    for one, wanted in zip(mine, kept, strict=True):
        torch.testing.assert_close(one.detach(), wanted)


def test_training_that_is_not_finite_is_no_score(job: Job) -> None:
    learner = job.learner(job.backbone(dtype="fp32"))
    learner.backbone.model.requires_grad_(True)
    with torch.no_grad():
        next(iter(learner.free)).fill_(float("nan"))
    lesson = WEIGHTS.Lesson(rate=1e-3, epochs=1, seed=0, metric="macro_f1")
    with pytest.raises(DivergedError, match="not finite"):
        WEIGHTS.learn(learner, WEIGHTS.of_task(learner, job.task, lesson), lesson)


def test_rates_that_come_to_the_same_have_no_best() -> None:
    details = {"rate": 3e-4, "rates": {"0.0003": 0.25, "0.001": 0.25}}
    found = {"methods": {"lora": {"details": details}}}
    assert at_edge(found) == []
    details["rates"] = {"0.0003": 0.3, "0.001": 0.25}
    assert "is the smallest that was tried" in at_edge(found)[0]


@pytest.mark.parametrize(
    ("dtype", "fastest", "half"),
    [("auto", "bf16", True), ("auto", "fp32", False), ("fp32", "bf16", False)],
)
def test_every_weight_learns_with_products_as_the_backbone_has_them(
    job: Job, monkeypatch: pytest.MonkeyPatch, dtype: str, fastest: str, half: bool
) -> None:
    loading = importlib.import_module("softprompt.backbones.load")
    monkeypatch.setattr(loading, "fastest_dtype", lambda *about: fastest)
    learn, seen = RATES.learn, []

    def noted(learner: Any, *given: Any, **more: Any) -> Any:
        seen.append((learner.half, learner.backbone.dtype))
        return learn(learner, *given, **more)

    monkeypatch.setattr(RATES, "learn", noted)
    settings = job.config.backbone.model_copy(update={"dtype": dtype})
    job = replace(job, config=job.config.model_copy(update={"backbone": settings}))
    METHODS.get("full").run(job)
    assert set(seen) == {(half, "fp32")}


@pytest.mark.parametrize("name", ["lora", "lora_suffix", "full"])
def test_trying_numbers_of_threads_leaves_no_trace(
    job: Job, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trained = []
    for tries in (0, 3):
        asked = []

        def chosen(device: Any, step: Any, tries: int = tries, asked: Any = asked) -> int:
            for _try in range(tries):
                step()
            asked.append(device)
            return 1

        monkeypatch.setattr(WEIGHTS, "choose_threads", chosen)
        found = METHODS.get(name).run(replace(job, folder=job.folder / str(tries)))
        assert asked
        trained.append(list(found.work.taught.backbone.model.parameters()))
    for one, other in zip(*trained, strict=True):
        assert torch.equal(one, other)


def test_weights_learn_with_the_threads_that_are_fastest(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WEIGHTS, "choose_threads", lambda device, step: 3)
    seen, step = [], WEIGHTS._step
    before = torch.get_num_threads()

    def noted(*given: Any) -> None:
        seen.append(torch.get_num_threads())
        step(*given)

    monkeypatch.setattr(WEIGHTS, "_step", noted)
    METHODS.get("lora").run(job)
    assert set(seen) == {3}
    assert torch.get_num_threads() == before
