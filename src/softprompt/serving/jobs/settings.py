"""From what a client asks for to the configuration of a run.

Names and values are checked here as far as they can be without data and model, so that a mistake is
told at once and not when the job's turn has come. Nothing that a client gives becomes a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.evaluation.metrics import METRICS
from softprompt.prompts import PromptConfig
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks.config import TaskConfig

__all__ = ["LEARNING_RATE", "check_settings", "run_settings"]

LEARNING_RATE = 0.3
"""Peak rate of a run that a multiplier of 1 stands for: the default of `softprompt tune`."""

_PROMPT = ("method", "placement", "depth", "parametrisation", "initialisation", "length")
_TRAINING = (
    "epochs", "batch_size", "learning_rate", "population", "ensemble", "readout", "patience",
    "time_budget", "max_new_tokens", "drop_long", "metric",
)  # fmt: skip


def check_settings(hyperparameters: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Refuses what no run takes.

    Raises:
        SoftPromptError: what was given and what is allowed.
    """
    prompt = PromptConfig(**_picked(_named(hyperparameters), _PROMPT))
    PLACEMENTS.get(prompt.placement)
    DEPTHS.get(prompt.depth)
    PARAMETRISATIONS.get(prompt.parametrisation)
    if (metric := hyperparameters.get("metric", "auto")) != "auto":
        METRICS.get(metric)
    TaskConfig.from_settings(task)


def run_settings(
    hyperparameters: Mapping[str, Any],
    task: Mapping[str, Any],
    *,
    backbone: Mapping[str, Any],
    seed: int,
    validation: Path | None,
    readouts: bool = True,
) -> dict[str, Any]:
    """The sections of a run's configuration.

    Args:
        hyperparameters, task: of the order.
        backbone: model, precision and device of the server.
        seed: of everything random.
        validation: file of validation rows.
        readouts: whether the server's engine can answer with a readout of contexts.
    """
    named = _named(hyperparameters)
    files = {} if validation is None else {"validation": str(validation)}
    return {
        "task": {**task, **files, "seed": seed},
        "backbone": dict(backbone),
        "prompt": _picked(named, _PROMPT),
        "training": {
            **_picked(named, _TRAINING),
            "seed": seed,
            **({} if readouts else {"readout": "off"}),
        },
    }


def _named(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names of a run; `auto` leaves the choice to it."""
    given = {
        name: value
        for name, value in hyperparameters.items()
        if value is not None and (value != "auto" or name == "ensemble")
    }
    if "n_epochs" in given:
        given["epochs"] = given.pop("n_epochs")
    if "learning_rate_multiplier" in given:
        given["learning_rate"] = LEARNING_RATE * given.pop("learning_rate_multiplier")
    return given


def _picked(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
