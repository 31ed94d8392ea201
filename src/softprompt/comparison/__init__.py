"""The same task by other means: hand prompts, few-shot, LoRA and full fine-tuning."""

from softprompt.comparison.compare import CHANGEABLE, Comparison, compare
from softprompt.comparison.config import CompareConfig
from softprompt.comparison.methods import METHODS

__all__ = ["CHANGEABLE", "METHODS", "CompareConfig", "Comparison", "compare"]
