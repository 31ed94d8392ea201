"""Training: the loop, its monitor and checkpoints, and runs from a configuration."""

from softprompt.training.config import RunConfig, TrainingConfig
from softprompt.training.reporters import Reporter
from softprompt.training.run import resume, start
from softprompt.training.tune import tune

__all__ = ["Reporter", "RunConfig", "TrainingConfig", "resume", "start", "tune"]
