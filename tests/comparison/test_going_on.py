"""A comparison that is stopped, gone on with, or meets what it did not expect."""

from __future__ import annotations

import gc
import importlib
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny import tiny_backbone

from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import Method, refuse
from softprompt.comparison.pinned import Pinned
from softprompt.comparison.prompted import prompted
from softprompt.comparison.words import kept_out
from softprompt.errors import ConfigError, DataError, SoftPromptError, UsageError
from softprompt.training import Reporter
from softprompt.training.run_directory import RunDirectory

GIVEN = importlib.import_module("softprompt.comparison.given")
JOB = importlib.import_module("softprompt.comparison.job")
MEASURES = importlib.import_module("softprompt.comparison.measures")
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


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "3",
        '{"comparison": {"epochs": "many"}, "run": {}}',
        '{"comparison": 5, "run": {}}',
        '{"comparison": {}, "run": []}',
        '{"comparison": {}}',
        '{"comparison": {}, "run": {"task": 3}}',
    ],
)
def test_a_damaged_comparison_is_a_mistake(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises((ConfigError, UsageError)):
        Comparison(tmp_path)


def test_a_domain_that_is_away_for_now_refuses_no_method(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join(f"A passage, number {n}." for n in range(12)), "utf-8")
    comparison = begun("full_prompt", domain=str(file))

    def away(job: Job) -> Any:
        raise DataError("The hub does not answer.", "Try again.")

    with monkeypatch.context() as patch:
        patch.setattr(GIVEN, "domain_of", away)
        comparison.measure("full_prompt")
    assert comparison.report()["errors"]["full_prompt"]["kind"] == "failed"
    assert comparison.missing() == ["full_prompt"]


def test_two_processes_do_not_measure_the_same_method(begun: Any, tmp_path: Path) -> None:
    comparison = begun("majority", "zero_shot")
    folder = tmp_path / "run" / "methods" / "majority"
    folder.mkdir(parents=True)
    for asked in (comparison.measure, comparison.refuse_taken):
        with RunDirectory(folder).alone(), pytest.raises(UsageError, match="Another process works"):
            asked("majority")
    assert not (folder / "error.json").exists()
    with pytest.raises(UsageError, match="guess"):
        comparison.measure("guess")
    assert not (folder.parent / "guess").exists()
    comparison.measure("majority")
    assert comparison.missing() == ["zero_shot"]


def test_a_model_that_was_dropped_is_gone_before_the_next_comes(job: Job) -> None:
    gc.disable()
    try:
        dropped = weakref.ref(job.backbone())
        job.backbone()
        assert dropped() is None
    finally:
        gc.enable()


def test_a_prompt_that_grew_has_no_time_to_its_best(tmp_path: Path) -> None:
    spent = {"context": 1.0, "training": 100.0, "evaluation": 2.0, "total": 103.0}
    result = {"seconds": spent, "best_step": 1}
    assert "to_best" in PROMPTED.seconds_of(result, tmp_path)
    (tmp_path / "lengths").mkdir()
    assert PROMPTED.seconds_of(result, tmp_path) == {"training": 103.0}


def test_a_prompt_that_grows_is_measured(begun: Any) -> None:
    found = compare(begun("soft_prompt", prompt={"length": None}, training={"grow_to": 4}))
    assert found["errors"] == {}
    measured = found["methods"]["soft_prompt"]
    assert measured["seconds"]["training"] > 0
    assert "to_best" not in measured["seconds"] and measured["history"] == []


def test_a_search_before_a_run_is_no_part_of_a_comparison(begun: Any, tmp_path: Path) -> None:
    config = begun("majority").config
    config = config.model_copy(update={"search": config.search.model_copy(update={"rounds": 2})})
    with pytest.raises(ConfigError, match=r"search\.rounds is 2"):
        Comparison.begin(tmp_path / "another", config, CompareConfig(methods=("majority",)))
    assert not (tmp_path / "another").exists()
