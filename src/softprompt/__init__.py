"""Soft prompts for frozen language models: a few trained vectors teach a model a task.

    from softprompt import Task, load_backbone, tune

    result = tune(Task.from_file("reviews.csv"), load_backbone("nano"), "runs/reviews")

Names are imported when they are first used, so that `softprompt --help` need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softprompt.backbones import Adapter, Backbone, load_backbone
    from softprompt.errors import SoftPromptError
    from softprompt.inference import Prediction, Predictor, evaluate, predict, run_vectors
    from softprompt.prompts import SoftPrompt
    from softprompt.tasks import Task
    from softprompt.training import search, tune, tune_vectors

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "backbones",
    "Backbone": "backbones",
    "Prediction": "inference",
    "Predictor": "inference",
    "SoftPrompt": "prompts",
    "SoftPromptError": "errors",
    "Task": "tasks",
    "evaluate": "inference",
    "load_backbone": "backbones",
    "predict": "inference",
    "run_vectors": "inference",
    "search": "training",
    "tune": "training",
    "tune_vectors": "training",
}

__all__ = [
    "Adapter",
    "Backbone",
    "Prediction",
    "Predictor",
    "SoftPrompt",
    "SoftPromptError",
    "Task",
    "__version__",
    "evaluate",
    "load_backbone",
    "predict",
    "run_vectors",
    "search",
    "tune",
    "tune_vectors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softprompt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"softprompt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
