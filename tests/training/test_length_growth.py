"""Growth: twice the vectors as long as validation rows say that it pays, resumed as a run is."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, tune
from softprompt.errors import DivergedError, UsageError
from softprompt.tasks import Task
from softprompt.training import Reporter
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.growth import Growth, first_length, lengths_to
from softprompt.training.loop import Loop
from softprompt.training.reporters import REPORTERS
from softprompt.training.run_directory import RunDirectory

FAST: dict[str, Any] = {
    "grow_to": 16,
    "population": 2,
    "survivors": 2,
    "epochs": 2,
    "batch_size": 8,
    "baselines": (),
    "ensemble": "off",
}


def run(folder: Path, output: str = "run", **settings: Any) -> dict[str, Any]:
    return tune(feedback_task(folder), tiny_backbone(), folder / output, **{**FAST, **settings})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = importlib.import_module("softprompt.training.plan")
    monkeypatch.setattr(plan, "_fastest", lambda work: 0.01)


def test_lengths_double_up_to_the_longest() -> None:
    assert lengths_to(64) == (8, 16, 32, 64)
    assert lengths_to(20) == (8, 16, 20)
    assert lengths_to(8) == (8,)
    assert lengths_to(3) == (3,)


@pytest.mark.parametrize(("chance", "length"), [(0.01, 16), (0.5, 8)])
def test_the_longer_prompt_is_kept_where_it_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: float, length: int
) -> None:
    monkeypatch.setattr(Growth, "_gain", lambda *_: (0.1, chance))
    result = run(tmp_path)
    prompt = SoftPrompt.load(result["prompt"])
    assert prompt.vectors.shape[0] == length
    assert [one["length"] for one in result["growth"]] == [8, 16]
    assert result["growth"][1]["kept"] == (length == 16)
    assert result["population"][0]["length"] == length
    records = RunDirectory(tmp_path / "run").records()
    assert records == RunDirectory(tmp_path / "run" / "lengths" / str(length)).records() != []


def test_a_length_begins_at_the_best_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[int, torch.Tensor] = {}
    found: dict[int, torch.Tensor] = {}
    right = Loop.run

    def watched(self: Loop, course: Any) -> Any:
        member = self.members[0]
        begun[member.candidate.length] = member.initial_PX
        outcome = right(self, course)
        found[member.candidate.length] = outcome.members[0].best_PX
        return outcome

    monkeypatch.setattr(Loop, "run", watched)
    run(tmp_path)
    assert torch.equal(begun[16][-8:], found[8])


def test_the_gain_is_that_of_the_rows(tmp_path: Path) -> None:
    first, second = run(tmp_path, population=1)["growth"]
    assert first["kept"] is True
    assert -1 <= second["gain"] <= 1
    assert 0 < second["p_value"] <= 1
    assert second["kept"] == (second["gain"] > 0 and second["p_value"] < 0.05)


def test_an_interrupted_growth_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Growth, "_gain", lambda *_: (0.1, 0.01))
    whole = run(tmp_path)

    right = Loop.train_step

    def stopping(self: Loop) -> None:
        if self.members[0].candidate.length == 16 and self.step == 5:
            raise KeyError("stopped")
        right(self)

    arguments = (feedback_task(tmp_path), tiny_backbone(), tmp_path / "again")
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "train_step", stopping)
        with pytest.raises(KeyError, match="stopped"):
            tune(*arguments, **FAST, checkpoint_seconds=0)
    assert Checkpoint.newest(tmp_path / "again" / "lengths" / "16" / "checkpoints")
    again = tune(*arguments, **FAST, checkpoint_seconds=0)
    assert again["growth"] == whole["growth"]
    first, second = (SoftPrompt.load(result["prompt"]).vectors for result in (whole, again))
    assert torch.equal(first, second)


def test_a_longer_prompt_that_diverges_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Loop.run

    def diverging(self: Loop, course: Any) -> Any:
        if self.members[0].candidate.length > 8:
            raise DivergedError("The loss is not finite.", "")
        return right(self, course)

    monkeypatch.setattr(Loop, "run", diverging)
    result = run(tmp_path)
    assert SoftPrompt.load(result["prompt"]).vectors.shape[0] == 8


def test_one_setting_says_how_long_a_prompt_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"by training.lengths and by training.grow_to"):
        run(tmp_path, lengths=(4, 8))
    with pytest.raises(UsageError, match=r"by training.grow_to and by prompt.length"):
        run(tmp_path, length=12)
    task = Task.from_file(
        tmp_path / "feedback.jsonl", template="{prompt:2}{text}\nLabel:{prompt:3} {answer}"
    )
    with pytest.raises(UsageError, match=r"by the template's slots and by training.grow_to"):
        tune(task, tiny_backbone(), tmp_path / "slots", **FAST)


def test_a_prompt_in_two_pieces_has_one_length(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'both' stands in several pieces, and training.grow_to"):
        run(tmp_path, placement="both")


def test_packed_contexts_and_reporters_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    class Heard(Reporter):
        def record(self, record: Any) -> None:
            heard.append(record["step"])

    monkeypatch.setitem(REPORTERS._choices, "trackio", lambda *_: Heard())
    monkeypatch.setattr(Growth, "_gain", lambda *_: (0.1, 0.5))
    result = run(tmp_path, cache_precision="half", reporters=("trackio",))
    assert result["cache_loss_change"] > 0
    records = RunDirectory(tmp_path / "run").records()
    assert heard == [record["step"] for record in records] != []
    parts = [tmp_path / "run" / "lengths" / name / "metrics.jsonl" for name in ("8", "16")]
    assert all(part.is_file() for part in parts)
    assert first_length(tmp_path / "run").path.name == "8"
