"""The soft prompt: where it stands, how deep it enters, what its vectors are and start from."""

from softprompt.prompts.config import PromptConfig
from softprompt.prompts.example import Example
from softprompt.prompts.layout import Layout, Scoring, TooLongError
from softprompt.prompts.prompt import PromptTask, SoftPrompt

__all__ = [
    "Example",
    "Layout",
    "PromptConfig",
    "PromptTask",
    "Scoring",
    "SoftPrompt",
    "TooLongError",
]
