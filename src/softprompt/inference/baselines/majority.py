"""Always the most frequent training label."""

from __future__ import annotations

from collections import Counter
from typing import Any

from softprompt.errors import UsageError
from softprompt.evaluation import score_classification
from softprompt.inference.baselines import BASELINES, BaselineRequest
from softprompt.locale import _

__all__ = ["majority"]


@BASELINES.register("majority")
def majority(request: BaselineRequest) -> dict[str, Any]:
    """The metric of that guess on the test rows.

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
    guess = max(task.labels, key=lambda label: counts[label])
    references = [str(row.answer) for row in task.test]
    answers = [guess] * len(references)
    request.heard(answers)
    metric = score_classification(references, answers, list(task.labels))
    return {**metric, "guess": guess}
