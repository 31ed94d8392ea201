"""Training a model's own weights on a task: all of them, or those that an adapter adds.

An encoder's head learns with them.

What learns is what requires a gradient; it does not know why. Where contexts are given, weights
learn from what comes after them alone; else whole rows go through the model. The objective, the
answers, the scoring, the size of batches, the classes in them and the validation are those of the
soft prompt.

Shapes: B rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Context
from softprompt.comparison.learner import Learner
from softprompt.errors import DivergedError
from softprompt.inference import Contexts, Encoded, answer, encode_rows, suited_score
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.locale import _, figure
from softprompt.prompts import Example
from softprompt.tasks import Task
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.plan import choose_threads, epochs_for, threads_of
from softprompt.training.schedule import Batch, epoch_batches, learning_rate_factor, steps_per_epoch

__all__ = ["BATCH", "Learned", "Lesson", "Material", "learn", "of_task"]

BATCH = 16
WARMUP, DECAY = 0.06, 0.01
_VALIDATIONS = 12
"""At most, of a training in full."""
_TELLING = 100
"""Steps that tell rates apart."""


@dataclass(frozen=True)
class Lesson:
    """How weights are trained.

    Args:
        rate: peak learning rate of AdamW.
        epochs: passes over the training rows in full; None for as many as a soft prompt has.
        seed: of the order of rows.
        metric: that chooses the epoch.
        chat: whether the model's chat template is used.
        drop_long: leave out rows that do not fit into the window.
        max_new_tokens: longest free answer, in tokens.
        share: of these passes that is made.
        batch: rows of a step of the soft prompt, on which its passes depend.
    """

    rate: float
    epochs: int | None
    seed: int
    metric: str
    chat: bool = False
    drop_long: bool = False
    max_new_tokens: int = 64
    share: float = 1.0
    batch: int = BATCH

    def passes(self, rows: int) -> int:
        """Passes to make over so many rows. A share of them is enough to tell rates apart, or
        all."""
        whole = self.epochs or epochs_for(-(-rows // self.batch))
        return max(round(self.share * whole), min(whole, -(-_TELLING // -(-rows // BATCH))))


@dataclass(frozen=True)
class Material:
    """What is learned from.

    Args:
        examples: laid out for the objective.
        gold: place of the right answer of each.
        objective: name.
        score: how good the weights are now on rows held out; higher is better.
        contexts: of the examples, constants; None where whole rows are learned from.
        classes: of each example, whose shares every batch keeps; none where there are none.
    """

    examples: Sequence[Example]
    gold: Sequence[int]
    objective: str
    score: Callable[[], float]
    contexts: Contexts | None = None
    classes: Sequence[int] = ()


@dataclass(frozen=True)
class Learned:
    """What training came to.

    Args:
        score: of the best epoch on rows held out.
        epoch: the best, 1 for the first.
        seconds_to_best: from the first step to the end of the best epoch's validation.
        epochs: passes that were made.
    """

    score: float
    epoch: int
    seconds_to_best: float
    epochs: int


def of_task(
    learner: Learner,
    task: Task,
    lesson: Lesson,
    *,
    cut: Callable[[Encoded], Encoded] | None = None,
    budget: int = 0,
) -> Material:
    """A task's rows to learn from.

    Args:
        learner: whose tokens and head count.
        task: rows of training and validation.
        lesson: whose metric chooses.
        cut: how rows are parted into constant context and the rest; None where nothing of them is
            constant.
        budget: bytes of contexts to keep in memory.
    """
    objective = learner.objective if task.choices else "answer"
    options: dict[str, Any] = {"chat": lesson.chat, "drop_long": lesson.drop_long}
    backbone, layout, wanted = learner.backbone, learner.layout, OBJECTIVES.get(objective).answers
    train = encode_rows(task, task.train, layout, answers=wanted, **options)
    held = encode_rows(task, task.selection_rows, layout, answers="choices", **options)
    kept: Contexts | None = None
    contexts: Contexts | None = None
    if cut is not None:
        train, held = cut(train), cut(held)
        contexts = Contexts(backbone, train.examples, budget, bucket_rows=8 * BATCH)
        contexts.fill()
        kept = Contexts(backbone, held.examples, max(0, budget - contexts.bytes))
        kept.fill()

    def score() -> float:
        found = answer(
            backbone,
            task,
            held,
            learner.prompts,
            contexts=kept,
            max_new_tokens=lesson.max_new_tokens,
        )
        return suited_score(task, held, found, lesson.metric)

    gold = [task.labels.index(str(r.answer)) if task.choices else 0 for r in train.rows]
    classes = gold if task.choices else ()
    return Material(train.examples, gold, objective, score, contexts, classes)


def learn(
    learner: Learner,
    material: Material,
    lesson: Lesson,
    *,
    noted: Callable[[float], None] = lambda score: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Learned:
    """Trains what requires a gradient and leaves the best epoch's weights in place.

    Args:
        learner: what learns.
        material: what is learned from.
        lesson: how.
        noted: called with the score of each validation.
        progress: called with steps done and steps in all.

    Raises:
        DivergedError: a gradient or a score is not finite.
    """
    begun, free = time.perf_counter(), learner.free
    contexts = material.contexts
    if contexts is None:
        contexts = Contexts(learner.backbone, material.examples, bucket_rows=8 * BATCH)
    optimizer = torch.optim.AdamW(free, lr=lesson.rate, weight_decay=DECAY)
    batches = partial(epoch_batches, contexts.buckets, BATCH, lesson.seed, classes=material.classes)
    gradients = _gradients(learner, material, contexts)
    epochs = lesson.passes(len(material.examples))
    total = epochs * steps_per_epoch(contexts.buckets, BATCH)
    best: tuple[float, int, float] | None = None
    kept = [p.detach().clone() for p in free]
    step = 0
    with threads_of(_threads(learner, optimizer, gradients, batches(0))):
        for epoch in range(epochs):
            for batch in batches(epoch):
                for group in optimizer.param_groups:
                    group["lr"] = lesson.rate * learning_rate_factor(step, total, WARMUP)
                gradients(batch)
                norm = torch.nn.utils.clip_grad_norm_(free, 1.0)
                _refuse_infinite(_("gradient"), float(norm), lesson.rate, step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                progress(step, total)
            if not _validated(epoch + 1, epochs, lesson):
                continue
            score = material.score()
            _refuse_infinite(_("validation score"), score, lesson.rate, step)
            noted(score)
            if best is None or score > best[0]:
                best = score, epoch + 1, time.perf_counter() - begun
                _copy(free, kept)
    assert best is not None, "there is at least one epoch"
    _copy(kept, free)
    return Learned(*best, epochs)


def _gradients(learner: Learner, material: Material, contexts: Contexts) -> Callable[[Batch], None]:
    """What leaves the gradients of a batch on the weights that learn."""
    backbone, examples = learner.backbone, list(material.examples)
    whole = material.contexts is None
    if whole:
        examples = [_without_context(backbone, example) for example in examples]

    def gradients(batch: Batch) -> None:
        rows = [contexts.buckets[batch.bucket][member] for member in batch.members]
        if whole:
            before = Context.empty(len(rows), backbone.device)
        else:
            before = contexts.select(batch.bucket, batch.members)
        picked = [examples[row] for row in rows], [material.gold[row] for row in rows]
        _step(learner, *picked, material.objective, before)

    return gradients


def _threads(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    gradients: Callable[[Batch], None],
    batches: Sequence[Batch],
) -> int:
    """Processor threads that a step is fastest with, as for a soft prompt; one of middle length
    stands for all."""
    middle = sorted(batches, key=lambda batch: batch.bucket)[len(batches) // 2]

    def step() -> None:
        gradients(middle)
        optimizer.zero_grad(set_to_none=True)

    return choose_threads(learner.backbone.device, step)


def _without_context(backbone: Backbone, example: Example) -> Example:
    """A row nothing of which is constant: all that reads it learns, an encoder too."""
    if backbone.form == "encoder_decoder":
        return replace(example, context=(), encoder=example.encoder or example.context)
    return replace(example, context=(), trunk=example.context + example.trunk)


def _refuse_infinite(what: str, found: float, rate: float, step: int) -> None:
    if not math.isfinite(found):
        raise DivergedError(
            _("At rate {rate} the {what} is not finite any more after {step} steps.").format(
                rate=figure(rate), what=what, step=step
            ),
            _("Try a lower rate."),
        )


def _validated(epoch: int, epochs: int, lesson: Lesson) -> bool:
    """Whether a pass is followed by a validation. Few rows get more passes, but no more
    validations, which may take longer than what they judge."""
    between = math.ceil(epochs / math.ceil(lesson.share * _VALIDATIONS))
    return epoch % between == 0 or epoch == epochs


def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for one, other in zip(source, target, strict=True):
            other.copy_(one)


def _step(
    learner: Learner,
    examples: list[Example],
    gold: list[int],
    objective: str,
    before: Context,
) -> None:
    """Gradients of one batch."""
    device = learner.backbone.device
    what = Continuation.of(examples, device, [len(rows) for rows in learner.prompts])
    how = OBJECTIVES.get(objective)
    with torch.autocast(device.type, torch.bfloat16, enabled=learner.half):
        tokens_M = token_log_probabilities(learner.backbone, before, what, learner.prompts)
        losses_B = how(tokens_M, what, torch.tensor(gold, device=device))
        loss = losses_B.sum() / sum(how.weight(example) for example in examples)
    loss.backward()  # type: ignore[no-untyped-call]
