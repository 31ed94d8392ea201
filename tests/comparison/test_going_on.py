"""A comparison that is stopped, gone on with, or meets what it did not expect."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_backbone

from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.comparison.adapters import Adapter
from softprompt.comparison.domain import domain_of
from softprompt.comparison.energy import added
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.measures import _latency, _score
from softprompt.comparison.methods import Method, refuse
from softprompt.comparison.methods.baselines import asked
from softprompt.comparison.pinned import Pinned
from softprompt.comparison.prompted import prompted
from softprompt.comparison.rates import lesson
from softprompt.comparison.words import at_edge, kept_out, left_out, recommended
from softprompt.comparison.work import Taught
from softprompt.errors import DataError, DivergedError, SoftPromptError, UsageError
from softprompt.inference.baselines import BASELINES
from softprompt.prompts import Layout
from softprompt.tasks import Task, Template
from softprompt.training import Reporter

DOMAIN = importlib.import_module("softprompt.comparison.domain")
JOB = importlib.import_module("softprompt.comparison.job")
MEASURES = importlib.import_module("softprompt.comparison.measures")
RATES = importlib.import_module("softprompt.comparison.rates")
WEIGHTS = importlib.import_module("softprompt.comparison.weights")
FEW_SHOT = importlib.import_module("softprompt.inference.baselines.few_shot")
PROMPTED = importlib.import_module("softprompt.comparison.prompted")


def test_a_prompt_that_was_stopped_is_no_measurement(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = {"context": 1.0, "training": 2.0, "evaluation": 3.0, "total": 7.0}
    stopped = {"stopped": "interrupted", "seconds": spent}
    monkeypatch.setattr(PROMPTED, "tune", lambda *given, **more: stopped)
    with pytest.raises(KeyboardInterrupt):
        prompted(job, tiny_backbone(), job.folder / "run")


def test_what_a_run_took_before_it_was_stopped_counts(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(stopped: str, training: float, total: float) -> dict[str, Any]:
        seconds = {"context": 10.0, "training": training, "evaluation": 5.0, "total": total}
        return {"stopped": stopped, "seconds": seconds, "best_step": 1}

    # 30 seconds of planning and a minute of training; then the rest of it, after 2 more of loading.
    runs = iter([run("interrupted", 60.0, 105.0), run("finished", 100.0, 57.0)])
    monkeypatch.setattr(PROMPTED, "tune", lambda *given, **more: next(runs))
    folder = job.folder / "run"
    with pytest.raises(KeyboardInterrupt):
        prompted(job, tiny_backbone(), folder, 3.0)
    result = prompted(job, tiny_backbone(), folder, 3.0)
    # All but 3 of loading, and the 45 that are not of training, is in the second part's total.
    assert PROMPTED.seconds_of(result, folder, 3.0)["training"] == 3 + 45 + 3 + 57 + 60


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


def test_no_error_of_one_method_ends_the_comparison(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job: Job) -> Trained:
        raise ValueError("zero-size array\nmore")

    monkeypatch.setitem(METHODS._choices, "full", Method(failing, "full", 5))
    found = compare(begun("full", "majority"))
    assert found["errors"]["full"] == {"error": "zero-size array", "kind": "failed"}
    assert list(found["methods"]) == ["majority"]


def test_what_was_spent_before_a_stop_counts(begun: Any, tmp_path: Path) -> None:
    comparison = begun("full", watts=10.0)
    first = compare(comparison)["methods"]["full"]
    folder = tmp_path / "run" / "methods" / "full"
    (folder / "result.json").unlink()
    again = compare(Comparison(tmp_path / "run"))["methods"]["full"]
    assert again["seconds"] == first["seconds"]
    assert again["energy"]["joules"] > first["energy"]["joules"]
    assert again["peak_memory_bytes"] >= first["peak_memory_bytes"]


def test_energies_add_up() -> None:
    one = {"joules": 2.0, "kwh": 1.0, "sources": ["estimated"], "cpu_seconds": 3.0}
    other = {**one, "sources": ["rapl"]}
    assert added(None, one) == one
    assert added(one, other) == {
        "joules": 4.0,
        "kwh": 2.0,
        "sources": ["estimated", "rapl"],
        "cpu_seconds": 6.0,
    }


def test_other_rows_are_not_compared_with_those_before(begun: Any, tmp_path: Path) -> None:
    compare(begun("majority"))
    file = tmp_path / "feedback.jsonl"
    lines = file.read_text("utf-8").splitlines()
    file.write_text("\n".join(reversed(lines)) + "\n", "utf-8")
    with pytest.raises(UsageError, match=r"The data have changed .*feedback\.jsonl"):
        compare(Comparison(tmp_path / "run"))


def test_a_folder_in_use_is_gone_on_with_by_its_own_command(begun: Any) -> None:
    begun("majority")
    with pytest.raises(UsageError, match="softprompt compare --resume"):
        begun("majority")


def test_methods_and_sizes_are_added_to_what_was_measured(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compare(begun("majority", escalate=True))
    result = tmp_path / "run" / "methods" / "majority" / "result.json"
    measured = result.stat().st_mtime_ns
    wanted = CompareConfig(
        methods=("majority", "own_template", "full"),
        curve=(8,),
        escalate=False,
        price_per_hour=2,
    )
    Comparison(tmp_path / "run").change(wanted)
    after = Comparison(tmp_path / "run")
    assert after.missing() == ["own_template", "full"]
    found = compare(after)
    assert list(found["methods"]) == ["majority", "own_template", "full"]
    assert [rows for rows, _ in found["curves"]["full"]] == [8, len(after.task.train)]
    assert found["methods"]["full"]["money"] > 0
    # Who names one method more, or other sizes, loses nothing that was measured.
    after.change(CompareConfig(methods=("full",), curve=(12,)))
    assert list(after.report()["methods"]) == ["majority", "own_template", "full"]
    assert after.report()["curves"] == found["curves"]
    assert before["escalation"] is not None
    assert found["escalation"] is None
    assert result.stat().st_mtime_ns == measured


def test_settings_of_an_older_version_are_today_s(tmp_path: Path, begun: Any) -> None:
    comparison = begun("majority")
    file = tmp_path / "run" / "config.json"
    stored = json.loads(file.read_text("utf-8"))
    usual = {"epochs": 12, "search_epochs": 2, "least_steps": 200, "curve": [8, 1000]}
    stored["comparison"] = {**stored["comparison"], **usual}
    del stored["comparison"]["lora_epochs"]
    file.write_text(json.dumps(stored), "utf-8")
    how = Comparison(tmp_path / "run").how
    assert (how.epochs, how.lora_epochs, how.search_epochs) == (None, None, None)
    stored["comparison"]["epochs"] = 5
    file.write_text(json.dumps(stored), "utf-8")
    comparison = Comparison(tmp_path / "run")
    assert (comparison.how.epochs, comparison.how.lora_epochs) == (5, 5)
    # A curve that it began with is no mistake of who adds a method.
    comparison.change(CompareConfig(methods=("majority", "full")))
    assert comparison.missing() == ["majority", "full"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"lora_rank": 4, "curve": (8,)}, "keeps its compare.lora_rank"),
        ({"methods": ("lorra",)}, "Unknown method 'lorra'"),
        ({"methods": ("full",), "curve": (1,)}, "--curve names 1 rows, which cannot hold two"),
        ({"methods": ("full",), "curve": (999,)}, "--curve names 999 rows, and there are "),
        ({"curve": (8,)}, "--curve is of methods that learn, and there is none among: majority"),
    ],
)
def test_what_measurements_rest_on_is_kept(
    begun: Any, tmp_path: Path, how: dict[str, Any], told: str
) -> None:
    comparison = begun("majority")
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(SoftPromptError) as error:
        comparison.change(CompareConfig(**how))
    assert told in str(error.value)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_points_of_a_curve_that_are_missing_are_told(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = METHODS.get("full")

    def failing(job: Job) -> Trained:
        if len(job.task.train) == 8:
            raise MemoryError
        return right.run(job)

    monkeypatch.setitem(METHODS._choices, "full", replace(right, run=failing))
    comparison = begun("full", curve=(8, 16))
    found = compare(comparison)
    assert found["curve_errors"] == {"full": {"8": {"error": "MemoryError", "kind": "memory"}}}
    assert kept_out(found) == ["full fine-tuning with 8 rows: ran out of memory (MemoryError)"]
    # A process that ends while it measures a point says nothing of it itself.
    (tmp_path / "run" / "methods" / "full" / "rows-8" / "error.json").unlink()
    comparison.failed("full", "ended by signal 9", "memory")
    told = comparison.report()["curve_errors"]["full"]["8"]["error"]
    assert told == "ended by signal 9"


def test_a_task_without_validation_rows_is_refused(begun: Any) -> None:
    comparison = begun("majority")
    config = comparison.config.model_copy(
        update={"task": comparison.config.task.replace(validation_share=0.0)}
    )
    with pytest.raises(DataError, match="no validation rows"):
        Comparison.begin(Path("never"), config, comparison.how)


def test_held_texts_are_left_out_of_the_domain_however_they_are_spaced(
    job: Job, tmp_path: Path
) -> None:
    task = replace(
        job.task,
        test=tuple(
            replace(row, columns={"text": row.columns["text"].replace(" ", "  ")})
            for row in job.task.test
        ),
    )
    job = replace(job, task=task)
    held = [row.columns["text"] for row in (*task.validation, *task.test)]
    own = [f"Another passage, number {number}." for number in range(6)]
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join([*held, *own]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (len(own), len(held))


def test_rows_that_do_not_fit_take_no_part_and_the_others_do(job: Job) -> None:
    long = replace(job.task.test[0], columns={"text": "word " * 400})
    task = replace(job.task, test=(long, *job.task.test))
    for name in ("zero_shot", "few_shot"):
        # What is chosen does not depend on test rows, though the first of them do not fit.
        assert asked(name, replace(job, task=replace(job.task, test=(long,)))).details
        trained = asked(name, replace(job, task=task))
        assert trained.seconds["search"] > 0
        answered = trained.work.answered(task, task.test)
        assert answered.texts[0] is None
        assert None not in answered.texts[1:]


def test_demonstrations_are_drawn_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = asked("few_shot", job)
    first = trained.work.answered(job.task, job.task.test)
    monkeypatch.setattr(FEW_SHOT, "in_turn", pytest.fail)
    assert trained.work.answered(job.task, job.task.test) == first


def test_wordings_that_fill_the_window_are_not_chosen(job: Job) -> None:
    many = " ".join(["word"] * 300)
    templates = (f"{many} {{text}} {{answer}}", "{text} is {answer}")
    request = replace(job.request(tiny_backbone()), templates=templates)
    assert BASELINES.get("zero_shot")(request)["template"] == templates[1]
    with pytest.raises(DataError, match="fits into the model's window with any"):
        BASELINES.get("zero_shot")(replace(request, templates=(templates[0],) * 2))


def test_what_is_recommended_is_said_as_it_is() -> None:
    def told(chosen: str, *methods: str) -> str:
        found = {
            "recommendation": {"method": chosen, "best": chosen, "points": 0.0, "p_value": None},
            "methods": {name: {"test": {"n": 30}} for name in methods},
        }
        return recommended(found)

    assert told("majority", "majority", "full").startswith(
        "On these 30 test rows nothing is better"
    )
    assert told("soft_prompt", "soft_prompt", "full").endswith("Nothing dearer is better.")
    assert told("full", "soft_prompt", "full").endswith(
        "Nothing cheaper comes close; nothing dearer is measured."
    )
    assert told("lora", "soft_prompt", "lora", "full").endswith("Nothing cheaper comes close.")
    assert told("soft_prompt", "soft_prompt").endswith("Nothing else is measured.")
    # What was not measured is not said to be no better than guessing.
    assert told("majority", "majority").startswith("Only the majority guess is measured")


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
    assert found.validation == scores[best]
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
    assert found.validation == max(scores)
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
    assert (found.validation, found.details["rate"]) == (0.6, 1e-3)
    assert found.details["trained"] == {"0.001": 0.6, "0.01": None}
    matrices = found.work.taught.backbone.model.named_parameters()
    mine = [p for name, p in matrices if "lora_" in name]
    for one, wanted in zip(mine, kept, strict=True):
        torch.testing.assert_close(one.detach(), wanted)


def test_what_is_refused_takes_one_model(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = JOB.load_backbone

    def counted(*given: Any, **more: Any) -> Any:
        loaded.append(given)
        return load(*given, **more)

    monkeypatch.setattr(JOB, "load_backbone", counted)
    for name in ("soft_prompt", "lora_prompt", "full"):
        loaded.clear()
        refuse(name, replace(job, loaded=job.backbone()))
        assert len(loaded) == 1, name


class Killed(BaseException):
    """Stands for a signal that no code sees."""


def test_a_quality_that_was_measured_outlives_what_comes_after_it(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = begun("majority", "lora")
    forgetting = MEASURES._forgetting

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(MEASURES, "_forgetting", killed)
    with pytest.raises(Killed):
        comparison.measure("lora")
    # What may not come again, as a file that is away for now, takes nothing away for good.
    assert not comparison.failed("lora", "The data have changed.")
    told = comparison.report()["methods"]["lora"]
    assert told["test"]["n"] > 0
    assert "the process ended" in told["unmeasured"]["forgetting"]
    assert "lora" in comparison.missing()
    monkeypatch.setattr(MEASURES, "_forgetting", forgetting)
    comparison.measure("lora")
    assert "lora" not in comparison.missing()
    assert comparison.report()["methods"]["lora"]["unmeasured"] == {}


def test_a_curve_is_measured_though_every_process_ends_before_its_time(
    begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = begun("full", curve=(8, 12, 16))
    right = METHODS.get("full")

    def killed(*_: Any) -> None:
        raise Killed

    def dying(job: Job) -> Trained:
        if len(job.task.train) == 12:
            raise Killed
        return right.run(job)

    monkeypatch.setattr(MEASURES, "_forgetting", killed)
    monkeypatch.setitem(METHODS._choices, "full", replace(right, run=dying))
    for more in (True, True):
        with pytest.raises(Killed):
            comparison.measure("full")
        told = "ended by signal 9", "memory"
        assert comparison.failed("full", *told, certain=True) == more
    with pytest.raises(Killed):
        comparison.measure("full")
    assert not comparison.failed("full", "ended by signal 9", "memory", certain=True)
    found = comparison.report()
    assert found["methods"]["full"]["unmeasured"]["forgetting"] == "ended by signal 9"
    assert [rows for rows, _ in found["curves"]["full"]] == [8, 16, len(comparison.task.train)]
    assert found["curve_errors"]["full"]["12"]["kind"] == "memory"
    # What is gone on with is the one size that has no result.
    assert comparison.missing() == ["full"]


def test_a_finished_prompt_is_found_from_another_folder(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun("soft_prompt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    Comparison(Path("run")).measure("soft_prompt")
    (tmp_path / "run" / "methods" / "soft_prompt" / "result.json").unlink()
    monkeypatch.chdir(tmp_path / "elsewhere")
    comparison = Comparison(Path("../run"))
    comparison.measure("soft_prompt")
    assert comparison.report()["errors"] == {}


def test_a_domain_of_other_labels_reads_the_rows_as_the_task_does(
    begun: Any, tmp_path: Path
) -> None:
    begun("majority")
    file = tmp_path / "feedback.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    rows[0]["part"] = ""
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    chosen = {"target": "label", "drop_empty": True, "choices": "good=tốt,bad=xấu"}
    comparison = Comparison(tmp_path / "run")
    config = comparison.config.model_copy(update={"task": comparison.config.task.replace(**chosen)})
    task = Task.from_file(config.data, config.task)
    job = Job(task, config, CompareConfig(domain_target="part"), tmp_path / "job", Reporter())
    assert domain_of(job).count <= len(task.train)
    with pytest.raises(DataError, match="drop-empty"):
        plain = config.model_copy(update={"task": config.task.replace(drop_empty=False)})
        domain_of(replace(job, config=plain))


def test_texts_that_stand_twice_are_not_held_out(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "domain.txt"
    own = [f"Another passage, number {number}." for number in range(6)]
    file.write_text("\n\n".join([*own, own[0]]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (6, 0)


def test_a_domain_of_other_labels_has_no_more_rows_than_everyone(job: Job) -> None:
    few = replace(job.task, train=job.task.train[:7])
    how = job.how.model_copy(update={"domain_target": "part"})
    assert domain_of(replace(job, task=few, how=how)).count == 7


def test_test_rows_do_not_choose_what_a_domain_taught(job: Job, tmp_path: Path) -> None:
    how = job.how.model_copy(update={"domain": str(tmp_path / "feedback.jsonl")})
    # What the domain holds out is, but for one row, what the task tests on.
    own, *tested = job.task.validation
    job = replace(job, task=replace(job.task, validation=job.task.test, test=tuple(tested)))
    held: list[Any] = []

    def noted(learner: Any, task: Any, brief: Any) -> Any:
        held.extend(task.validation)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DOMAIN, "of_task", noted)
        with pytest.raises(KeyboardInterrupt):
            learner = job.learner(job.backbone())
            brief = lesson(job, learner.backbone, 1e-3, 1)
            domain_of(replace(job, how=how)).material(learner, brief)
    assert [row.columns["text"] for row in held] == [own.columns["text"]]


def test_training_that_is_not_finite_is_no_score(job: Job) -> None:
    learner = job.learner(job.backbone(dtype="fp32"))
    learner.backbone.model.requires_grad_(True)
    with torch.no_grad():
        next(iter(learner.free)).fill_(float("nan"))
    lesson = WEIGHTS.Lesson(rate=1e-3, epochs=1, seed=0, metric="macro_f1")
    with pytest.raises(DivergedError, match="not finite"):
        WEIGHTS.learn(learner, WEIGHTS.of_task(learner, job.task, lesson), lesson)


def test_a_domain_file_keeps_no_passage_with_a_held_text_in_it(job: Job, tmp_path: Path) -> None:
    held = " ".join(row.columns["text"] for row in job.task.test)
    own = [f"Another passage, number {number}." for number in range(6)]
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join([f"Before it. {held} After it.", *own]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (len(own), 1)


def test_another_model_is_not_gone_on_with(begun: Any, tmp_path: Path) -> None:
    comparison = begun("own_template", "soft_prompt")
    comparison.measure("own_template")
    assert comparison.result("own_template") is not None
    kept = json.loads((tmp_path / "run" / "backbone.json").read_text("utf-8"))
    assert kept["dtype"] == "fp32"
    weights = tmp_path / "model" / "model.safetensors"
    changed = {name: tensor + 1 for name, tensor in load_file(weights).items()}
    save_file(changed, weights, {"format": "pt"})
    found = compare(Comparison(tmp_path / "run"))
    assert set(found["methods"]) == {"own_template"}
    assert "has changed since the comparison began" in found["errors"]["soft_prompt"]["error"]


def test_the_precision_is_chosen_once(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = begun("majority")
    settings = comparison.config.backbone.model_copy(update={"dtype": "auto"})
    config = comparison.config.model_copy(update={"backbone": settings})
    loading = importlib.import_module("softprompt.backbones.load")
    given = iter(["bf16", "fp32", "fp32"])
    monkeypatch.setattr(loading, "fastest_dtype", lambda *about: next(given))
    pinned = Pinned(tmp_path / "backbone.json")
    job = Job(comparison.task, config, comparison.how, tmp_path, Reporter(), pinned=pinned)
    assert [job.backbone().dtype for _ in range(3)] == ["bf16"] * 3
    # A precision of its own, as full fine-tuning has it, changes nothing.
    assert job.backbone(dtype="fp32").dtype == "fp32"
    assert job.backbone().dtype == "bf16"


def test_general_text_that_has_changed_is_told(begun: Any, tmp_path: Path) -> None:
    file = tmp_path / "general.txt"
    file.write_text("One passage of some eight words or more here.", "utf-8")
    comparison = begun("majority", general=str(file))
    file.write_text("Another passage of some eight words or more here.", "utf-8")
    with pytest.raises(UsageError, match=r"general\.txt"):
        Comparison(comparison.directory.path).measure("majority")


@pytest.mark.parametrize("content", ["[]", "3", '{"comparison": {"epochs": "many"}, "run": {}}'])
def test_a_damaged_comparison_is_a_mistake(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(UsageError):
        Comparison(tmp_path)


def test_rows_that_are_not_answered_are_not_timed(job: Job) -> None:
    class Timed:
        taught = None
        rows: ClassVar[list[Any]] = []

        def seconds(self, task: Any, row: Any) -> float:
            self.rows.append(row)
            return 1.0

    work: Any = Timed()
    answers = [None, *["x"] * (len(job.task.test) - 1)]
    found = _latency(job, Trained(work), answers)
    assert found["n"] == 2
    assert job.task.test[0] not in Timed.rows
    with pytest.raises(DataError, match="No test row was answered"):
        _latency(job, Trained(work), [None] * len(job.task.test))


def test_demonstrations_of_which_no_row_fits_are_told(job: Job) -> None:
    request = job.request(tiny_backbone())
    long = replace(job.task.test[0], columns={"text": "word " * 2000})
    with pytest.raises(DataError, match="None of the 1 test rows fits"):
        BASELINES.get("few_shot")(replace(request, task=replace(job.task, test=(long,))))


def test_rows_that_a_score_leaves_out_are_told() -> None:
    methods = {"few_shot": {"test": {"n": 8, "dropped": 3}}, "lora": {"test": {"n": 11}}}
    (line,) = left_out({"methods": methods})
    assert line.endswith(": 3 test rows do not fit into the window; the score leaves them out.")
    methods["few_shot"]["test"]["dropped"] = 1
    assert "1 test row does not fit" in left_out({"methods": methods})[0]


def test_rates_that_come_to_the_same_have_no_best() -> None:
    details = {"rate": 3e-4, "rates": {"0.0003": 0.25, "0.001": 0.25}}
    found = {"methods": {"lora": {"details": details}}}
    assert at_edge(found) == []
    details["rates"] = {"0.0003": 0.3, "0.001": 0.25}
    assert "is the smallest that was tried" in at_edge(found)[0]


def test_vectors_in_slots_are_asked_about_another_task_too(job: Job) -> None:
    backbone = tiny_backbone()
    prompts = (torch.zeros(3, backbone.hidden_size),)
    side = Taught(backbone=backbone, layout=Layout(backbone, "slots", 3), prompts=prompts)
    other = replace(job.task, template=Template("{text}\nMood: {answer}"))
    assert _score(side, other)["n"] == len(job.task.test)
