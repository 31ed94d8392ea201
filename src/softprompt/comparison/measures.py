"""What is measured of every method, the same way for all.

    quality     the test rows, once, and the validation rows
    latency     test rows one at a time, after two that warm up
    switching   the task's part put into a loaded model from disk, the median of three times
    forgetting  loss on general text, and the score on another task: untouched, attached, detached
    identity    scores of test rows with everything detached, compared bit by bit with those of the
                untouched model

Peak memory is read after the quality is measured, before a second model is loaded. It does not know
how a method works.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from softprompt.backbones import Backbone
from softprompt.comparison.general import change_interval, halves, loss_of
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.memory import peak_memory
from softprompt.comparison.methods import Method
from softprompt.comparison.spent import Spent
from softprompt.comparison.work import Answered, Taught
from softprompt.errors import DataError, UsageError, reason_of
from softprompt.evaluation import value
from softprompt.inference import Answers, adjustment_for, measure, suited_score
from softprompt.inference.scoring import score_answers
from softprompt.locale import _
from softprompt.prompts import Layout
from softprompt.tasks import WRITTEN_ROWS, Task, Template

__all__ = ["measured", "quality"]

WARMING_ROWS = 2
SWITCHES = 3
MOST_OTHER_ROWS = 500
_EXTRAS = ("latency", "switch_seconds", "forgetting")


def quality(job: Job, method: Method) -> tuple[Trained, dict[str, Any]]:
    """Trains a method and answers the test and the validation rows.

    Returns:
        the method, and what a result holds of it.
    """
    trained, spent = _run(job, method)
    job.reporter.stage("evaluation", {"rows": len(job.task.test)})
    test = trained.work.answered(job.task, job.task.test, job.config.task.slice)
    validation = trained.work.answered(job.task, job.task.selection_rows)
    return trained, {
        "test": test.metric,
        "answers": list(test.texts),
        "validation_score": value(validation.metric, job.metric),
        "suited_score": _suited(job, validation),
        "validation_answers": list(validation.texts),
        "parts": _parts(job, test, validation),
        "history": [list(point) for point in trained.history],
        "trainable": trained.trainable,
        "stored_bytes": trained.stored_bytes,
        "shared_bytes": trained.shared_bytes,
        "kept": list(trained.kept),
        "seconds": dict(trained.seconds),
        "energy": spent["energy"],
        "peak_memory_bytes": max(spent["peak_memory_bytes"], peak_memory()),
        "details": dict(trained.details),
    }


def _suited(job: Job, held: Answered) -> float | None:
    """The score of validation rows as every validation of a training has it (see
    `softprompt.inference.suited_score`); None where nothing was trained."""
    if held.given is None:
        return None
    encoded, answers = held.given
    return suited_score(job.task, encoded, answers, job.metric)


def _parts(job: Job, test: Answered, held: Answered) -> dict[str, Any] | None:
    """What the vectors and the readout of a prompt come to by themselves, each with the labels that
    suit it: `prompts` and `readout`, the metric on the test rows. None where there is no readout.
    """
    if test.given is None or held.given is None:
        return None
    (rows, answers), (held_rows, held_answers) = test.given, held.given
    if answers.readout is None or held_answers.readout is None:
        return None
    found = {}
    for name, part in (("prompts", _vectors), ("readout", _readout)):
        adjustment = adjustment_for(job.task, held_rows, part(held_answers), job.metric)
        alone = part(answers)
        suited = alone.at(alone.temperature, adjustment)
        found[name] = measure(job.task, rows, suited)
    return found


def _vectors(answers: Answers) -> Answers:
    return replace(answers, readout=None, adjustment=())


def _readout(answers: Answers) -> Answers:
    assert answers.readout is not None
    return Answers(labels=answers.labels, log_scores=answers.readout[None])


def _run(job: Job, method: Method) -> tuple[Trained, dict[str, Any]]:
    """A method trained, and what that took: `energy` and `peak_memory_bytes`.

    A method that was stopped goes on after the parts that are done, so what was spent on them is
    kept beside them.
    """
    with Spent(job.folder, job.how.watts) as spent:
        heard = replace(job, reporter=spent.beside(job.reporter))
        trained = _decided(job, method.run(heard))
    return trained, spent.total


def _decided(job: Job, trained: Trained) -> Trained:
    """Trained weights give the labels that suit the metric, as a prompt's own run has it."""
    taught = trained.work.taught
    if taught is None or taught.layout.placement is not None or not job.task.choices:
        return trained
    return replace(trained, work=taught.fitted(job.task, job.metric))


def measured(
    job: Job,
    method: Method,
    other: Task | None = None,
    noted: Callable[[dict[str, Any]], None] = lambda found: None,
) -> dict[str, Any]:
    """Everything that is measured of a method, plain data.

    Args:
        job: task and settings.
        method: to train and measure.
        other: another task, whose test rows are answered too.
        noted: called with what there is, marked `provisional`, before the measurements that follow
            the quality: a second model beside the first may end the process.
    """
    trained, found = quality(job, method)
    found["space"] = dict(method.space(job))
    ended = dict.fromkeys(_EXTRAS, _("the process ended while it was measured"))
    noted({**found, **dict.fromkeys(_EXTRAS), "unmeasured": ended, "provisional": True})
    found["unmeasured"] = {}
    _try(found, "latency", lambda: _latency(job, trained, found["answers"]))
    _try(found, "switch_seconds", lambda: _switching(trained))
    _try(found, "forgetting", lambda: _forgetting(job, trained, other))
    return found


