"""Always the most frequent training label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from softprompt.errors import UsageError
from softprompt.evaluation import score_classification
from softprompt.inference.baselines import BASELINES, Baseline, BaselineRequest
from softprompt.locale import _

__all__: list[str] = []


def _choose(request: BaselineRequest) -> dict[str, Any]:
    """That label.

    Raises:
        UsageError: the task generates free text.
    """
    task = request.task
    if not task.choices:
        raise UsageError(
            _("The baseline `majority` needs answer choices; this task generates free text."),
            _("Choose `zero_shot` or `few_shot`."),
        )
    counts = Counter(str(row.answer) for row in task.train)
    return {"guess": max(task.labels, key=lambda label: counts[label])}


def _answer(request: BaselineRequest, chosen: Mapping[str, Any]) -> dict[str, Any]:
    references = [str(row.answer) for row in request.task.test]
    answers = [chosen["guess"]] * len(references)
    request.heard(answers)
    return score_classification(references, answers, list(request.task.labels))


BASELINES.register("majority")(Baseline(_choose, _answer))
