"""The data that ships with the package: customer feedback in English and Vietnamese.

Each row has a text, a sentiment (positive, neutral, negative) and a topic. Written for this
project, under its licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError, nearest
from softprompt.locale import _
from softprompt.tasks.task import Task

__all__ = ["LANGUAGES", "load_sample", "sample_path", "sample_settings"]

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "en": {
        "template": "{text}\nSentiment: {answer}",
        "choices": {"positive": "positive", "neutral": "neutral", "negative": "negative"},
    },
    "vi": {
        "template": "{text}\nCảm xúc: {answer}",
        "choices": {"positive": "tích cực", "neutral": "bình thường", "negative": "tiêu cực"},
    },
}
LANGUAGES = tuple(_SETTINGS)


def sample_path(language: str) -> Path:
    """The file of a language's sample data, JSON Lines.

    Raises:
        UsageError: there is none in that language.
    """
    if language not in _SETTINGS:
        raise UsageError(
            _("There is no sample data in {language!r}.").format(language=language),
            nearest(language, LANGUAGES),
        )
    return Path(str(resources.files(__name__) / f"feedback.{language}.jsonl"))


def sample_settings(language: str) -> dict[str, Any]:
    """The settings of `TaskConfig` that make the sentiment task of a language's sample data.

    Raises:
        UsageError: there is no sample data in that language.
    """
    sample_path(language)
    # A tenth of a few hundred rows would choose and judge by chance.
    shares = {"validation_share": 0.2, "test_share": 0.2}
    return {"target": "sentiment", "slice": "topic", **shares, **_SETTINGS[language]}


def load_sample(language: str, **settings: Any) -> Task:
    """The sentiment task on a language's sample data.

    Args:
        language: "en" or "vi".
        settings: settings of `TaskConfig` over the sample's own.

    Raises:
        UsageError: there is no sample data in that language.
    """
    path = sample_path(language)
    return Task.from_file(path, **{**sample_settings(language), **settings})
