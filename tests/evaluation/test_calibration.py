"""Probabilities and the fitted temperature against direct computation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from softprompt.evaluation import fit_temperature, probabilities


def sampled(temperature: float, n: int = 4000) -> tuple[NDArray[np.float64], list[int]]:
    """Log-scores that are right when divided by `temperature`, and answers drawn from them."""
    rng = np.random.default_rng(0)
    log_scores = rng.normal(0, 2, (1, n, 3)) * temperature
    chances = np.exp(log_scores[0] / temperature)
    chances /= chances.sum(1, keepdims=True)
    return log_scores, [int(rng.choice(3, p=row)) for row in chances]


def test_probabilities_are_shares_of_the_exponentials() -> None:
    given = probabilities(np.array([[[np.log(1.0), np.log(3.0)]]]))
    assert given == pytest.approx(np.array([[0.25, 0.75]]))


def test_temperature_divides_the_scores() -> None:
    given = probabilities(np.array([[[0.0, 2 * np.log(3.0)]]]), temperature=2.0)
    assert given == pytest.approx(np.array([[0.25, 0.75]]))


def test_probabilities_of_very_long_answers_are_numbers() -> None:
    given = probabilities(np.array([[[-5000.0, -5001.0], [-9000.0, -1.0]]]))
    assert np.isfinite(given).all()
    assert given.sum(1) == pytest.approx([1.0, 1.0])
    assert given[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_several_prompts_give_the_mean_of_their_probabilities() -> None:
    scores = np.log(np.array([[[1.0, 3.0]], [[3.0, 1.0]], [[1.0, 1.0]]]))
    assert probabilities(scores) == pytest.approx(np.array([[0.5, 0.5]]))


def test_an_ensemble_is_fitted_by_the_likelihood_of_its_mean() -> None:
    first, gold = sampled(2.0, n=200)
    both = np.concatenate([first, np.random.default_rng(1).normal(size=first.shape)])
    found = fit_temperature(both, gold)

    def loss(temperature: float) -> float:
        chances = probabilities(both, temperature)
        return -float(np.log(chances[np.arange(len(gold)), gold]).mean())

    assert loss(found) <= min(loss(float(t)) for t in np.geomspace(0.05, 20, 200)) + 1e-9


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    assert fit_temperature(*sampled(temperature)) == pytest.approx(temperature, rel=0.1)


def test_no_temperature_of_a_fine_grid_is_likelier() -> None:
    log_scores, gold = sampled(2.0, n=60)

    def loss(temperature: float) -> float:
        chances = probabilities(log_scores, temperature)
        return -float(np.log(chances[np.arange(len(gold)), gold]).mean())

    best = loss(fit_temperature(log_scores, gold))
    assert best <= min(loss(float(t)) for t in np.geomspace(0.05, 20, 400)) + 1e-9


def test_a_perfect_model_stays_inside_the_bounds() -> None:
    gold = [0, 1] * 10
    log_scores = np.eye(2)[gold][None] * 1.0
    assert 0.05 <= fit_temperature(log_scores, gold) < 0.2


def test_a_model_that_is_wrong_and_sure_is_cooled_to_the_bound() -> None:
    gold = [0, 1] * 10
    log_scores = -np.eye(2)[gold][None] * 10
    assert 19 < fit_temperature(log_scores, gold) <= 20


@pytest.mark.parametrize("gold", [[0, 1, 0, 1, 0, 1, 0], [1] * 20], ids=["seven rows", "one class"])
def test_too_little_to_fit_leaves_the_scores_alone(gold: list[int]) -> None:
    log_scores = np.random.default_rng(0).normal(size=(1, len(gold), 2))
    assert fit_temperature(log_scores, gold) == 1.0
