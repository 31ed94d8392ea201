"""What a method of a comparison works with, and what it has to say."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone, load_backbone
from softprompt.comparison.config import CompareConfig
from softprompt.comparison.learner import Learner
from softprompt.comparison.pinned import Pinned
from softprompt.comparison.work import Taught, Work
from softprompt.evaluation import default_metric
from softprompt.inference import chat_used, encode_rows
from softprompt.inference.baselines import BaselineRequest
from softprompt.prompts import Layout
from softprompt.tasks import Task
from softprompt.training import Reporter, RunConfig

__all__ = ["Job", "Trained", "metric_of"]


@dataclass(frozen=True)
class Trained:
    """A method that has learned the task.

    Args:
        work: it at work.
        trainable: numbers that learn.
        stored_bytes: that the task takes beside the backbone.
        shared_bytes: of these, what other tasks of the same domain need as well and share.
        kept: where in the method's folder these bytes are.
        seconds: by stage: `search`, `training`, and `to_best`, from the beginning of the training
            to the best validation, where that was of it.
        history: seconds from the beginning, search included, and score of every validation on the
            task.
        details: what was chosen, and what was tried for it.
    """

    work: Work
    trainable: int = 0
    stored_bytes: int = 0
    shared_bytes: int = 0
    kept: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Sequence[float]] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, work: Work, told: Mapping[str, Any], trainable: int, kept: str, **details: Any
    ) -> Trained:
        """Weights that have learned.

        Args:
            work: they at work.
            told: what that took, as it was written down: `bytes`, `seconds`, `history`
                and `details`.
            trainable: numbers that learn.
            kept: folder in the method's own that they are in.
            details: beside those written down.
        """
        return cls(
            work,
            trainable=trainable,
            stored_bytes=told["bytes"],
            kept=(kept,),
            seconds=told["seconds"],
            history=told.get("history", ()),
            details={**told["details"], **details},
        )


def metric_of(config: RunConfig, task: Task) -> str:
    """What settings are chosen by and what is reported."""
    name = config.training.metric
    return default_metric(task.kind) if name == "auto" else name


@dataclass(frozen=True)
class Job:
    """A task, a backbone's name and everyone's settings.

    Args:
        task: rows of all splits.
        config: of the soft prompt's run; the others take task, backbone and seed from it.
        how: the comparison's own settings.
        folder: of this method, for what it keeps.
        reporter: hears of progress.
        loaded: a backbone that everyone who only looks at it shares; None where each has a fresh
            one.
        pinned: precision and fingerprints of what is loaded for the same comparison; None where
            nothing else is compared.
    """

    task: Task
    config: RunConfig
    how: CompareConfig
    folder: Path
    reporter: Reporter
    loaded: Backbone | None = None
    pinned: Pinned | None = None

    @property
    def metric(self) -> str:
        """What settings are chosen by."""
        return metric_of(self.config, self.task)

    def backbone(self, **settings: Any) -> Backbone:
        """A backbone of the configuration, fresh unless one is `loaded`.

        Args:
            settings: that go before the configuration's.

        Raises:
            UsageError: it is not the one that the comparison began with.
        """
        if self.loaded is not None and not settings:
            return self.loaded
        # One model at a time: a backbone refers to itself, so what was dropped may still be there.
        gc.collect()
        values = {**self.config.backbone.model_dump(), **settings}
        if self.pinned is not None:
            values = self.pinned.settings(values)
        backbone = load_backbone(values.pop("model"), **values)
        # A precision of its own says nothing of the one to keep, nor does another model.
        if self.pinned is not None and not {"model", "dtype"} & settings.keys():
            self.pinned.check(backbone)
        return backbone

    def learner(self, backbone: Backbone) -> Learner:
        """A backbone with the head that the task's choices need of it, before any training."""
        training = self.config.training
        objective = "choices" if training.objective == "auto" else training.objective
        return Learner.of(backbone, len(self.task.choices), training.seed, objective)

    def taught(self, learner: Learner, **how: Any) -> Taught:
        """What has learned at work, asked as it was while it learned.

        Args:
            learner: with its weights.
            how: it is used beside that (see `Taught`).
        """
        training = self.config.training
        return Taught(
            backbone=learner.backbone,
            layout=learner.layout,
            prompts=learner.prompts,
            chat=self.chat(learner.backbone),
            drop_long=training.drop_long,
            max_new_tokens=training.max_new_tokens,
            **how,
        )

    def chat(self, backbone: Backbone) -> bool:
        """Whether the model's chat template is used."""
        return chat_used(self.config.task.chat, Layout(backbone, None))

    def request(self, backbone: Backbone) -> BaselineRequest:
        """The same for a baseline."""
        training = self.config.training
        return BaselineRequest(
            backbone=backbone,
            task=self.task,
            metric=self.metric,
            chat=self.chat(backbone),
            templates=training.hand_prompts,
            shots=training.shots,
            seed=training.seed,
            drop_long=training.drop_long,
            max_new_tokens=training.max_new_tokens,
        )

    def refuse_long(self, layout: Layout) -> None:
        """Refuses test rows that do not fit, before anything is trained.

        Raises:
            DataError: the first row is named and all are counted.
        """
        encode_rows(
            self.task,
            self.task.test,
            layout,
            answers="choices",
            chat=self.chat(layout.backbone),
            drop_long=self.config.training.drop_long,
        )
