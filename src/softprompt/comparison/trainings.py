"""Trainings of one search that are over, on disk: a search that was stopped goes on after the last.

    searched.json           what each training came to, and the seconds and validations until then
    searched-N.safetensors  weights of training N, the best so far; on disk they take no memory from
                            the training after them

It does not know how weights are trained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors

from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Learned
from softprompt.storage import write_bytes, write_json

__all__ = ["Training", "Trainings"]


@dataclass(frozen=True)
class Training:
    """A training that is over.

    Args:
        rate: peak learning rate.
        epochs, share: of its `Lesson`.
        learned: what it came to.
        begun, ready, ended: when its model began to load, when its first step began, and its end,
            in seconds from the beginning of the search.
        whole: whether it made all passes, so that a training in full would be the same.
    """

    rate: float
    epochs: int | None
    share: float
    learned: Learned
    begun: float
    ready: float
    ended: float
    whole: bool = False


class Trainings:
    """What was trained so far, of which the best weights are kept.

    Args:
        folder: of the method.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "searched.json"
        self.all: list[Training] = []
        self.spent = 0.0
        """Seconds from the beginning of the search to the end of the last training on disk."""
        self.history: list[list[float]] = []
        """Seconds from the beginning and score of every validation until then."""
        self._read()

    @property
    def best(self) -> Training | None:
        """The best on validation rows, the latest of equals; None before the first."""
        return max(reversed(self.all), key=lambda one: one.learned.score, default=None)

    def find(self, rate: float, epochs: int | None, share: float) -> Training | None:
        """A training that is over, or None."""
        for one in self.all:
            same = one.share == share or (one.whole and share == 1.0)
            if same and (one.rate, one.epochs) == (rate, epochs):
                return one
        return None

    def add(
        self,
        training: Training,
        learner: Learner,
        history: Sequence[Sequence[float]],
        *,
        last: bool,
    ) -> None:
        """Notes a training.

        Args:
            training: that is over.
            learner: that has its weights.
            history: validations so far.
            last: nothing is trained after it, so its weights need not be written.
        """
        self.all.append(training)
        if last:
            return
        if self.best is training:
            self._folder.mkdir(parents=True, exist_ok=True)
            tensors = {str(n): p.detach().cpu().contiguous() for n, p in enumerate(learner.free)}
            write_bytes(self._weights(training), save_tensors(tensors))
        found = {
            "trainings": [asdict(one) for one in self.all],
            "seconds": training.ended,
            "history": [list(entry) for entry in history],
        }
        write_json(self._file, found)
        # Only now: until then the older weights are those that the file on disk speaks of.
        self._remove_weights(but=self.best)

    def restore(self, learner: Learner) -> None:
        """Puts the best weights into a learner of the same kind."""
        assert self.best is not None, "something was trained"
        file = self._weights(self.best)
        with torch.no_grad(), safe_open(file, framework="pt") as stored:
            for number, parameter in enumerate(learner.free):
                parameter.copy_(stored.get_tensor(str(number)))

    def remove(self) -> None:
        """Removes the files."""
        self._file.unlink(missing_ok=True)
        self._remove_weights()

    def _read(self) -> None:
        """Takes what a search before this one has left, if it is whole."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            self.all = [_training(one) for one in found["trainings"]]
            self.spent, self.history = float(found["seconds"]), list(found["history"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            self.all = []
        if self.best is None or not self._weights(self.best).is_file():
            self.all, self.spent, self.history = [], 0.0, []

    def _weights(self, training: Training) -> Path:
        number = next(n for n, one in enumerate(self.all) if one is training)
        return self._folder / f"searched-{number}.safetensors"

    def _remove_weights(self, but: Training | None = None) -> None:
        kept = None if but is None else self._weights(but)
        for file in self._folder.glob("searched-*.safetensors"):
            if file != kept:
                file.unlink(missing_ok=True)


def _training(stored: dict[str, Any]) -> Training:
    return Training(**{**stored, "learned": Learned(**stored["learned"])})
