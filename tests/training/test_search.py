"""A search: rounds are populations over the same contexts, it goes on, and the best is trained."""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_rows, feedback_task, tiny_backbone

from softprompt import SoftPrompt, search, tune
from softprompt.errors import ConfigError, DataError, DivergedError, UsageError
from softprompt.inference import Contexts
from softprompt.prompts import PromptConfig
from softprompt.tasks import Task
from softprompt.training import Reporter, TrainingConfig
from softprompt.training.loop import Loop
from softprompt.training.run_directory import RunDirectory
from softprompt.training.setup import Setup

pytest.importorskip("optuna")
TUNING = importlib.import_module("softprompt.training.tuning")
SEARCH = importlib.import_module("softprompt.training.search")
PLAN = importlib.import_module("softprompt.training.plan")
FAST: dict[str, Any] = {
    "rounds": 2,
    "population": 3,
    "epochs": 4,
    "batch_size": 8,
    "length": 4,
    "baselines": (),
    "survivors": 2,
    "ensemble": "off",
}


def run(folder: Path, output: str = "run", **settings: Any) -> dict[str, Any]:
    task = feedback_task(folder)
    return search(task, tiny_backbone(), folder / output, **{**FAST, **settings})


@pytest.fixture(autouse=True)
def hasty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, and no steps to find out how long a step takes, where that does not matter."""
    monkeypatch.setattr(TUNING, "draw_curves", lambda *_: None)
    if "time_budget" not in request.node.name:
        monkeypatch.setattr(PLAN, "_fastest", lambda work: 0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a search that nobody stopped."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def longer_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation scores that follow from the length alone."""

    def scores(*given: Any) -> list[tuple[float, dict[str, Any]]]:
        return [(len(vectors_PD) / 100, {}) for vectors_PD in given[-1]]

    monkeypatch.setattr(TUNING, "_scores", scores)


class Stopper(Reporter):
    """Presses Ctrl-C, or pulls the plug, in a round after that many of its steps."""

    def __init__(self, number: int, steps: int, *, hard: bool = False) -> None:
        self.number, self.steps, self.hard, self.now = number, steps, hard, 0

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        self.now = about["round"] if name == "round" else 0

    def progress(self, done: int, total: int) -> None:
        if (self.now, done) == (self.number, self.steps):
            if self.hard:
                raise OSError("no power")
            os.kill(os.getpid(), signal.SIGINT)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "search.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.usefixtures("longer_is_better")
def test_the_best_of_all_rounds_are_trained_in_full(tmp_path: Path) -> None:
    result = run(tmp_path, rounds=3)
    trials = result["search"]
    assert trials == lines(tmp_path / "run")
    assert [trial["round"] for trial in trials] == [1] * 3 + [2] * 3 + [3] * 3
    assert [trial["number"] for trial in trials] == list(range(9))
    assert {trial["length"] for trial in trials} == {2, 4, 8}
    assert all(trial["score"] == trial["length"] / 100 for trial in trials)
    best = sorted((trial["length"] for trial in trials), reverse=True)[:2]
    assert [candidate["length"] for candidate in result["population"]] == best
    settings = ("number", "learning_rate", "initialisation", "parametrisation", "seed")
    chosen = [{name: one[name] for name in settings} for one in result["population"]]
    assert all(c in [{name: t[name] for name in settings} for t in trials] for c in chosen)
    plans = [
        RunDirectory(folder).read("plan.json")
        for folder in (tmp_path / "run", *sorted((tmp_path / "run" / "rounds").iterdir()))
    ]
    steps = [plan["steps"] for plan in plans if plan is not None]
    assert steps[0] == result["steps"]
    assert steps[1:] == [steps[0] // 4] * 3
    json.dumps(result, allow_nan=False)


def test_the_result_has_the_shape_of_a_run(tmp_path: Path) -> None:
    from softprompt import tune

    tuned = tune(feedback_task(tmp_path), tiny_backbone(), tmp_path / "tuned", epochs=1, length=4)
    result = run(tmp_path, baselines=("majority", "zero_shot"))
    assert set(result) == {*tuned, "search"}
    assert result["stopped"] == "finished"
    prompt = SoftPrompt.load(result["prompt"])
    assert prompt.config["search"] == {"rounds": 2, "share": 0.3}
    assert prompt.metrics["test"] == result["test"]
    assert run(tmp_path, baselines=("majority", "zero_shot")) == result


def test_contexts_are_made_once_and_test_rows_read_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    finishing = importlib.import_module("softprompt.training.result")
    answer, step, fill = finishing.answer, Loop.train_step, Contexts.fill
    test = {row.number for row in feedback_task(tmp_path).test}

    def answered(backbone: Any, task: Any, encoded: Any, *rest: Any, **named: Any) -> Any:
        rows = {row.number for row in encoded.rows}
        assert rows == test or not rows & test
        events.append("test" if rows == test else "validation")
        return answer(backbone, task, encoded, *rest, **named)

    def stepped(self: Loop) -> None:
        events.append("step")
        step(self)

    def filled(self: Contexts, *given: Any, **named: Any) -> int:
        events.append("contexts")
        return fill(self, *given, **named)

    monkeypatch.setattr(finishing, "answer", answered)
    monkeypatch.setattr(Loop, "train_step", stepped)
    monkeypatch.setattr(Contexts, "fill", filled)
    run(tmp_path)
    assert events[:2] == ["contexts"] * 2
    assert events.count("contexts") == 2
    assert events.count("test") == 1
    assert events[-1] == "test"


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(("number", "steps"), [(1, 3), (2, 3)])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, whole: dict[str, Any], number: int, steps: int, hard: bool
) -> None:
    stopper = Stopper(number, steps, hard=hard)
    if hard:
        with pytest.raises(OSError, match="no power"):
            run(tmp_path, reporter=stopper)
        assert not (tmp_path / "run" / "prompt").exists()
    else:
        early = run(tmp_path, reporter=stopper)
        assert (early["stopped"], early["test"]) == ("interrupted", None)
        assert [trial["round"] for trial in early["search"]] == [1] * 3 * (number - 1)
        SoftPrompt.load(early["prompt"])
    result = run(tmp_path)
    assert result["search"] == whole["search"]
    assert result["population"] == whole["population"]
    members = [SoftPrompt.load(which["prompt"]).members for which in (result, whole)]
    assert all(torch.equal(a, b) for a, b in zip(*members, strict=True))


