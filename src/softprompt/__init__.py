"""Soft prompts for frozen language models: a few trained vectors teach a model a task.

    from softprompt import Task, load_backbone, tune

    result = tune(Task.from_file("reviews.csv"), load_backbone("nano"), "runs/reviews")
"""

from softprompt.backbones import Backbone, load_backbone
from softprompt.errors import SoftPromptError
from softprompt.inference import Prediction, Predictor, evaluate, predict
from softprompt.prompts import SoftPrompt
from softprompt.tasks import Task
from softprompt.training import tune

__version__ = "0.1.0"

__all__ = [
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
    "tune",
]
