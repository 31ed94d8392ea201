"""Training: the loop, its monitor and checkpoints, and runs from a configuration."""

from softprompt.training.config import RunConfig, SearchConfig, TrainingConfig
from softprompt.training.reporters import Reporter
from softprompt.training.run import resume, start
from softprompt.training.search import search
from softprompt.training.tune import tune
from softprompt.training.tune_vectors import tune_vectors

__all__ = [
    "Reporter",
    "RunConfig",
    "SearchConfig",
    "TrainingConfig",
    "resume",
    "search",
    "start",
    "tune",
    "tune_vectors",
]
