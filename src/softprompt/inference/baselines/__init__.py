"""What a soft prompt has to beat: the same rows answered without training, one file a baseline.

A baseline chooses what it needs on training and validation rows and answers the test rows once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.backbones import Backbone
from softprompt.inference.rows import Encoded
from softprompt.locale import mark
from softprompt.registry import Registry, discover
from softprompt.tasks import Task

__all__ = ["ASKING", "BASELINES", "Baseline", "BaselineRequest"]


@dataclass(frozen=True)
class BaselineRequest:
    """What a baseline may use.

    Args:
        backbone: the frozen model.
        task: rows of all three splits.
        metric: name of the metric that choices are made by.
        chat: whether the model's chat template is used.
        templates: the user's own hand-written prompts; none means a few standard ones.
        shots: demonstrations of the few-shot baseline.
        seed: of everything drawn at random.
        drop_long: leave out rows that do not fit into the window.
        max_new_tokens: longest free answer, in tokens.
        heard: gets the answers to the test rows, in order; None where a row is left out.
    """

    backbone: Backbone
    task: Task
    metric: str
    chat: bool = False
    templates: tuple[str, ...] = ()
    shots: int = 4
    seed: int = 0
    drop_long: bool = False
    max_new_tokens: int = 64
    heard: Callable[[Sequence[str | None]], None] = lambda answers: None

    def told(self, encoded: Encoded, texts: Sequence[str]) -> None:
        """Tells `heard` the answers to the test rows.

        Args:
            encoded: those that were answered.
            texts: their answers.
        """
        self.heard(encoded.among(self.task.test, texts))


@dataclass(frozen=True)
class Baseline:
    """From a request to a metric on the test rows, with what was chosen for it.

    Args:
        choose: from training and validation rows to what the answers rest on, plain data.
        answer: the metric on the test rows, answered with what was chosen.
    """

    choose: Callable[[BaselineRequest], dict[str, Any]]
    answer: Callable[[BaselineRequest, Mapping[str, Any]], dict[str, Any]]

    def __call__(self, request: BaselineRequest) -> dict[str, Any]:
        """Chooses and answers."""
        chosen = self.choose(request)
        return {**self.answer(request, chosen), **chosen}


ASKING: set[str] = set()
"""Baselines that have the model itself write or score answers."""

BASELINES: Registry[Baseline] = Registry(mark("baseline"))
discover(__name__, list(__path__))
