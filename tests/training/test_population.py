"""Populations: what training them together gives is what each would give alone."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

from softprompt import SoftPrompt, evaluate, predict, tune
from softprompt.errors import UsageError
from softprompt.training import Reporter
from softprompt.training.candidates import around, draw, halvings
from softprompt.training.memory import fit, kept_bytes
from softprompt.training.run_directory import RunDirectory

TUNING = importlib.import_module("softprompt.training.tuning")
FAST: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "length": 4,
    "baselines": (),
    "readout": "off",
}


def run(folder: Path, output: str = "run", **settings: Any) -> dict[str, Any]:
    return tune(feedback_task(folder), tiny_backbone(), folder / output, **{**FAST, **settings})


def candidates(count: int, seed: int = 0) -> tuple[Any, ...]:
    return draw(
        count,
        seed,
        learning_rates=around(0.3),
        initialisations=("labels", "random"),
        parametrisations=("direct",),
        lengths=(4,),
    )


def test_the_first_candidate_is_the_configured_prompt() -> None:
    first, second, third, fourth, *_ = candidates(6)
    assert (first.learning_rate, first.initialisation, first.length) == (0.3, "labels", 4)
    assert (second.learning_rate, second.initialisation) == (0.1, "random")
    assert third.learning_rate == 0.9
    assert fourth.initialisation == "random"


def test_a_population_is_spread_over_every_axis() -> None:
    drawn = draw(
        6,
        0,
        learning_rates=(1.0, 2.0, 3.0),
        initialisations=("a", "b", "c"),
        parametrisations=("x", "y"),
        lengths=(4, 8, 16),
    )
    for axis, most in (("learning_rate", 2), ("initialisation", 2), ("length", 2)):
        values = [getattr(candidate, axis) for candidate in drawn]
        assert max(values.count(value) for value in values) == most, axis
    assert [c.parametrisation for c in drawn].count("x") == 3


def test_candidates_of_all_runs_have_seeds_of_their_own() -> None:
    seeds = [c.seed for seed in range(3) for c in candidates(8, seed)]
    assert len(set(seeds)) == len(seeds)


def test_a_population_halves_down_to_the_survivors() -> None:
    assert halvings(1000, 16, 4, (0.1, 0.3)) == ((100, 8), (300, 4))
    assert halvings(1000, 16, 4, (0.3, 0.1)) == ((100, 8), (300, 4))
    assert halvings(1000, 8, 4, (0.2,)) == ((200, 4),)
    assert halvings(1000, 4, 4, (0.2,)) == ()
    assert halvings(1000, 8, 4, ()) == ()


@pytest.mark.parametrize("placement", ["suffix", "prefix", "front"])
def test_training_together_is_training_alone(tmp_path: Path, placement: str) -> None:
    settings = {
        "placement": placement,
        "learning_rates": (0.3, 1.0),
        "initialisations": ("labels", "random"),
        "parametrisations": ("direct", "residual"),
        # Muon's own products are in bfloat16, which would hide what is compared.
        "optimizer": "adamw",
    }
    run(tmp_path, population=8, survivors=8, halvings=(), ensemble=8, **settings)
    plan = RunDirectory(tmp_path / "run").read("plan.json")
    assert plan is not None
    together = final_vectors(tmp_path / "run", 8)
    for number in (0, 3, 5, 6):
        about = plan["candidates"][number]
        alone = {
            "placement": placement,
            "optimizer": "adamw",
            "learning_rate": about["learning_rate"],
            "initialisation": about["initialisation"],
            "parametrisation": about["parametrisation"],
        }
        first_seed = draw_seed_of(tmp_path, about["seed"], alone)
        difference = (first_seed - together[number]).norm() / first_seed.norm()
        assert float(difference) < 2e-3, (number, float(difference))


def test_every_value_that_is_given_is_tried(tmp_path: Path) -> None:
    rates = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
    found = run(tmp_path, population=None, learning_rates=rates, epochs=1)["population"]
    assert {one["learning_rate"] for one in found} == set(rates)
    alone = {"learning_rates": (0.05,), "initialisations": ("random",), "parametrisations": ()}
    (one,) = run(tmp_path, "alone", population=1, epochs=1, **alone)["population"]
    assert (one["learning_rate"], one["initialisation"]) == (0.05, "random")
    grown = run(tmp_path, "grown", ensemble=5, learning_rates=rates, epochs=1)["population"]
    assert {one["learning_rate"] for one in grown} == set(rates)
    with pytest.raises(UsageError, match=r"training\.learning_rates has 8 values, and 6 prompts"):
        run(tmp_path, "few", population=6, learning_rates=rates)
    with pytest.raises(UsageError, match=r"lengths and by prompt\.length"):
        run(tmp_path, "twice", population=3, lengths=(2, 4), length=6)
    assert not (tmp_path / "few").exists() and not (tmp_path / "twice").exists()


def final_vectors(folder: Path, count: int) -> list[torch.Tensor]:
    """The vectors at the end of training, not the best ones, of every member in order."""
    from softprompt.training.checkpoint import Checkpoint

    checkpoint = Checkpoint.newest(folder / "checkpoints")
    assert checkpoint is not None
    return [checkpoint.tensors[f"member.{number}.module.vectors_PD"] for number in range(count)]


def draw_seed_of(folder: Path, seed: int, settings: dict[str, Any]) -> torch.Tensor:
    """The final vectors of a run of one prompt, its candidate given that seed."""
    import softprompt.training.setup as setup_module

    with pytest.MonkeyPatch.context() as patch:
        right = setup_module.draw

        def with_seed(*args: Any, **kwargs: Any) -> Any:
            from dataclasses import replace

            return tuple(replace(c, seed=seed) for c in right(*args, **kwargs))

        patch.setattr(setup_module, "draw", with_seed)
        run(folder, f"alone-{seed}", population=1, **settings)
    return final_vectors(folder / f"alone-{seed}", 1)[0]


def test_passes_of_few_examples_give_the_same_step(tmp_path: Path) -> None:
    run(tmp_path, "whole", population=2, survivors=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TUNING, "fit_loop", lambda *_: (2, 3))
        run(tmp_path, "parts", population=2, survivors=2)
    plan = RunDirectory(tmp_path / "parts").read("plan.json")
    assert plan is not None
    assert plan["part"] == 3
    for whole, parts in zip(
        final_vectors(tmp_path / "whole", 2), final_vectors(tmp_path / "parts", 2), strict=True
    ):
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4)


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_a_population_too_large_for_memory_shrinks_with_a_message(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TUNING, "free_memory_budget", lambda *_: 400_000)
        result = run(tmp_path, population=64, reporter=heard)
    assert any("Memory holds" in text and "of the 64 prompts" in text for text in heard.warnings)
    assert len(result["population"]) < 64


def test_what_a_pass_keeps_is_counted_without_the_constants() -> None:
    weight = torch.ones(100, 100)
    x = torch.ones(10, 100, requires_grad=True)
    everything = kept_bytes(lambda: (x @ weight).exp().sum(), set())
    without = kept_bytes(lambda: (x @ weight).exp().sum(), {weight.untyped_storage().data_ptr()})
    assert everything - without == 40_000
    assert without == 4_000


def test_memory_is_planned_for_the_longest_prompt(tmp_path: Path) -> None:
    counted: dict[tuple[int, ...], int] = {}

    def noted(row: int, *_: int) -> tuple[int, int]:
        counted[lengths] = row
        return 2, 8

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softprompt.training.memory.fit", noted)
        for number, lengths in enumerate([(4, 64), (64,), (4,)]):
            run(tmp_path, f"run-{number}", population=2, length=None, lengths=lengths, epochs=1)
    assert counted[4, 64] == counted[64,] > 2 * counted[4,]


def test_fitting_keeps_at_least_one() -> None:
    assert fit(100, 10**9, 8, 16) == (8, 16)
    assert fit(100, 150 * 40, 8, 16) == (8, 5)
    assert fit(10**9, 1, 8, 16) == (1, 1)


def test_the_report_says_who_won_and_who_was_given_up(tmp_path: Path) -> None:
    result = run(tmp_path, population=6, survivors=2, halvings=(0.4,), epochs=5)
    population = result["population"]
    assert sorted(c["number"] for c in population) == list(range(6))
    gone = [c for c in population if c["left"] is not None]
    assert len(gone) == 4
    assert [c["left"] for c in population[:2]] == [None, None]
    assert population[0]["score"] >= population[1]["score"]
    assert result["ensemble"]["members"] == 2
    assert len(result["ensemble"]["members_test"]) == 2
    assert 0 <= result["selection"]["p_value"] <= 1
    prompt = SoftPrompt.load(result["prompt"])
    assert len(prompt.members) == result["selection"]["members"]
    assert [dict(c) for c in prompt.population] == population


def test_an_ensemble_is_saved_used_and_measured_as_one(tmp_path: Path) -> None:
    result = run(tmp_path, population=3, survivors=3, ensemble=3, length=None, lengths=(4, 6, 2))
    prompt = SoftPrompt.load(result["prompt"])
    assert [len(vectors) for vectors in prompt.members] != [4, 4, 4]
    assert sorted(prompt.tensors) == ["member.0.vectors", "member.1.vectors", "member.2.vectors"]
    with pytest.raises(UsageError, match="an ensemble of 3 members"):
        _ = prompt.vectors
    task = feedback_task(tmp_path)
    predictions = predict(prompt, [row.columns["text"] for row in task.test], tiny_backbone())
    right = sum(p.answer == row.answer for p, row in zip(predictions, task.test, strict=True))
    assert right / len(task.test) == pytest.approx(result["test"]["accuracy"])
    assert evaluate(prompt, tmp_path / "feedback.jsonl", tiny_backbone())["n"] == 60
    # The mean of what the members say alone.
    from dataclasses import replace

    text = [task.test[0].columns["text"]]
    alone = [
        predict(replace(prompt, tensors={"vectors": v}), text, tiny_backbone())[0].probabilities
        for v in prompt.members
    ]
    for label, probability in predictions[0].probabilities.items():
        mean = sum(chances[label] for chances in alone) / 3
        assert probability == pytest.approx(mean, abs=1e-4)


def test_validations_tell_what_all_have_together(tmp_path: Path) -> None:
    # Vectors that hardly move: every member's best ones are those of every validation.
    settings: dict[str, Any] = {"epochs": 1, "metric": "accuracy", "learning_rate": 1e-9}
    result = run(tmp_path, population=3, survivors=3, ensemble=3, **settings)
    records = RunDirectory(tmp_path / "run").records()
    assert records[0]["step"] == 0
    for record in records:
        assert record["together"] == pytest.approx(result["ensemble"]["validation"]["accuracy"])
    run(tmp_path, "one", population=1)
    assert all("together" not in r for r in RunDirectory(tmp_path / "one").records())


def test_validations_tell_what_is_kept_with_the_readout(tmp_path: Path) -> None:
    # Large vectors that hardly move are sure of what they do not know.
    settings: dict[str, Any] = {"epochs": 1, "metric": "accuracy", "learning_rate": 1e-9}
    several = {"population": 3, "survivors": 3, "ensemble": 3, "readout": "on"}
    result = run(tmp_path, **several, **settings)
    for record in RunDirectory(tmp_path / "run").records():
        assert record["together"] == pytest.approx(result["validation"]["accuracy"])


def test_an_ensemble_of_many_has_as_many_prompts(tmp_path: Path) -> None:
    result = run(tmp_path, ensemble=7, epochs=1, population=None, halvings=())
    assert len(SoftPrompt.load(result["prompt"]).members) == len(result["population"]) == 7
    fewer = {"survivors": 3, "population": 8}, {"survivors": 8, "population": 3}
    for settings in fewer:
        with pytest.raises(UsageError, match="An ensemble of 7 needs as many prompts"):
            run(tmp_path, "refused", ensemble=7, **settings)
    assert not (tmp_path / "refused").exists()


def test_a_single_prompt_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    result = run(tmp_path, population=3, survivors=3, ensemble="off")
    assert all("together" not in r for r in RunDirectory(tmp_path / "run").records())
    assert result["ensemble"] is None
    assert len(SoftPrompt.load(result["prompt"]).members) == 1


def test_a_diverged_candidate_leaves_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.training.loop import Loop

    right = Loop.losses

    def broken(self: Loop, batch: Any, prompts: Any, members: Any = ()) -> Iterator[torch.Tensor]:
        for losses in right(self, batch, prompts, members):
            factor = torch.ones(len(prompts))
            if self.step == 4 and len(prompts) == 3:
                factor[1] = float("inf")
            yield losses * factor

    monkeypatch.setattr(Loop, "losses", broken)
    heard = Heard()
    result = run(tmp_path, population=3, survivors=3, reporter=heard)
    assert any("Candidate 1 (learning rate 0.1) diverged" in text for text in heard.warnings)
    assert {c["number"] for c in result["population"] if c["left"] is not None} == {1}


def test_free_text_has_a_population_and_one_author(tmp_path: Path) -> None:
    from softprompt.tasks import Task

    feedback_task(tmp_path)
    task = Task.from_file(tmp_path / "feedback.jsonl", kind="generation", target="label")
    result = tune(task, tiny_backbone(), tmp_path / "run", max_new_tokens=4, **FAST)
    assert len(result["population"]) == 4
    assert result["ensemble"] is None
    assert len(SoftPrompt.load(result["prompt"]).members) == 1


def test_slots_cannot_have_several_lengths(tmp_path: Path) -> None:
    from softprompt.tasks import Task

    feedback_task(tmp_path)
    task = Task.from_file(tmp_path / "feedback.jsonl", template="{prompt:2}{text} {answer}")
    with pytest.raises(UsageError, match=r"by the template's slots and by training.lengths"):
        tune(task, tiny_backbone(), tmp_path / "run", **{**FAST, "lengths": (4, 8)})
