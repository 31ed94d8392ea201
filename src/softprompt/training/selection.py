"""What is kept of a population: the best prompt or all survivors, with a readout or without.

The mean of the survivors' probabilities takes one pass and is often better than each (Lester et al.
2021, section 6: prompt ensembling). Validation rows decide; it never sees test rows.

How likely the right labels are decides, not the metric: of a few hundred rows it tells far more.
The best survivor's own likelihood is the largest of several noisy ones, so it says too much.
Therefore the two ways are compared on rows that did not choose: half of the validation rows pick
the best prompt, the other half judges it and the ensemble, many times over. A readout has been
chosen by all of these rows, one of six; it is taken at its word.

Shapes: N rows, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.evaluation import fit_temperature, mcnemar, paired
from softprompt.inference import Answers, Encoded, adjustment_for, measure, row_scores
from softprompt.training.setup import Setup

__all__ = ["Selection", "calibrated", "right_places", "select"]

_SPLITS = 10
_LEAST_GAIN = 1e-6
"""Of a mean log-likelihood; less is rounding."""


@dataclass(frozen=True)
class Selection:
    """What is kept, and why.

    Args:
        count: how many of the survivors, the best first.
        temperature: fitted for them.
        adjustment: of the choices' log-probabilities, fitted for what is kept and the metric.
        validation: its metric on the validation rows.
        tried: how many were averaged as an ensemble, 1 where none was.
        ensemble: the metric of those on the validation rows; None where none was tried.
        alone: adjustment and metric of the prompts without the readout, where one is kept with
            them; None else.
        p_value: probability of so large a difference in right answers between the best two
            survivors if they were equally good; None where there is one.
    """

    count: int
    temperature: float
    adjustment: tuple[float, ...]
    validation: dict[str, Any]
    tried: int = 1
    ensemble: dict[str, Any] | None = None
    p_value: float | None = None
    alone: tuple[tuple[float, ...], dict[str, Any]] | None = None


def select(
    setup: Setup,
    validation: Encoded,
    answers: Sequence[Answers],
    readout_NC: NDArray[np.float64] | None = None,
) -> Selection:
    """Chooses between the best prompt and the ensemble, and whether a readout stands beside.

    Args:
        setup: whose settings may have decided already; the adjustment suits its metric.
        validation: rows with answers.
        answers: of each survivor to them, the best survivor first.
        readout_NC: log-scores of a readout for them; None where there is none.
    """
    chosen = _prompts(setup, validation, answers)
    if readout_NC is None:
        return chosen
    prompts = Answers.together(answers[: chosen.count]).at(chosen.temperature)
    both = replace(prompts, readout=readout_NC)
    gold = right_places(setup, validation)
    gain = float((_likelihoods(both, gold) - _likelihoods(prompts, gold)).mean())
    if setup.training.readout != "on" and gain <= _LEAST_GAIN:
        return chosen
    adjustment = adjustment_for(setup.task, validation, both, setup.metric)
    adjusted = both.at(chosen.temperature, adjustment)
    metric = measure(setup.task, validation, adjusted, setup.slice_column)
    alone = chosen.adjustment, chosen.validation
    return replace(chosen, adjustment=adjustment, validation=metric, alone=alone)


def _prompts(setup: Setup, validation: Encoded, answers: Sequence[Answers]) -> Selection:
    """The choice among prompts."""
    alone = _measured(setup, validation, answers[:1])
    p_value = _p_value(setup, validation, answers)
    wanted = setup.training.ensemble
    count = wanted if isinstance(wanted, int) else {"off": 1, "auto": len(answers)}[wanted]
    # Free text is written by one prompt: there are no probabilities to average.
    count = min(count, len(answers)) if setup.task.choices else 1
    if count == 1:
        return Selection(1, *alone, p_value=p_value)
    together = _measured(setup, validation, answers[:count])
    if wanted != "auto" or _better_together(answers[:count], right_places(setup, validation)):
        return Selection(count, *together, count, together[-1], p_value)
    return Selection(1, *alone, count, together[-1], p_value)


def _better_together(answers: Sequence[Answers], gold: Sequence[int]) -> bool:
    """Whether right labels are likelier by all than by the prompt that other rows picked."""
    alone = [_likelihoods(calibrated(each, gold), gold) for each in answers]
    whole_N = _likelihoods(calibrated(Answers.together(answers), gold), gold)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(gold))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        for picking, judging in (halves, halves[::-1]):
            if len(picking) and len(judging):
                best_N = max(alone, key=lambda one_N: float(one_N[picking].mean()))
                gains.append(float((whole_N - best_N)[judging].mean()))
    return bool(gains) and float(np.mean(gains)) > _LEAST_GAIN


def right_places(setup: Setup, validation: Encoded) -> list[int]:
    """The place of each row's right label."""
    return [setup.task.labels.index(str(row.answer)) for row in validation.rows]


def _likelihoods(answers: Answers, gold: Sequence[int]) -> NDArray[np.float64]:
    """[N] log-probability of each row's right label."""
    chances_NC = answers.probabilities
    assert chances_NC is not None, "free text has no probabilities"
    right_N = chances_NC[np.arange(len(gold)), list(gold)]
    return np.asarray(np.log(right_N.clip(1e-300)))


def calibrated(answers: Answers, gold: Sequence[int]) -> Answers:
    """The same at the temperature that suits them.

    Args:
        answers: to rows with right labels, of one prompt or of several together.
        gold: the place of each row's right label.
    """
    assert answers.log_scores is not None, "free text has no probabilities"
    return answers.at(fit_temperature(answers.log_scores, gold))


def _measured(
    setup: Setup, validation: Encoded, answers: Sequence[Answers]
) -> tuple[float, tuple[float, ...], dict[str, Any]]:
    """Temperature and adjustment fitted for prompts together, and their metric with both."""
    together = Answers.together(answers)
    if together.log_scores is not None:
        together = calibrated(together, right_places(setup, validation))
        adjustment = adjustment_for(setup.task, validation, together, setup.metric)
        together = together.at(together.temperature, adjustment)
    metric = measure(setup.task, validation, together, setup.slice_column)
    return together.temperature, together.adjustment, metric


def _p_value(setup: Setup, validation: Encoded, answers: Sequence[Answers]) -> float | None:
    """How likely chance alone makes the best two differ so much: McNemar's test of right and wrong
    labels, or free answers' scores with their signs flipped."""
    if len(answers) < 2:
        return None
    first, second = (row_scores(setup.task, validation, x, setup.metric) for x in answers[:2])
    if not setup.task.choices:
        return paired(first, second)
    return mcnemar([score == 1 for score in first], [score == 1 for score in second])
