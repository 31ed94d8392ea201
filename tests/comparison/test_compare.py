"""Methods side by side on a tiny model: measured once, gone on with, failures written down."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, save_tiny, tiny_backbone

from comparison.conftest import FAST, HOW
from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.comparison.given import other_of
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import Method
from softprompt.comparison.weights import Lesson, learn, of_task
from softprompt.comparison.words import other_told
from softprompt.errors import ConfigError, DataError, SoftPromptError, UsageError
from softprompt.training import RunConfig
from softprompt.training.run_directory import RunDirectory


def test_every_method_is_measured_on_the_same_rows(begun: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    names = sorted(METHODS, key=lambda name: METHODS.get(name).cost)
    comparison = begun(*names, price_per_hour=3.6, price_per_kwh=0.3)
    found = compare(comparison)
    assert found["errors"] == {}
    methods = found["methods"]
    assert list(methods) == names
    assert len({method["test"]["n"] for method in methods.values()}) == 1
    assert methods["soft_prompt"]["p_value"] is None
    assert all(0 < m["p_value"] <= 1 for n, m in methods.items() if n != "soft_prompt")
    assert methods["majority"]["trainable_parameters"] == 0
    assert methods["majority"]["forgetting"] is None
    sizes = [methods[name]["trainable_parameters"] for name in ("soft_prompt", "lora", "full")]
    # Vectors, and where one is kept a readout of 64 numbers for each of two labels.
    assert sizes[0] in (4 * 32, 4 * 32 + 2 * 65)
    assert sizes[0] < sizes[1] < sizes[2] == tiny_backbone().parameters
    assert methods["full"]["stored_bytes"] > 4 * tiny_backbone().parameters
    assert set(methods["full"]["details"]["rates"]) == {"0.001", "0.01"}
    assert methods["full"]["space"]["rates"] == [0.001, 0.01]
    assert methods["majority"]["kept"] == []
    for name, part in (
        ("soft_prompt", "run/prompt/prompt.json"),
        ("lora", "adapter/adapter_config.json"),
        ("lora_suffix", "adapter/adapter_config.json"),
        ("full", "model/config.json"),
        ("lora_prompt", "run/prompt/prompt.json"),
        ("full_prompt", "run/prompt/prompt.json"),
    ):
        kept = [tmp_path / "run" / folder for folder in methods[name]["kept"]]
        assert all(folder.is_dir() for folder in kept), name
        assert len(kept) == 1 + (name in ("lora_prompt", "full_prompt")), name
        assert (kept[-1] / Path(part).name).is_file(), name
        assert kept[-1] == tmp_path / "run" / "methods" / name / Path(part).parent
    seconds = methods["full"]["seconds"]
    assert seconds["search"] > 0
    energy = methods["full"]["energy"]["kwh"]
    hours = (seconds["search"] + seconds["training"]) / 3600
    assert methods["full"]["money"] == pytest.approx(3.6 * hours + 0.3 * energy)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == found

    # Begun again, nothing is measured again.
    again = Comparison(tmp_path / "run")
    assert again.missing() == []
    assert compare(again, apart=pytest.fail) == found


def test_no_second_process_goes_on_with_a_comparison(begun: Any) -> None:
    comparison = begun("majority")
    with comparison.directory.alone(), pytest.raises(UsageError, match="Another process works in"):
        compare(comparison)
    with comparison.directory.alone(), pytest.raises(UsageError, match="Another process works in"):
        comparison.change(CompareConfig(methods=("own_template",)))
    assert Comparison(comparison.directory.path).missing() == ["majority"]
    compare(comparison)
    assert comparison.missing() == []


def test_a_method_that_fails_is_written_down_and_tried_again(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job: Job) -> Trained:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    comparison = begun("majority", "full")
    right = METHODS.get("full")
    monkeypatch.setitem(METHODS._choices, "full", Method(failing, "full", 5))
    found = compare(comparison)
    told = {"error": "CUDA out of memory. Tried to allocate 2 GiB.", "kind": "memory"}
    assert found["errors"] == {"full": told}
    assert list(found["methods"]) == ["majority"]
    assert Comparison(tmp_path / "run").missing() == ["full"]
    monkeypatch.setitem(METHODS._choices, "full", right)
    assert compare(Comparison(tmp_path / "run"))["errors"] == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MemoryError(), "memory"), (RuntimeError("shapes differ"), "failed")],
)
def test_what_went_wrong_is_told_apart(
    begun: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    def failing(job: Job) -> Trained:
        raise error

    monkeypatch.setitem(METHODS._choices, "full", Method(failing, "full", 5))
    assert compare(begun("full"))["errors"]["full"]["kind"] == kind


def test_what_cannot_be_done_is_refused_before_it_is_trained(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(job: Job) -> None:
        raise UsageError("It has no layers.", "The nearest that works is soft_prompt.")

    def run(job: Job) -> Trained:
        return pytest.fail("trained")

    monkeypatch.setitem(METHODS._choices, "full", Method(run, "full", 5, check=refusing))
    found = compare(begun("majority", "full"))
    message = "It has no layers. The nearest that works is soft_prompt."
    assert found["errors"]["full"] == {"error": message, "kind": "refused"}
    assert list(found["methods"]) == ["majority"]
    # Neither settings nor backbone change, so nobody loads a model to refuse it again.
    assert Comparison(tmp_path / "run").missing() == []


def test_a_backbone_that_was_away_refuses_no_method(begun: Any, tmp_path: Path) -> None:
    comparison = begun("majority")
    weights = next((tmp_path / "model").glob("*.safetensors"))
    weights.rename(tmp_path / "away")
    assert compare(comparison)["errors"]["majority"]["kind"] == "failed"
    (tmp_path / "away").rename(weights)
    assert list(compare(Comparison(tmp_path / "run"))["methods"]) == ["majority"]


def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"[Uu]nknown method 'laura'"):
        begun("laura", folder="a")
    module = importlib.import_module("softprompt.comparison.given")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs peft, which is not installed"):
        begun("lora", folder="b")
    assert not (tmp_path / "b" / "run").exists()
    with pytest.raises(UsageError, match="holds no comparison"):
        Comparison(tmp_path / "c")
    begun("majority", folder="d")
    with pytest.raises(UsageError, match="already in use"):
        begun("majority", folder="d")
    with pytest.raises(ConfigError, match="cannot hold two rows"):
        begun("full", folder="e", curve=(3,))
    with pytest.raises(DataError, match="cannot be read"):
        begun("majority", folder="f", general=str(tmp_path / "absent.txt"))
    assert not (tmp_path / "f" / "run").exists()


@pytest.mark.parametrize(
    ("methods", "given", "told"),
    [
        (("full_prompt",), {"prompt": {"placement": "suffx"}}, "Unknown placement 'suffx'"),
        (("soft_prompt", "full"), {"prompt": {"depth": "deeep"}}, "Unknown depth 'deeep'"),
        (("soft_prompt",), {"prompt": {"initialisation": "text"}}, "`text` needs a text"),
        (("soft_prompt",), {"training": {"optimizer": "adamx"}}, "Unknown optimizer 'adamx'"),
        (("zero_shot",), {"training": {"hand_prompts": ("{txt} {answer}",)}}, "the column 'txt'"),
        (("zero_shot",), {"training": {"hand_prompts": ("{text} {prompt:2} {answer}",)}}, "slots"),
        (("majority",), {"model": "nowhere/at-all"}, "nowhere/at-all"),
    ],
)
def test_what_no_method_gets_past_is_refused_before_anything_is_written(
    begun: Any, tmp_path: Path, methods: tuple[str, ...], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(SoftPromptError) as error:
        begun(*methods, **given)
    assert told in str(error.value)
    assert not (tmp_path / "run").exists()


def test_settings_of_a_prompt_refuse_nothing_where_none_is_trained(begun: Any) -> None:
    assert begun("majority", prompt={"initialisation": "text"}).missing() == ["majority"]


def test_values_that_no_prompt_would_try_are_refused_at_once(begun: Any, tmp_path: Path) -> None:
    few = {"population": 1, "learning_rates": (0.1, 0.3)}
    with pytest.raises(UsageError, match=r"training\.learning_rates has 2 values, and 1 prompts"):
        begun("lora_prompt", training=few)
    assert not (tmp_path / "run").exists()


def test_a_curve_goes_on_where_it_was(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = begun("majority", "soft_prompt", "full", curve=(8, 16))
    found = compare(comparison)
    whole = len(comparison.task.train)
    assert set(found["curves"]) == {"soft_prompt", "full"}
    assert [rows for rows, _ in found["curves"]["full"]] == [8, 16, whole]
    last = found["methods"]["full"]["test"][found["metric"]]
    assert found["curves"]["full"][-1][1] == last
    assert [entry["rows"] for entry in found["rows_saved"]["full"]] == [8, 16, whole]
    # What was trained for a point is not kept, what was measured is.
    kept = tmp_path / "run" / "methods" / "full" / "rows-8"
    assert [file.name for file in kept.iterdir()] == ["result.json"]

    (kept / "result.json").unlink()
    again = Comparison(tmp_path / "run")
    assert again.missing() == ["full"]
    trained: list[int] = []
    right = METHODS.get("full")

    def noting(job: Job) -> Trained:
        trained.append(len(job.task.train))
        return right.run(job)

    monkeypatch.setitem(METHODS._choices, "full", Method(noting, "full", 5))
    assert compare(again)["curves"] == found["curves"]
    assert trained == [8]


def test_another_metric_is_what_is_compared_by(begun: Any) -> None:
    found = compare(begun("majority", "soft_prompt", training={"metric": "accuracy"}))
    assert found["metric"] == "accuracy"
    told = {name: method["test"]["accuracy"] for name, method in found["methods"].items()}
    assert told[found["recommendation"]["best"]] == max(told.values())


def test_free_text_is_compared_too(tmp_path: Path) -> None:
    data = tmp_path / "answers.jsonl"
    rows = [{"question": f"what is {n}", "answer": f"it is {n} or {n + 1}"} for n in range(60)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RunConfig.of(
        str(data),
        task={"input": "question", "target": "answer", "kind": "generation"},
        backbone={"model": str(save_tiny(tmp_path / "model")), "dtype": "fp32"},
        prompt={"length": 4},
        training={**FAST, "max_new_tokens": 3},
    )
    usual = Comparison.begin(tmp_path / "usual", config, CompareConfig())
    assert "majority" not in usual.how.methods
    names = ("majority", "few_shot", "soft_prompt", "lora_suffix", "full")
    how = CompareConfig(methods=names, **HOW)
    found = compare(Comparison.begin(tmp_path / "run", config, how))
    assert found["metric"] == "token_f1"
    assert set(found["methods"]) == set(names[1:])
    assert found["errors"]["majority"]["kind"] == "refused"
    assert found["methods"]["soft_prompt"]["forgetting"]["detached_identical"] == 1.0
    assert all(0 < found["methods"][n]["p_value"] <= 1 for n in names[1:] if n != "soft_prompt")
    assert (tmp_path / "run" / "report.html").is_file()


def test_forgetting_of_another_task(begun: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    lines = [f"the parcel came at {n},{'yes' if n % 2 else 'no'}" for n in range(40)]
    other.write_text("\n".join(["text,label", *lines]))
    found = compare(begun("soft_prompt", "full", other=str(other)))["methods"]
    scores = found["soft_prompt"]["forgetting"]["other"]
    assert scores["name"] == "other"
    assert scores["detached"] == scores["untouched"]
    assert scores["untouched"]["n"] == 40
    assert found["full"]["forgetting"]["other"]["detached"] is None
    assert 0 <= found["full"]["forgetting"]["other"]["attached"]["accuracy"] <= 1


def test_columns_of_another_task_are_named(begun: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    lines = [f"came at {n},{'yes' if n % 2 else 'no'},{'a' if n % 3 else 'b'}" for n in range(40)]
    other.write_text("\n".join(["text,late,kind", *lines, ",yes,a"]))
    with pytest.raises(DataError, match=r"Name them with --other-input and --other-target"):
        begun("soft_prompt", other=str(other), folder="a")
    named = {"other": str(other), "other_input": "text", "other_target": "kind"}
    # Its labels have words of their own, and its question.
    named |= {"other_choices": "a=early,b=late", "other_template": "{text}\nIt was {answer}"}
    with pytest.raises(DataError, match="label 'c', which no training row has"):
        begun("soft_prompt", folder="c", **{**named, "other_choices": "a=early,c=late"})
    with pytest.raises(ConfigError, match="--other-choices 0=negative"):
        CompareConfig(other_choices="a")
    comparison = begun("soft_prompt", folder="b", **named)
    found = compare(comparison)["methods"]["soft_prompt"]
    assert set(found["forgetting"]["other"]["untouched"]["per_class"]) == {"a", "b"}
    other_task = other_of(comparison.how)
    assert [choice.wording for choice in other_task.choices] == ["early", "late"]
    assert other_task.template is not None and "It was" in other_task.template.text


def test_what_an_untouched_model_does_not_do_cannot_be_forgotten() -> None:
    confusion = {"labels": ["0", "1"], "counts": [[0, 4], [0, 5]]}
    other = {"name": "dev", "untouched": {"confusion": confusion}}
    found = {
        "methods": {"majority": {"forgetting": None}, "lora": {"forgetting": {"other": other}}}
    }
    (line,) = other_told(found)
    assert line.startswith("dev: the untouched model does no better there than the most frequent")
    confusion["counts"] = [[1, 3], [1, 4]]
    assert len(other_told(found)) == 1
    confusion["counts"] = [[1, 3], [0, 5]]
    assert other_told(found) == []
    other["untouched"] = {"token_f1": 0.5}
    assert other_told(found) == []


def test_escalation_stops_where_it_does_not_pay(begun: Any, tmp_path: Path) -> None:
    # Of three validation rows nothing could be told apart.
    more = {"validation_share": 0.3}
    comparison = begun("full", "soft_prompt", "majority", "lora", escalate=True, task=more)
    measured: list[str] = []
    wrong = ["bad" if label == "good" else "good" for label in comparison.references()]
    guess = {"majority": wrong, "soft_prompt": wrong}

    def apart(name: str) -> None:
        measured.append(name)
        folder = RunDirectory(tmp_path / "run" / "methods" / name)
        folder.path.mkdir(parents=True)
        folder.write("result.json", a_result(comparison, guess[name]))

    found = compare(comparison, apart=apart)
    assert measured == ["majority", "soft_prompt"]
    assert found["escalation"]["stopped"] == "does_not_pay"
    assert found["escalation"]["steps"][-1]["than"] == "majority"
    assert found["errors"]["lora"]["kind"] == "not_needed"
    # Gone on with, it stops where it stopped.
    assert compare(Comparison(tmp_path / "run"), apart=pytest.fail) == found


def test_an_escalation_knows_what_was_measured_before(begun: Any, tmp_path: Path) -> None:
    comparison = begun("soft_prompt", escalate=True, task={"validation_share": 0.3})
    right = comparison.references()
    wrong = ["bad" if label == "good" else "good" for label in right]
    half = [*right[: len(right) // 2], *wrong[len(right) // 2 :]]
    guess = {"soft_prompt": half, "full": wrong}

    def apart(name: str) -> None:
        # What an earlier escalation came to says nothing of this one.
        assert Comparison(tmp_path / "run").report()["escalation"] is None
        folder = RunDirectory(tmp_path / "run" / "methods" / name)
        folder.path.mkdir(parents=True)
        folder.write("result.json", a_result(comparison, guess[name]))

    compare(comparison, apart=apart)
    comparison.change(CompareConfig(methods=("full",), escalate=True))
    found = compare(Comparison(tmp_path / "run"), apart=apart)["escalation"]
    assert (found["steps"][-1]["than"], found["stopped"]) == ("soft_prompt", "does_not_pay")


def a_result(comparison: Comparison, held: list[str]) -> dict[str, Any]:
    from softprompt.evaluation import score_classification

    task = comparison.task
    answers = ["good"] * len(task.test)
    right = [str(row.answer) for row in task.test]
    score = score_classification(comparison.references(), held, task.labels)
    return {
        "test": score_classification(right, answers, task.labels),
        "answers": answers,
        "validation_score": score["macro_f1"],
        "validation_answers": held,
        "trainable": 0,
        "stored_bytes": 0,
        "seconds": {},
    }


def test_weights_that_are_frozen_stay_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    backbone.model.requires_grad_(False)
    free = backbone.model.model.layers[1].mlp.down_proj.weight.requires_grad_()
    before = {name: p.detach().clone() for name, p in backbone.model.named_parameters()}
    scores: list[float] = []
    kept: list[torch.Tensor] = []

    def noted(score: float) -> None:
        scores.append(score)
        kept.append(free.detach().clone())

    lesson = Lesson(rate=1e-2, epochs=3, seed=0, metric="accuracy")
    learner = Learner(backbone)
    learned = learn(learner, of_task(learner, task, lesson), lesson, noted=noted)
    assert len(scores) == 3
    assert learned.score == max(scores)
    assert learned.epoch == scores.index(max(scores)) + 1
    assert torch.equal(free, kept[learned.epoch - 1])
    changed = [n for n, p in backbone.model.named_parameters() if not torch.equal(p, before[n])]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]
    with torch.no_grad():
        for name, parameter in backbone.model.named_parameters():
            parameter.copy_(before[name])
    backbone.model.requires_grad_(False)


def test_the_default_is_what_most_people_ask_for() -> None:
    names = CompareConfig().methods
    assert list(names) == sorted(names, key=lambda name: METHODS.get(name).cost)
    assert {"soft_prompt", "lora", "full"} <= set(names)


def test_a_metric_that_cannot_be_is_refused_before_anything_is_measured(
    begun: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be chosen by 'chrf'"):
        begun("majority", training={"metric": "chrf"}, folder="a")
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    (tmp_path / "model").mkdir()
    lines = [json.dumps({"question": f"q {n}", "answer": f"word {n}"}) for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    config = RunConfig.of(
        str(tmp_path / "pairs.jsonl"),
        backbone={"model": str(save_tiny(tmp_path / "model"))},
        training={"metric": "chrf"},
    )
    with pytest.raises(UsageError, match=r"needs a library .*softprompt\[generation\]"):
        Comparison.begin(tmp_path / "run", config, CompareConfig())
    assert not (tmp_path / "run").exists()
