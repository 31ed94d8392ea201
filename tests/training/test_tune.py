"""A whole run on a tiny backbone: it learns, it is written down, it resumes, it stops well."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_rows, feedback_task, save_tiny, tiny_backbone

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.errors import DataError, DivergedError, UsageError
from softprompt.training import Reporter, RunConfig, resume, start
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.interrupt import Interrupt
from softprompt.training.plan import epochs_for
from softprompt.training.run_directory import RunDirectory

FAST: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "length": 4,
    "learning_rate": 0.3,
    "population": 1,
    "readout": "off",
}


def run(folder: Path, output: str = "run", **settings: Any) -> dict[str, Any]:
    return tune(feedback_task(folder), tiny_backbone(), folder / output, **{**FAST, **settings})


def test_the_loss_falls_and_the_result_has_its_shape(tmp_path: Path) -> None:
    # A model of random weights: a whole answer is more to learn than its first token.
    result = run(tmp_path, epochs=15, learning_rate=2.0, length=8, objective="whole_choices")
    losses = [record["loss"] for record in RunDirectory(tmp_path / "run").records()[1:]]
    assert losses[-1] < 0.95 * losses[0]
    assert set(result["baselines"]) == {"majority", "zero_shot"}
    assert result["trainable_parameters"] == 8 * 32
    assert set(result["seconds"]) == {"context", "training", "evaluation", "total"}
    assert result["peak_memory_bytes"] > 0
    for split in ("validation", "test"):
        assert {"n", "accuracy", "macro_f1", "interval"} <= set(result[split])
    json.dumps(result, allow_nan=False)


def test_no_second_process_goes_on_with_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(tmp_path)
    folder = RunDirectory(tmp_path / "run")
    folder.write("result.json", {**result, "stopped": "interrupted"})
    records = folder.metrics.read_bytes()
    with folder.alone(), pytest.raises(UsageError, match="Another process works in"):
        run(tmp_path)
    assert folder.metrics.read_bytes() == records
    assert folder.read("result.json") == {**result, "stopped": "interrupted"}

    def no_locks(path: Path) -> int:
        raise OSError(f"{path} is on a file system without locks")

    monkeypatch.setattr("softprompt.training.run_directory.hold", no_locks)
    with folder.alone():
        assert run(tmp_path)["stopped"] == "finished"


def test_the_folder_holds_everything(tmp_path: Path) -> None:
    result = run(tmp_path)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "config.json",
        "plan.json",
        "metrics.jsonl",
        "curves.png",
        "checkpoints",
        "prompt",
        "result.json",
    }
    records = RunDirectory(tmp_path / "run").records()
    assert [record["kind"] for record in records] == ["validation"] * 4
    assert len(records[1]["gradient_norms"]) == len(records[1]["drift"]) == 4
    # What the prompt begins with is scored, too; there is no loss yet.
    assert records[0]["step"] == 0
    assert not {"loss", "gradient_norm", "drift"} & set(records[0])
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    prompt = SoftPrompt.load(result["prompt"])
    assert prompt.metrics["test"] == result["test"]
    assert result["artifact_bytes"] < 20_000


def test_an_adjustment_is_fitted_saved_used_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(tmp_path, "plain")
    assert plain["adjustment"] is None
    # So that the second label is always given.
    added = (0.0, 99.0)
    monkeypatch.setattr("softprompt.training.selection.adjustment_for", lambda *args: added)
    result = run(tmp_path)
    prompt = SoftPrompt.load(result["prompt"])
    labels = prompt.task.labels
    assert prompt.task.adjustment == added
    told = result["adjustment"]
    assert told["added"] == dict(zip(labels, added, strict=True))
    assert told["validation_without"] == plain["validation"]
    assert told["test_without"] == plain["test"]
    for split in ("validation", "test"):
        given = [sum(row) for row in zip(*result[split]["confusion"]["counts"], strict=True)]
        assert given == [0, result[split]["n"]]
    (answer,) = predict(prompt, ["great coffee"], tiny_backbone())
    assert answer.answer == labels[1]


def test_the_backbone_is_untouched(tmp_path: Path) -> None:
    from softprompt.backbones.fingerprint import module_fingerprint

    backbone = tiny_backbone()
    before = module_fingerprint(backbone.model)
    run(tmp_path)
    assert module_fingerprint(backbone.model) == before
    assert all(p.grad is None for p in backbone.model.parameters())


@pytest.mark.parametrize(
    ("placement", "parametrisation"),
    [
        ("suffix", "direct"),
        ("prefix", "residual"),
        ("front", "direct"),
        ("both", "encoder"),
        ("suffix", "encoder_lstm"),
        ("suffix", "superposition"),
        ("prefix", "low_rank"),
    ],
)
def test_the_saved_prompt_scores_what_the_run_measured(
    tmp_path: Path, placement: str, parametrisation: str
) -> None:
    result = run(tmp_path, placement=placement, parametrisation=parametrisation)
    prompt = SoftPrompt.load(result["prompt"])
    again = evaluate(prompt, tmp_path / "feedback.jsonl", tiny_backbone())
    assert again["n"] == 60
    task = feedback_task(tmp_path)
    texts = [row.columns["text"] for row in task.test]
    answers = [p.answer for p in predict(prompt, texts, tiny_backbone())]
    right = sum(a == row.answer for a, row in zip(answers, task.test, strict=True))
    assert right / len(texts) == pytest.approx(result["test"]["accuracy"])


@pytest.mark.parametrize("initialisation", ["labels", "keywords", "vocabulary", "random"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adafactor"])
def test_every_initialisation_and_optimizer_runs(
    tmp_path: Path, initialisation: str, optimizer: str
) -> None:
    result = run(
        tmp_path, initialisation=initialisation, optimizer=optimizer, epochs=1, baselines=()
    )
    assert SoftPrompt.load(result["prompt"]).initialisation == initialisation


def test_slots_in_the_template(tmp_path: Path) -> None:
    from softprompt.tasks import Task

    feedback_task(tmp_path)
    task = Task.from_file(
        tmp_path / "feedback.jsonl", template="{prompt:2}{text}\nLabel:{prompt:3} {answer}"
    )
    result = tune(task, tiny_backbone(), tmp_path / "run", **{**FAST, "length": 8})
    prompt = SoftPrompt.load(result["prompt"])
    assert [tuple(t.shape) for t in prompt.tensors.values()] == [(2, 32), (3, 32)]
    assert prompt.placement == "slots"


def test_a_warm_start_begins_at_the_other_prompt(tmp_path: Path) -> None:
    first = run(tmp_path)
    second = run(
        tmp_path, "second", initialisation="prompt", start=first["prompt"], learning_rate=1e-9
    )
    torch.testing.assert_close(
        SoftPrompt.load(second["prompt"]).vectors, SoftPrompt.load(first["prompt"]).vectors
    )


def test_a_warm_start_is_as_long_as_the_other_prompt_unless_told(tmp_path: Path) -> None:
    first = run(tmp_path, length=11)
    for length, wanted in ((None, 11), (5, 5)):
        settings = {"initialisation": "prompt", "start": first["prompt"], "length": length}
        second = run(tmp_path, f"of {length}", **settings, learning_rate=1e-9)
        assert SoftPrompt.load(second["prompt"]).length == wanted


def test_free_text(tmp_path: Path) -> None:
    from softprompt.tasks import Task

    feedback_task(tmp_path)
    task = Task.from_file(tmp_path / "feedback.jsonl", kind="generation", target="label")
    result = tune(task, tiny_backbone(), tmp_path / "run", max_new_tokens=4, **FAST)
    assert {"exact_match", "token_f1", "chrf", "rougeL"} <= set(result["test"])
    assert "majority" not in result["baselines"]
    prompt = SoftPrompt.load(result["prompt"])
    assert isinstance(predict(prompt, ["the late parcel"], tiny_backbone())[0].answer, str)


@pytest.mark.parametrize(("kind", "vectors"), [("classification", 8), ("generation", 32)])
def test_what_is_written_takes_more_vectors(tmp_path: Path, kind: str, vectors: int) -> None:
    from softprompt.tasks import Task

    feedback_task(tmp_path)
    task = Task.from_file(tmp_path / "feedback.jsonl", kind=kind, target="label")
    settings = {name: value for name, value in FAST.items() if name != "length"}
    result = tune(
        task, tiny_backbone(), tmp_path / "run", max_new_tokens=4, **{**settings, "epochs": 1}
    )
    assert SoftPrompt.load(result["prompt"]).length == vectors


def test_few_shot_is_a_baseline_from_one_switch(tmp_path: Path) -> None:
    result = run(tmp_path, epochs=1, baselines=("majority", "zero_shot", "few_shot"), shots=2)
    assert result["baselines"]["few_shot"]["shots"] == 2


def test_slices_are_scored_apart(tmp_path: Path) -> None:
    result = run(tmp_path, slice_column="part")
    assert set(result["validation"]["slices"]) <= {"a", "b"}
    assert set(RunDirectory(tmp_path / "run").records()[0]["slices"]) <= {"a", "b"}
    with pytest.raises(DataError, match="There is no column 'prt' to slice by"):
        run(tmp_path, "other", slice_column="prt")


def test_hand_prompts_that_name_no_column_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the column 'txt'"):
        run(tmp_path, hand_prompts=("{text} {answer}", "{txt} {answer}"))
    assert not (tmp_path / "run").exists()


class Recorder(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_vanished_gradients_are_said_in_plain_words(tmp_path: Path) -> None:
    from softprompt.training.monitor import Monitor

    monitor = Monitor(torch.ones(2, 4))
    monitor.step(1.0, torch.ones(2, 4))
    assert monitor.report(torch.ones(2, 4))[1] == []
    monitor.step(1.0, torch.full((2, 4), 1e-6))
    assert "The gradients have vanished" in monitor.report(torch.ones(2, 4))[1][0]
    monitor.step(1.0, torch.full((2, 4), 1e3))
    assert "The gradients jump" in monitor.report(torch.ones(2, 4))[1][0]


def test_a_loss_that_is_not_finite_stops_with_step_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.training.loop import Loop

    right = Loop.losses

    def broken(self: Loop, batch: Any, prompts: Any, members: Any = ()) -> Iterator[torch.Tensor]:
        for losses in right(self, batch, prompts, members):
            yield losses * float("nan") if self.step == 8 else losses

    monkeypatch.setattr(Loop, "losses", broken)
    with pytest.raises(DivergedError, match=r"loss is not finite at step 9 \(rows \d+.*feedback"):
        run(tmp_path)
    kept = Checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert kept is not None
    assert kept.step > 0
    assert all(torch.isfinite(t).all() for t in kept.tensors.values())


@pytest.mark.parametrize("faster", [1, 2])
def test_the_faster_number_of_threads_trains_and_the_callers_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: int
) -> None:
    from softprompt.training.loop import Loop

    right, seen = Loop.losses, []

    def slow(self: Loop, batch: Any, prompts: Any, members: Any = ()) -> Iterator[torch.Tensor]:
        threads = torch.get_num_threads()
        seen.append(threads)
        time.sleep(0.0 if threads == faster else 0.05)
        yield from right(self, batch, prompts, members)

    monkeypatch.setattr(Loop, "losses", slow)
    torch.set_num_threads(2)
    try:
        run(tmp_path, epochs=1, baselines=())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    plan = RunDirectory(tmp_path / "run").read("plan.json")
    assert plan is not None
    assert plan["threads"] == seen[-1] == faster


def test_few_rows_get_more_epochs() -> None:
    assert [epochs_for(steps) for steps in (1, 50, 100, 125, 1000)] == [40, 30, 15, 12, 12]


def test_patience_and_time_budget_stop_early(tmp_path: Path) -> None:
    patient = run(tmp_path, epochs=40, patience=2)
    assert patient["stopped"] == "patience"
    short = run(tmp_path, "short", epochs=4000, patience=4000, time_budget=1.0)
    plan = RunDirectory(tmp_path / "short").read("plan.json")
    assert plan is not None
    assert plan["steps"] < 4000 * plan["steps_per_epoch"]
    assert short["stopped"] in {"time", "finished"}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is already in use"):
        run(tmp_path)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    assert run(tmp_path) == run(tmp_path)


def test_a_run_of_other_settings_or_rows_is_not_taken_for_this_one(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UsageError, match=r"prompt\.length, training\.epochs differ"):
        run(tmp_path, epochs=2, length=7)
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(UsageError, match=r"training\.optimizer differ"):
        run(tmp_path, optimizer="adamw")
    task = feedback_task(tmp_path)
    for other in (replace(task, train=task.train[:-1]), replace(task, target="answer")):
        with pytest.raises(UsageError, match="rows differ"):
            tune(other, tiny_backbone(), tmp_path / "run", **FAST)


def test_a_run_out_of_time_keeps_what_a_resumed_one_keeps(tmp_path: Path) -> None:
    feedback_task(tmp_path)
    config = a_config(tmp_path, save_tiny(tmp_path / "model"), 1)
    short = config.training.model_copy(
        update={"time_budget": 2.0, "epochs": 9, "validations": 1, "patience": None}
    )

    class Stuck(Reporter):
        """Takes long in the middle of an epoch of six steps."""

        now = ""

        def stage(self, name: str, about: Mapping[str, Any]) -> None:
            self.now = name

        def progress(self, done: int, total: int) -> None:
            time.sleep(2.5 if (self.now, done) == ("training", 4) else 0)

    setup = config.model_copy(update={"training": short})
    first = start(setup, tmp_path / "run", Stuck())
    assert (first["stopped"], first["steps"]) == ("time", 5)
    # Cut while the test rows are answered.
    (tmp_path / "run" / "result.json").unlink()
    again = resume(tmp_path / "run")
    assert (again["best_step"], again["steps"]) == (first["best_step"], first["steps"])
    records = RunDirectory(tmp_path / "run").records()
    validated = [(r["step"], r["interim"]) for r in records if r["kind"] == "validation"]
    assert validated == [(0, False), (5, False)]


def a_config(folder: Path, model: Path, population: int) -> RunConfig:
    return RunConfig.of(
        f"{folder}/feedback.jsonl",
        backbone={"model": str(model), "dtype": "fp32"},
        prompt={"length": 4, "parametrisation": "residual"},
        training={
            "epochs": 6,
            "batch_size": 8,
            "checkpoint_seconds": 0,
            "baselines": [],
            "population": population,
            "survivors": 2,
            "ensemble": min(2, population),
            "patience": 99,
        },
    )


class Slow(Reporter):
    """Leaves time to be stopped in."""

    def progress(self, done: int, total: int) -> None:
        time.sleep(0.05)


def in_a_process(folder: Path, model: Path, output: Path, population: int) -> None:
    """A run of its own process, as slow as the one that is going to be stopped."""
    torch.set_num_threads(1)
    start(a_config(folder, model, population), output, Slow())


def wait_for_step(output: Path, step: int) -> None:
    for _ in range(1200):
        if any((output / "checkpoints").glob(f"step-*{step:02d}")):
            return
        time.sleep(0.02)
    pytest.fail("the run did not get that far")


@pytest.mark.parametrize("population", [1, 5])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tmp_path: Path, how: signal.Signals, population: int
) -> None:
    feedback_task(tmp_path)
    model = save_tiny(tmp_path / "model")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    # A forked process has the libraries loaded; the signal is real all the same.
    process = multiprocessing.get_context("fork").Process(
        target=in_a_process, args=(tmp_path, model, broken, population)
    )
    process.start()
    wait_for_step(broken, 11)
    os.kill(process.pid or 0, how)
    process.join(60)
    assert process.exitcode == (-9 if how is signal.SIGKILL else 0)
    if how is signal.SIGINT:
        early = json.loads((broken / "result.json").read_text())
        assert (early["stopped"], early["test"]) == ("interrupted", None)
        SoftPrompt.load(early["prompt"])
    assert start(a_config(tmp_path, model, population), whole)["stopped"] == "finished"
    assert resume(broken)["stopped"] == "finished"
    members = [SoftPrompt.load(folder / "prompt").members for folder in (whole, broken)]
    assert len(members[0]) == len(members[1]) == min(2, population)
    assert all(torch.equal(a, b) for a, b in zip(*members, strict=True))
    finals = [Checkpoint.newest(folder / "checkpoints") for folder in (whole, broken)]
    assert finals[0] is not None
    assert finals[1] is not None
    for name, tensor in finals[0].tensors.items():
        assert torch.equal(tensor, finals[1].tensors[name]), name
    steps = [[r["step"] for r in RunDirectory(folder).records()] for folder in (whole, broken)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("patience", [None, 1])
def test_a_run_stopped_before_its_first_step_goes_on_as_if_it_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int | None
) -> None:
    class Asked(Interrupt):
        def __init__(self) -> None:
            super().__init__()
            self.asked = True

    settings: dict[str, Any] = {"patience": patience}
    whole = run(tmp_path, "whole", **settings)
    with monkeypatch.context() as patched:
        patched.setattr("softprompt.training.loop.Interrupt", Asked)
        early = run(tmp_path, "broken", **settings)
    assert (early["stopped"], early["steps"]) == ("interrupted", 0)
    again = run(tmp_path, "broken", **settings)
    assert (again["stopped"], again["steps"]) == (whole["stopped"], whole["steps"])
    assert whole["steps"] > 0
    found = [RunDirectory(tmp_path / name).records() for name in ("whole", "broken")]
    assert [r["score"] for r in found[0]] == [r["score"] for r in found[1]]
    assert [r["best"] for r in found[0]] == [r["best"] for r in found[1]]
    vectors = [SoftPrompt.load(one["prompt"]).vectors for one in (whole, again)]
    assert torch.equal(*vectors)


def test_of_equal_scores_a_trained_prompt_goes_before_the_untrained_one(tmp_path: Path) -> None:
    # Vectors that hardly move: every validation has the same score.
    result = run(tmp_path, learning_rate=1e-9)
    records = RunDirectory(tmp_path / "run").records()
    assert len({record["score"] for record in records}) == 1
    assert result["best_step"] == records[1]["step"] > 0


def test_resuming_with_changed_data_is_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    (tmp_path / "run" / "result.json").unlink()
    rows = [json.dumps(row, ensure_ascii=False) for row in feedback_rows(50)]
    (tmp_path / "feedback.jsonl").write_text("\n".join(rows), encoding="utf-8")
    from softprompt.tasks import Task

    changed = Task.from_file(tmp_path / "feedback.jsonl")
    with pytest.raises(UsageError, match="The data have changed since the run began: feedback"):
        tune(changed, tiny_backbone(), tmp_path / "run", **{**FAST, "epochs": 1})


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        resume(tmp_path)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    run(tmp_path)
    folders = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert len(folders) == 2
    file = folders[-1] / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    newest = Checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert newest is not None
    assert newest.step == int(folders[0].name.removeprefix("step-"))


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import softprompt.training.checkpoint as module

    right, calls = module.atomic_folder, []

    def sometimes_full(path: Path) -> Any:
        calls.append(path)
        if len(calls) == 3:
            raise UsageError("Cannot write: the disk is full.")
        return right(path)

    monkeypatch.setattr(module, "atomic_folder", sometimes_full)
    with pytest.raises(UsageError, match="the disk is full"):
        run(tmp_path)
    monkeypatch.undo()
    assert Checkpoint.newest(tmp_path / "run" / "checkpoints") is not None
    assert run(tmp_path)["stopped"] == "finished"


def test_a_wish_to_stop_that_comes_twice_at_once_is_one() -> None:
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        interrupt._asked_at -= 2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
