"""What a method of a comparison works with, and what it has to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone, load_backbone
from softprompt.comparison.config import CompareConfig
from softprompt.evaluation import default_metric
from softprompt.inference import Answers, Encoded, chat_used, measure
from softprompt.inference.baselines import BaselineRequest
from softprompt.prompts import Layout
from softprompt.tasks import Task
from softprompt.training import Reporter, RunConfig

__all__ = ["Job", "Measured"]


@dataclass(frozen=True)
class Measured:
    """A method on the test rows.

    Args:
        test: metric (see `softprompt.evaluation`).
        answers: to the test rows, in order.
        validation: the score that its settings were chosen by; None where nothing was chosen.
        trainable: numbers that learn.
        stored_bytes: that the task takes beside the backbone.
        seconds: by stage: `search`, `training`.
        details: what was chosen, and what was tried for it.
    """

    test: Mapping[str, Any]
    answers: Sequence[str]
    validation: float | None = None
    trainable: int = 0
    stored_bytes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A task, a backbone's name and everyone's settings.

    Args:
        task: rows of all splits.
        config: of the soft prompt's run; the others take task, backbone and seed from it.
        how: the comparison's own settings.
        folder: of this method, for what it keeps.
        reporter: hears of progress.
    """

    task: Task
    config: RunConfig
    how: CompareConfig
    folder: Path
    reporter: Reporter

    @property
    def metric(self) -> str:
        """What settings are chosen by."""
        name = self.config.training.metric
        return default_metric(self.task.kind) if name == "auto" else name

    def backbone(self, **settings: Any) -> Backbone:
        """A fresh backbone of the configuration.

        Args:
            settings: that go before the configuration's.
        """
        values = {**self.config.backbone.model_dump(), **settings}
        return load_backbone(values.pop("model"), **values)

    def request(self, backbone: Backbone) -> BaselineRequest:
        """The same for a baseline."""
        training = self.config.training
        return BaselineRequest(
            backbone=backbone,
            task=self.task,
            metric=self.metric,
            chat=chat_used(self.config.task.chat, Layout(backbone, None)),
            templates=training.hand_prompts,
            shots=training.shots,
            seed=training.seed,
            drop_long=training.drop_long,
            max_new_tokens=training.max_new_tokens,
        )

    def tested(self, encoded: Encoded, answers: Answers) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The metric of answers to the test rows, and the answers."""
        return measure(self.task, encoded, answers, self.config.task.slice), answers.texts
