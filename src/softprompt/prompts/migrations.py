"""From older artifact formats to the present one, a step per version.

A step takes the description of one version and returns that of the next. Files are never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softprompt.errors import ArtifactError
from softprompt.locale import _

__all__ = ["FORMAT", "migrate"]

FORMAT = 7


def _add_population(description: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knows neither ensembles nor populations."""
    return {**description, "members": 1, "population": []}


def _add_scoring(description: dict[str, Any]) -> dict[str, Any]:
    """Format 2 knows only choices that are scored whole."""
    return {**description, "task": {**description["task"], "scoring": "whole"}}


def _add_adjustment(description: dict[str, Any]) -> dict[str, Any]:
    """Format 3 always gives the likeliest choice."""
    return {**description, "task": {**description["task"], "adjustment": []}}


def _add_adjustment_alone(description: dict[str, Any]) -> dict[str, Any]:
    """Format 4 does not say what suits the prompts without their readout.

    Raises:
        ArtifactError: the last vector of a prompt of depth `deep` predicted the answer, which it
            does no more.
    """
    behind = description["placement"] not in ("front", "prefix")
    headless = not any(name.endswith("head.weight") for name in description["tensors"])
    if description["depth"] == "deep" and behind and headless:
        raise ArtifactError(
            _(
                "The prompt is of depth deep, stands behind the text and is of an older format; "
                "such prompts stand before the text's last token now."
            ),
            _("Train it again."),
        )
    return {**description, "task": {**description["task"], "adjustment_alone": []}}


def _add_demands(description: dict[str, Any]) -> dict[str, Any]:
    """Format 5 does not say what free answers are held against."""
    return {**description, "task": {**description["task"], "demands": {}}}


def _add_spread(description: dict[str, Any]) -> dict[str, Any]:
    """Format 6 has readouts of means alone; the width of their rows says so (`Readout.logits`)."""
    return description


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_population,
    2: _add_scoring,
    3: _add_adjustment,
    4: _add_adjustment_alone,
    5: _add_demands,
    6: _add_spread,
}


def migrate(description: dict[str, Any]) -> dict[str, Any]:
    """The description in the present format."""
    for version in range(description["format"], FORMAT):
        description = {**_STEPS[version](description), "format": version + 1}
    return description
