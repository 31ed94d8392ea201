"""What a search tries next: evenly at first, then near what scored well."""

from __future__ import annotations

import math
import statistics
import sys
import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from softprompt.errors import UsageError
from softprompt.training.candidates import Candidate, widely_around
from softprompt.training.proposals import Space, propose

optuna = pytest.importorskip("optuna")
SPACE = Space(widely_around(0.3), ("labels", "random"), ("direct", "residual"), (8, 16, 32))


def score(candidate: Candidate) -> float:
    """Best at a rate of 0.1 and a length of 32."""
    return 1.0 - abs(math.log10(candidate.learning_rate / 0.1)) - 0.5 * (candidate.length != 32)


def after(rounds: int, seed: int = 0) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = []
    for _ in range(rounds):
        found = propose(SPACE, trials, 8, seed)
        trials += [{**candidate.as_dict(), "score": score(candidate)} for candidate in found]
    return trials


def distance(trials: list[dict[str, Any]]) -> float:
    return statistics.mean(abs(math.log10(trial["learning_rate"] / 0.1)) for trial in trials)


def test_the_first_round_is_spread_evenly_and_has_the_configured_prompt() -> None:
    first = propose(SPACE, [], 8, 0)
    assert (first[0].learning_rate, first[0].initialisation, first[0].length) == (0.3, "labels", 8)
    assert {candidate.learning_rate for candidate in first} == {0.3, 0.03, 3.0, 0.1, 0.9}
    assert [candidate.initialisation for candidate in first].count("random") == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_later_rounds_go_where_the_scores_are(seed: int) -> None:
    trials = after(8, seed=seed)
    assert distance(trials[32:]) < 0.6 * distance(trials[:8])
    longest = [trial["length"] == 32 for trial in trials]
    assert sum(longest[32:]) / 32 > 0.5
    assert all(0.03 <= trial["learning_rate"] <= 3.0 for trial in trials)


def test_candidates_of_a_round_keep_apart() -> None:
    rates = sorted(trial["learning_rate"] for trial in after(3)[16:])
    assert min(b / a for a, b in pairwise(rates)) > 1.001


def test_proposals_follow_from_the_trials_alone() -> None:
    trials = after(3)
    assert after(3) == trials
    assert after(3, seed=1)[8:] != trials[8:]
    assert propose(SPACE, trials, 8, 0) == propose(SPACE, trials, 8, 0)
    assert [trial["number"] for trial in trials] == list(range(24))
    assert len({trial["seed"] for trial in trials}) == 24


def test_what_has_no_score_is_worse_than_what_has_one() -> None:
    trials = after(2)
    worst = min(trials, key=lambda trial: float(trial["score"]))
    without, low = (
        [{**trial, "score": told if trial is worst else trial["score"]} for trial in trials]
        for told in (None, -9.0)
    )
    assert propose(SPACE, without, 8, 0) == propose(SPACE, low, 8, 0)
    best = [{**trial, "score": 9.0 if trial is worst else trial["score"]} for trial in trials]
    assert propose(SPACE, without, 8, 0) != propose(SPACE, best, 8, 0)


def test_axes_with_a_single_value_stay_there() -> None:
    space = Space((0.3,), ("labels",), ("direct",), (4,))
    trials: list[Mapping[str, Any]] = []
    for _ in range(3):
        trials += [{**c.as_dict(), "score": 0.5} for c in propose(space, trials, 5, 0)]
    assert {(t["learning_rate"], t["initialisation"], t["length"]) for t in trials} == {
        (0.3, "labels", 4)
    }


def test_a_trial_outside_the_space_is_refused() -> None:
    trials = after(1)
    with pytest.raises(UsageError, match="Trial 3 of the search lies outside the space"):
        propose(SPACE, [*trials[:3], {**trials[3], "initialisation": "text"}], 8, 0)


def test_without_optuna_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"needs the library 'optuna'.*softprompt\[search\]"):
        propose(SPACE, [], 8, 0)


def test_optuna_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after(3)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
