"""The broad domain that a hybrid learns before its prompt learns the task.

Labelled rows of a file, plain text, the task's own rows with other labels, or, where nothing is
named, the task's own training texts without labels. Texts of the task's test and validation rows
are left out, and what has something of one in it. It does not know what learns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from softprompt.backbones import Backbone, Context
from softprompt.comparison.files import rows_of
from softprompt.comparison.general import passages_of
from softprompt.comparison.held_out import HeldOut, words
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.errors import ConfigError, DataError
from softprompt.evaluation import default_metric
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.locale import _, mark
from softprompt.prompts import Example
from softprompt.tasks import Row, Task, TaskConfig, normalise, position

__all__ = ["Domain", "domain_of"]

_HELD_SHARE = 0.1
_FEWEST_TEXTS = 4
_PART_TOKENS = 128
_OF_ANSWERS = {
    "target", "choices", "kind", "template", "limit", "slice", "answer_format", "answer_terms",
}  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """What is learned first.

    Args:
        about: in a few words, for the report.
        count: rows or texts.
        left_out: rows or texts that the task's test or validation rows have as well.
        material: what a model learns from.
    """

    about: str
    count: int
    left_out: int
    material: Callable[[Learner, Lesson], Material]

    @property
    def summary(self) -> dict[str, Any]:
        """What a report holds of it."""
        return {"about": self.about, "n": self.count, "left_out": self.left_out}


def domain_of(job: Job) -> Domain:
    """The domain that a comparison names.

    Raises:
        DataError: the file cannot be read, or too little is left of it.
        ConfigError: its answers are those of the task itself.
    """
    how = job.how
    texts = [_text(job.task, row) for row in job.task.train]
    apart = [_text(job.task, row) for row in (*job.task.validation, *job.task.test)]
    held = HeldOut(apart, texts)
    if not how.names_domain:
        return _of_texts(mark("the task's own texts"), texts, held.__contains__)
    if how.domain is not None and how.has_passages:
        return _of_texts(Path(how.domain).name, passages_of(Path(how.domain)), held.within)
    if how.domain is not None:
        settings = TaskConfig(target=how.domain_target, test_share=0.0, drop_empty=True)
        hint = _("Name the column of answers with --domain-target, or give a .txt file of texts.")
        task = rows_of(how.domain, settings, {"--target": "--domain-target"}, hint)
    else:
        _refuse_own(job)
        # The same rows, read in the same way; what speaks of the task's own answers is another's.
        same = job.config.task.model_dump(exclude=_OF_ANSWERS, exclude_unset=True)
        inputs = job.task.inputs or None
        settings = TaskConfig(**{**same, "input": inputs, "target": how.domain_target})
        task = Task.from_file(job.config.data, settings)
    # Columns of another file may hold what stands elsewhere in this task's.
    out = partial(_held if how.domain is not None else _same, task)
    kept = tuple(row for row in task.train if not out(held, row))
    left_out = len(task.train) - len(kept)
    if how.domain is None:
        # Other labels of the rows that everyone learns from, and of no more.
        own = set(map(words, texts))
        kept = tuple(row for row in kept if words(_text(task, row)) in own)
    tested = HeldOut((_text(job.task, row) for row in job.task.test), texts)
    chosen_by = tuple(row for row in task.validation if not out(tested, row))
    learned = replace(task, train=kept, validation=chosen_by)
    if not kept or not chosen_by:
        raise DataError(
            _("The domain {name!r} has no training or no validation rows of its own.").format(
                name=task.name
            ),
            _("Name a larger file with --domain, or leave it out."),
        )

    def material(learner: Learner, brief: Lesson) -> Material:
        own = replace(brief, metric=default_metric(learned.kind), drop_long=True)
        return of_task(learner, learned, own)

    return Domain(f"{task.name}: {task.target}", len(kept), left_out, material)


def _refuse_own(job: Job) -> None:
    """Refuses the task's own answers in the place of a domain's (ConfigError)."""
    if job.how.domain_target == job.task.target:
        raise ConfigError(
            _("The column {name!r} has the task's own answers; a domain has others.").format(
                name=job.how.domain_target
            ),
            _("Name another column with --domain-target, or leave it out."),
        )


def _same(task: Task, held: HeldOut, row: Row) -> bool:
    """Whether a row's input is held out."""
    return _text(task, row) in held


def _held(task: Task, held: HeldOut, row: Row) -> bool:
    """Whether a row's input is held out, or any column has something that is."""
    return _same(task, held, row) or any(map(held.within, row.columns.values()))


def _of_texts(about: str, texts: Sequence[str], held: Callable[[str], bool]) -> Domain:
    distinct = list(dict.fromkeys(texts))
    kept = [text for text in distinct if not held(text)]
    if len(kept) < _FEWEST_TEXTS:
        raise DataError(
            _("The domain ({about}) has {n} texts of its own; at least {least} are needed.").format(
                about=_(about), n=len(kept), least=_FEWEST_TEXTS
            ),
            _("Name a larger file with --domain."),
        )
    border = max(1, round(len(kept) * _HELD_SHARE))
    # Drawn by the texts: the first of a sorted file are no sample.
    drawn = sorted(kept, key=position)

    def material(learner: Learner, brief: Lesson) -> Material:
        return _of_passages(learner.backbone, drawn[border:], drawn[:border])

    return Domain(about, len(kept), len(distinct) - len(kept), material)


def _of_passages(backbone: Backbone, train: Sequence[str], held: Sequence[str]) -> Material:
    """Every token of texts is learned, each from those before it."""
    examples = [part for text in train for part in _parts(backbone, text)]
    others = [part for text in held for part in _parts(backbone, text)]

    @torch.no_grad()
    def score() -> float:
        total, count = 0.0, 0
        for example in others:
            what = Continuation.of([example], backbone.device)
            empty = Context.empty(1, backbone.device)
            tokens_M = token_log_probabilities(backbone, empty, what, ())
            total, count = total + float(tokens_M.sum()), count + len(tokens_M)
        return total / max(1, count)

    return Material(examples, [0] * len(examples), "answer", score)


def _parts(backbone: Backbone, text: str) -> list[Example]:
    """A text in pieces that a pass takes at once, the end token after the last."""
    opening = [] if backbone.bos is None else [backbone.bos]
    ids = [*opening, *backbone.encode(text), backbone.eos]
    width = min(_PART_TOKENS, backbone.window)
    pieces = [ids[start : start + width] for start in range(0, len(ids), width)]
    return [_piece(backbone, ids) for ids in pieces if len(ids) > 1]


def _piece(backbone: Backbone, ids: list[int]) -> Example:
    """Tokens to learn from: all, or where an encoder reads beside a decoder, the second half."""
    if backbone.form != "encoder_decoder":
        return Example((), tuple(ids[:1]), (tuple(ids[1:]),))
    middle = max(1, len(ids) // 2)
    read = (*ids[:middle], *backbone.closing)
    return Example((), (backbone.start,), (tuple(ids[middle:]),), encoder=read)


def _text(task: Task, row: Row) -> str:
    """A row's input as one text."""
    if row.messages:
        return "\n".join(message["content"] for message in row.messages)
    return normalise("\n".join(row.columns.get(name, "") for name in task.inputs))