def _try(found: dict[str, Any], name: str, do: Callable[[], Any]) -> None:
    """Measures something, or notes why not: what was trained is worth keeping without it.

    A second model beside the first may be more than memory holds.
    """
    try:
        found[name] = do()
    except Exception as error:
        found[name] = None
        found["unmeasured"][name] = reason_of(error)


def _latency(job: Job, trained: Trained, answers: Sequence[str | None]) -> dict[str, Any]:
    """Seconds of an answer: `median`, `p95`, and `n`, the rows they come from.

    Raises:
        DataError: no row was answered.
    """
    # A row that does not fit is no answer, and a fast one.
    able = (row for row, text in zip(job.task.test, answers, strict=True) if text is not None)
    rows = list(islice(able, job.how.latency_rows))
    if not rows:
        raise DataError(_("No test row was answered."))
    for row in rows[:WARMING_ROWS]:
        trained.work.seconds(job.task, row)
    seconds = [trained.work.seconds(job.task, row) for row in rows]
    return {
        "median": float(np.median(seconds)),
        "p95": float(np.percentile(seconds, 95)),
        "n": len(seconds),
    }


def _switching(trained: Trained) -> float:
    """Seconds; 0 where there is nothing to load."""
    taught = trained.work.taught
    if taught is None or taught.switch is None:
        return 0.0
    times = []
    for _switch in range(SWITCHES):
        begun = time.perf_counter()
        taught.switch()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _forgetting(job: Job, trained: Trained, other: Task | None) -> dict[str, Any] | None:
    """`loss` (nats per token), `other` (its metric) and `detached_identical`; what cannot be
    detached has None there. None where nothing was changed or added.

    Raises:
        UsageError: of an encoder classifier.
    """
    taught = trained.work.taught
    if taught is None:
        return None
    if taught.backbone.form == "pooled":
        raise UsageError(
            _(
                "{model} is an encoder: without the task's head it says nothing, neither of "
                "general text nor of another task."
            ).format(model=job.config.backbone.model)
        )
    passages = halves(Path(job.how.general) if job.how.general else None)
    untouched = _bare(job.backbone(dtype=taught.backbone.dtype), taught)
    passages = _fitting(passages, taught, untouched)
    before, tokens = untouched.continuation_losses(passages)
    after, _same_tokens = taught.continuation_losses(passages)
    loss: dict[str, Any] = {
        "passages": len(passages),
        "tokens": sum(tokens),
        "untouched": loss_of(before, tokens),
        "attached": loss_of(after, tokens),
        "change_interval": change_interval(before, after, tokens),
    }
    scores: dict[str, Any] = {
        "untouched": _score(untouched, other),
        "attached": _score(taught, other),
    }
    same: float | None = None
    loss["detached"] = scores["detached"] = None
    if taught.detach is not None:
        detached = _bare(taught.detach(), taught)
        loss["detached"] = loss_of(*detached.continuation_losses(passages))
        same = _identical(job, untouched, detached)
        scores["detached"] = _score(detached, other)
    return {
        "loss": loss,
        "other": None if other is None else {"name": other.name, **scores},
        "detached_identical": same,
    }


def _bare(backbone: Backbone, taught: Taught) -> Taught:
    """The model alone, used as the method is."""
    return Taught(
        backbone=backbone,
        layout=Layout(backbone, None, scoring=taught.layout.scoring),
        chat=taught.chat,
        drop_long=taught.drop_long,
        max_new_tokens=taught.max_new_tokens,
    )


def _fitting(passages: Sequence[tuple[str, str]], *sides: Taught) -> list[tuple[str, str]]:
    """The passages, both halves shortened until they fit into the window on every side."""
    backbone = sides[0].backbone
    room = backbone.window - max(side.layout.length for side in sides) - 2
    found = []
    for passage in passages:
        first, second = passage
        while first and len(backbone.encode(first)) + len(backbone.encode(second)) > room:
            # What stands next to the cut between the halves stays.
            first, second = _shorter(first, last=True), " " + _shorter(second, last=False)
        if first:
            found.append((first, second))
    return found


def _shorter(text: str, *, last: bool) -> str:
    """The last or first half of a text's words; nothing of a single word."""
    words = text.split()
    kept = len(words) // 2
    return " ".join(words[len(words) - kept :] if last else words[:kept])


def _score(side: Taught, other: Task | None) -> dict[str, Any] | None:
    """The metric on the other task's test rows, asked with its own template; None without one."""
    if other is None:
        return None
    rows = other.sample(other.test, MOST_OTHER_ROWS if other.choices else WRITTEN_ROWS)
    template = other.template
    if side.layout.placement == "slots" and template is not None and not template.slots:
        # Its vectors stand together before the answer, as they do in general text.
        spaced = re.sub(r"(\s*\{answer\})$", rf"{{prompt:{side.layout.length}}}\1", template.text)
        other = replace(other, template=Template(spaced))
    # What was fitted for the labels of one task says nothing of another's.
    bare = replace(side, drop_long=True, adjustment=(), readout=None)
    return bare.answered(other, rows).metric


def _identical(job: Job, one: Taught, other: Taught) -> float | None:
    """The share of rows whose scores are the same bit for bit."""
    rows = job.task.test[: job.how.identical_rows]
    wanted = "choices" if job.task.choices else "own"
    scores = [
        score_answers(side.backbone, side.encoded(job.task, rows, wanted).examples, ())
        for side in (one, other)
    ]
    count = int(scores[0].shape[1])
    if not count:
        return None
    same = sum(bool(np.array_equal(scores[0][:, n], scores[1][:, n])) for n in range(count))
    return same / count
