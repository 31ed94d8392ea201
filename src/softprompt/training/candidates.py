"""The candidates of a population: which learning rates, initialisations, lengths and seeds.

One candidate is the configured prompt itself; others vary what nobody can know beforehand. It knows
names and numbers, not how they are trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softprompt.training.config import TrainingConfig

__all__ = [
    "SEEDS",
    "Candidate",
    "around",
    "draw",
    "halvings",
    "population_of",
    "rates_of",
    "usual_population",
    "varied",
    "widely_around",
]

_FACTORS = (1.0, 1 / 3, 3.0)
"""Learning rates of a population, in units of the configured one."""

_WIDE_FACTORS = (1.0, 0.1, 10.0, 1 / 3, 3.0)
"""The same for a search, from the first round's to the limits of all rounds."""

SEEDS = 1_000
"""Seeds of one run's candidates; those of the next seed's run are others."""


@dataclass(frozen=True)
class Candidate:
    """How one prompt of a population is made.

    Args:
        number: place in the population, or among all that a search tried; 0 for the configured
            prompt.
        learning_rate: peak rate, in units of the embedding scale per step.
        initialisation, parametrisation: names.
        length: vectors.
        seed: of the initial vectors.
    """

    number: int
    learning_rate: float
    initialisation: str
    parametrisation: str
    length: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for plan.json and reports."""
        return asdict(self)


def draw(
    count: int,
    seed: int,
    *,
    learning_rates: Sequence[float],
    initialisations: Sequence[str],
    parametrisations: Sequence[str],
    lengths: Sequence[int],
) -> tuple[Candidate, ...]:
    """That many candidates of a grid, spread evenly over the values of every axis.

    The first value of each axis is the configured one. Each candidate has a seed of its own, so
    that a small grid is gone through more than once.

    Args:
        count: of candidates.
        seed: of the run.
        learning_rates, initialisations, parametrisations, lengths: at least one value each.
    """
    grid = [
        (rate, initialisation, parametrisation, length)
        for length, parametrisation, initialisation, rate in product(
            lengths, parametrisations, initialisations, learning_rates
        )
    ]
    left: list[tuple[float, str, str, int]] = []
    used: Counter[tuple[int, object]] = Counter()
    found: list[Candidate] = []
    for number in range(count):
        left = left or list(grid)
        cell = min(left, key=lambda values: sum(used[pair] for pair in enumerate(values)))
        left.remove(cell)
        used.update(enumerate(cell))
        found.append(Candidate(number, *cell, seed=seed * SEEDS + number))
    return tuple(found)


def varied(training: TrainingConfig) -> Mapping[str, Sequence[Any]]:
    """What a population is told to try, by setting; empty where that is left to it."""
    names = ("learning_rates", "initialisations", "parametrisations", "lengths")
    return {name: getattr(training, name) for name in names}


def population_of(training: TrainingConfig, usual: int) -> int:
    """Prompts that train together at first.

    Args:
        training: the settings.
        usual: where neither their number is given nor more values to try.
    """
    return training.population or max(usual, *map(len, varied(training).values()))


def usual_population(*, choices: bool) -> int:
    """Prompts that train together on a task of choices, or of free text, unless told otherwise."""
    return 6 if choices else 4


def rates_of(training: TrainingConfig, count: int) -> Sequence[float]:
    """Peak rates that so many candidates try."""
    rate = training.learning_rate
    return training.learning_rates or (around(rate) if count > 1 else (rate,))


def around(learning_rate: float) -> tuple[float, ...]:
    """Learning rates to try where one is configured."""
    return _times(learning_rate, _FACTORS)


def widely_around(learning_rate: float) -> tuple[float, ...]:
    """Learning rates that a search begins with; it goes on between the least and the largest."""
    return _times(learning_rate, _WIDE_FACTORS)


def _times(learning_rate: float, factors: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{learning_rate * factor:.3g}") for factor in factors)


def halvings(
    steps: int, size: int, survivors: int, shares: Sequence[float]
) -> tuple[tuple[int, int], ...]:
    """When a population shrinks, and to how many: successive halving (Jamieson & Talwalkar 2016,
    arXiv 1502.07943).

    Args:
        steps: of the whole run.
        size: candidates at the start.
        survivors: candidates that go on to the end, at least 1.
        shares: of the steps after which candidates are compared.

    Returns:
        pairs of a step and the number kept after it; the last keeps the survivors.
    """
    if size <= survivors or not shares:
        return ()
    ratio = (survivors / size) ** (1 / len(shares))
    kept = [max(survivors, round(size * ratio**place)) for place in range(1, len(shares) + 1)]
    kept[-1] = survivors
    return tuple(
        (max(1, round(share * steps)), keep)
        for share, keep in zip(sorted(shares), kept, strict=True)
    )
