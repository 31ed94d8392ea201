"""What a search tries next: Optuna's proposals from what was tried before.

The study is made anew from the trials for every round, and its sampler's seed follows from their
number: a search that goes on after a stop asks for what it would have asked for without one. It
knows names, numbers and scores, not how candidates are trained.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.training.candidates import SEEDS, Candidate, draw

__all__ = ["Space", "optuna_module", "propose"]


@dataclass(frozen=True)
class Space:
    """Where to search; the first value of each axis is the configured one.

    Args:
        learning_rates: the first round's; later ones lie between the least and the largest.
        initialisations, parametrisations: names.
        lengths: in vectors.
    """

    learning_rates: Sequence[float]
    initialisations: Sequence[str]
    parametrisations: Sequence[str]
    lengths: Sequence[int]


def optuna_module() -> Any:
    """The library Optuna.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise UsageError(
            _("A search needs the library 'optuna', which is not installed."),
            _("Run: pip install 'softprompt[search]'"),
        ) from error


def propose(
    space: Space, trials: Sequence[Mapping[str, Any]], count: int, seed: int
) -> tuple[Candidate, ...]:
    """The candidates of the next round.

    The first round is spread evenly over the space. Later ones come from a tree-structured Parzen
    estimator (Bergstra et al. 2011) over all axes together (Falkner et al. 2018, arXiv 1807.01774);
    candidates of the same round count as bad ones while the others are drawn, so that they keep
    apart (the "constant liar" of Ginsbourger et al. 2010).

    Args:
        space: to search.
        trials: all candidates tried, in order: a candidate's own fields and its `score`, None
            where it has none.
        count: of candidates.
        seed: of the run.

    Raises:
        UsageError: Optuna is not installed, or a trial lies outside the space.
    """
    optuna = optuna_module()
    if not trials:
        return draw(
            count,
            seed,
            learning_rates=space.learning_rates,
            initialisations=space.initialisations,
            parametrisations=space.parametrisations,
            lengths=space.lengths,
        )
    low, high = min(space.learning_rates), max(space.learning_rates)
    axes = {
        "learning_rate": optuna.distributions.FloatDistribution(low, high, log=True),
        "initialisation": optuna.distributions.CategoricalDistribution(space.initialisations),
        "parametrisation": optuna.distributions.CategoricalDistribution(space.parametrisations),
        "length": optuna.distributions.CategoricalDistribution(space.lengths),
    }
    first = len(trials)
    with _quiet(optuna):
        sampler = optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, seed=(seed * SEEDS + first) % 2**32
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for trial in trials:
            study.add_trial(_told(optuna, trial, axes))
        asked = [study.ask(axes).params for _ in range(count)]
    return tuple(
        Candidate(number=number, seed=seed * SEEDS + number, **values)
        for number, values in enumerate(asked, first)
    )


def _told(optuna: Any, trial: Mapping[str, Any], axes: Mapping[str, Any]) -> Any:
    """A trial as Optuna keeps it; one that has no score counts as worse than all that have."""
    states, score = optuna.trial.TrialState, trial["score"]
    try:
        return optuna.trial.create_trial(
            state=states.PRUNED if score is None else states.COMPLETE,
            value=score,
            params={name: trial[name] for name in axes},
            distributions=dict(axes),
        )
    except ValueError as error:
        raise UsageError(
            _("Trial {number} of the search lies outside the space of its settings.").format(
                number=trial["number"]
            ),
            _("Put the old settings back, or start the search anew."),
        ) from error


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keeps Optuna from telling of studies and of what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