def test_the_run_after_the_rounds_goes_on_too(tmp_path: Path) -> None:
    class AtTheEnd(Stopper):
        def stage(self, name: str, about: Mapping[str, Any]) -> None:
            self.now = 3 if name == "training" else 0

    early = run(tmp_path, reporter=AtTheEnd(3, 5))
    assert early["stopped"] == "interrupted"
    assert len(early["search"]) == 6
    result = run(tmp_path)
    assert result["stopped"] == "finished"
    assert result["search"] == early["search"]


@pytest.mark.usefixtures("longer_is_better")
def test_an_interrupted_search_keeps_the_best_prompt_of_all_rounds(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no power"):
        run(tmp_path, reporter=Stopper(2, 1, hard=True))
    best = lines(tmp_path / "run")[2]
    assert (best["length"], best["score"]) == (8, 0.08)
    # The second round's candidates become shorter ones, so that none of them is better.
    file = tmp_path / "run" / "rounds" / "2" / "plan.json"
    plan = json.loads(file.read_text("utf-8"))
    for about in plan["candidates"]:
        about["length"] = 2
    file.write_text(json.dumps(plan), "utf-8")
    early = run(tmp_path, reporter=Stopper(2, 2))
    assert early["stopped"] == "interrupted"
    assert early["population"] == [{k: v for k, v in best.items() if k != "round"}]
    assert SoftPrompt.load(early["prompt"]).length == 8


@pytest.mark.usefixtures("longer_is_better")
def test_only_the_best_rounds_checkpoints_stay(tmp_path: Path) -> None:
    run(tmp_path, rounds=3)
    kept = [path.parent.name for path in (tmp_path / "run" / "rounds").glob("*/checkpoints")]
    assert kept == ["1"]


def test_changed_data_are_refused_between_rounds(tmp_path: Path) -> None:
    class Between(Reporter):
        def stage(self, name: str, about: Mapping[str, Any]) -> None:
            if about.get("round") == 2:
                raise OSError("no power")

    with pytest.raises(OSError, match="no power"):
        run(tmp_path, reporter=Between())
    rows = [json.dumps(row, ensure_ascii=False) for row in feedback_rows(50)]
    (tmp_path / "feedback.jsonl").write_text("\n".join(rows), encoding="utf-8")
    changed = Task.from_file(tmp_path / "feedback.jsonl")
    with pytest.raises(UsageError, match="The data have changed since the run began"):
        search(changed, tiny_backbone(), tmp_path / "run", **FAST)


def test_a_round_without_scores_does_not_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, begun = Loop.losses, []

    def broken(
        self: Loop, batch: Any, prompts: Sequence[Any], members: Any = ()
    ) -> Iterator[torch.Tensor]:
        second = self.members[0].candidate.number == 3
        begun.append(second)
        for losses in right(self, batch, prompts, members):
            yield losses * float("inf") if second else losses

    monkeypatch.setattr(Loop, "losses", broken)
    result = run(tmp_path, rounds=3)
    assert any(begun)
    scores = [trial["score"] is None for trial in result["search"]]
    assert scores == [False] * 3 + [True] * 3 + [False] * 3
    assert not {3, 4, 5} & {candidate["number"] for candidate in result["population"]}

    monkeypatch.setattr(Loop, "losses", lambda *given: (x * float("nan") for x in right(*given)))
    with pytest.raises(DivergedError, match="The loss is not finite"):
        run(tmp_path, "hopeless")


def test_the_time_budget_is_for_everything(tmp_path: Path) -> None:
    run(tmp_path, rounds=2, epochs=4000, patience=4000, time_budget=2.0)
    plans = [RunDirectory(tmp_path / "run" / part).read("plan.json") for part in ("", "rounds/2")]
    assert plans[0] is not None
    assert plans[1] is not None
    # Half of the budget is the run's, and each of two rounds has half of the other half.
    for plan, share in zip(plans, (1.0, 0.3), strict=True):
        assert plan["steps"] < share * 4000 * plan["steps_per_epoch"]


def test_a_prompt_in_two_pieces_keeps_its_length(tmp_path: Path) -> None:
    trials = run(tmp_path, placement="both", rounds=1)["search"]
    assert {trial["length"] for trial in trials} == {4}


def test_a_run_without_a_search_is_not_gone_on_with_as_one(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    plain = {name: value for name, value in FAST.items() if name != "rounds"}
    tune(task, tiny_backbone(), tmp_path / "run", **plain)
    with pytest.raises(UsageError, match=r"begun with other settings: search\.rounds differ"):
        run(tmp_path)


def test_what_is_fixed_is_not_searched(tmp_path: Path) -> None:
    fixed = {"lengths": (3,), "parametrisations": ("direct",), "learning_rates": (0.2, 0.4)}
    trials = run(tmp_path, initialisation="vocabulary", length=None, **fixed)["search"]
    axes = {(t["length"], t["parametrisation"], t["initialisation"]) for t in trials}
    assert axes == {(3, "direct", "vocabulary")}
    assert all(0.2 <= trial["learning_rate"] <= 0.4 for trial in trials)


def test_who_names_a_method_gets_that_one(tmp_path: Path) -> None:
    trials = run(tmp_path, method="p-tuning", rounds=1)["search"]
    assert {trial["parametrisation"] for trial in trials} == {"encoder"}
    trials = run(tmp_path, "other", parametrisation="low_rank", rounds=1)["search"]
    assert {trial["parametrisation"] for trial in trials} == {"low_rank"}


def test_only_lengths_that_can_be_are_tried(tmp_path: Path) -> None:
    text = "A document of a few words that a prompt begins as, and no longer than that."
    tokens = len(tiny_backbone().encode(text))
    whole = {"method": "ct-kv", "text": text, "rounds": 1}
    trials = run(tmp_path, length=tokens - 1, **whole)["search"]
    assert {trial["length"] for trial in trials} == {tokens - 1, (tokens - 1) // 2}
    # Rows that fit at the length that is given are neither refused nor left out.
    task = feedback_task(tmp_path)
    longest = max(len(row.columns["text"]) for row in (*task.train, *task.validation, *task.test))
    backbone = tiny_backbone()
    given: dict[str, Any] = {**FAST, "rounds": 1, "length": backbone.window - longest - 20}
    result = search(task, backbone, tmp_path / "long", **given)
    assert max(trial["length"] for trial in result["search"]) == given["length"]


def test_what_was_tried_stays_to_be_tried(tmp_path: Path) -> None:
    """Where an older version has opened an axis further, its search goes on."""
    prompt, training = PromptConfig(method="p-tuning", length=4), TrainingConfig()
    setup = Setup.of(feedback_task(tmp_path), tiny_backbone(), prompt, training)
    before = SEARCH._opened(setup, [])
    assert before.training.parametrisations == ("encoder",)
    after = SEARCH._opened(setup, [{"parametrisation": "low_rank", "length": 16}])
    assert after.training.parametrisations == ("encoder", "low_rank")
    assert after.training.lengths == (4, 2, 8, 16)
    assert after.layout.length == 16


def test_slots_keep_their_lengths(tmp_path: Path) -> None:
    feedback_task(tmp_path)
    task = Task.from_file(
        tmp_path / "feedback.jsonl", template="{prompt:2}{text}{prompt:3} {answer}"
    )
    result = search(task, tiny_backbone(), tmp_path / "run", **{**FAST, "length": 8})
    assert {trial["length"] for trial in result["search"]} == {5}


@pytest.mark.parametrize("damage", ["{", '{"number": 3}\n', "[1]\n"])
def test_damaged_trials_are_refused(tmp_path: Path, damage: str) -> None:
    run(tmp_path, reporter=Stopper(2, 1))
    file = tmp_path / "run" / "search.jsonl"
    file.write_text(file.read_text("utf-8") + damage, "utf-8")
    with pytest.raises(UsageError, match=r"search\.jsonl is damaged or cannot be read"):
        run(tmp_path)


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.share cannot be 2"):
        run(tmp_path, share=2)
    with pytest.raises(UsageError, match="Unknown setting 'shar'"):
        run(tmp_path, shar=0.5)
    with pytest.raises(DataError, match="no column 'prt'"):
        run(tmp_path, slice_column="prt")
    assert not (tmp_path / "run").exists()


def test_a_search_does_not_grow(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"A search tries lengths at once"):
        run(tmp_path, grow_to=16, length=8)
    assert not (tmp_path / "run").exists()
