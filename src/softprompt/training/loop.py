"""The training loop of a population of soft prompts: steps, validations, checkpoints, halvings.

All prompts of a population see the same batches in the same passes; a single prompt is a population
of one. It knows batches, a loss and validation scores. Files of data, metrics' meanings and what
happens to the finished vectors are elsewhere.

Shapes: B examples of a batch, K prompts in training, P places of one, X numbers at each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.errors import DivergedError
from softprompt.inference import Contexts, Encoded
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.locale import _, figure
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.config import TrainingConfig
from softprompt.training.hiding import Hiding
from softprompt.training.interrupt import Interrupt
from softprompt.training.member import Member
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.reporters import Reporter
from softprompt.training.schedule import (
    Batch,
    epoch_batches,
    learning_rate_factor,
    steps_per_epoch,
    validation_interval,
)

__all__ = ["Course", "Loop", "Outcome", "TrainingRows"]

Validate = Callable[[Sequence[Tensor]], list[tuple[float, dict[str, Any]]]]


@dataclass(frozen=True)
class TrainingRows:
    """Rows ready for training.

    Args:
        encoded: rows with the answers that the objective wants, laid out for the longest prompt.
        gold: place of the right choice of each row (0 where the row has its own answer only).
        contexts: of these rows.
    """

    encoded: Encoded
    gold: Sequence[int]
    contexts: Contexts


@dataclass(frozen=True)
class Course:
    """How long a run takes and when its population shrinks.

    Args:
        steps: of the whole run, those before a resumption counted.
        halvings: pairs of a step and the number of prompts kept after it.
        part: examples of a batch in one pass; the rest follow in further passes.
    """

    steps: int
    halvings: tuple[tuple[int, int], ...] = ()
    part: int = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """What training made.

    Args:
        members: the prompts that trained to the end, the best by validation first.
        population: what became of every candidate (see `Member.report`), the best first.
        best_step: steps after which the best vectors were found.
        steps: steps done.
        stopped: `finished`, `patience`, `interrupted` or `time`.
        seconds: of training, all parts of a resumed run together.
    """

    members: tuple[Member, ...]
    population: tuple[dict[str, Any], ...]
    best_step: int
    steps: int
    stopped: str
    seconds: float


class Loop:
    """Trains a population.

    Args:
        backbone: frozen.
        members: the prompts, at least one.
        rows: to learn from.
        validate: from vectors [P, X] of several prompts to a score of each (higher is better) and
            a record of it.
        config: of the optimisation.
        objective: its resolved name.
        depth: where the prompts enter.
        folder: checkpoints go to `checkpoints/` below it.
        reporter: hears of it.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        members: Sequence[Member],
        rows: TrainingRows,
        validate: Validate,
        config: TrainingConfig,
        objective: str,
        depth: str = "input",
        folder: Path,
        reporter: Reporter,
    ) -> None:
        self.backbone, self.members, self.rows = backbone, list(members), rows
        self.validate, self.config = validate, config
        self.reporter, self.folder = reporter, folder / "checkpoints"
        self.objective, self.depth = OBJECTIVES.get(objective), depth
        self.per_epoch = steps_per_epoch(rows.contexts.buckets, config.batch_size)
        self.course, self.patience = Course(0), 1
        self.step, self.seconds, self._since = 0, 0.0, 0.0
        self._hiding = Hiding(config.seed, config.token_dropout)

    @property
    def training(self) -> list[Member]:
        """The members that have not been given up."""
        return [member for member in self.members if member.left is None]

    def losses(
        self, batch: Batch, prompts: Sequence[Tensor], members: Sequence[Member] = ()
    ) -> Iterator[Tensor]:
        """The objective [K] of each prompt on one batch, in parts that add up to it.

        Sending each part's gradient back before the next is asked for keeps memory to one part's.

        Args:
            batch: its rows.
            prompts: [P_k, X] each.
            members: whose prompts they are, where some places are hidden from some rows.
        """
        bucket = self.rows.contexts.buckets[batch.bucket]
        examples = self.rows.encoded.examples
        weight = sum(self.objective.weight(examples[bucket[m]]) for m in batch.members)
        for start in range(0, len(batch.members), self.course.part):
            part = Batch(batch.bucket, batch.members[start : start + self.course.part])
            yield self._part(part, prompts, members) / weight

    def _part(self, batch: Batch, prompts: Sequence[Tensor], members: Sequence[Member]) -> Tensor:
        """[K] sums of the rows' losses."""
        bucket = self.rows.contexts.buckets[batch.bucket]
        picked = [bucket[member] for member in batch.members]
        device = self.backbone.device
        lengths = [len(vectors_PX) for vectors_PX in prompts]
        hidden = (
            [
                self._hiding.places(member.made_of, length, row, self.step)
                for row in picked
                for member, length in zip(members, lengths, strict=True)
            ]
            if members
            else ()
        )
        what = Continuation.of(
            [self.rows.encoded.examples[row] for row in picked], device, lengths, self.depth, hidden
        )
        context = self.rows.contexts.select(batch.bucket, batch.members)
        tokens_M = token_log_probabilities(self.backbone, context, what, prompts)
        gold_B = torch.tensor([self.rows.gold[row] for row in picked], device=device)
        gold_R = gold_B.repeat_interleave(len(prompts))
        return self.objective(tokens_M, what, gold_R).view(-1, len(prompts)).sum(0)

    def run(self, course: Course) -> Outcome:
        """Trains until the plan, patience, the clock or Ctrl-C ends it.

        Raises:
            DivergedError: no prompt has a finite loss and gradient; checkpoints stay as they are.
        """
        self.course = course
        every = validation_interval(self.per_epoch, course.steps, self.config.validations)
        self.patience = self.config.patience or max(6, 2 * course.steps // every // 3)
        saved = time.perf_counter()
        self._since = saved - self.seconds
        halvings, due = dict(course.halvings), True
        with Interrupt() as interrupt:
            if self.step == 0:
                # What the prompts begin with, and the readout beside them, may be enough already.
                self._validate()
            stopped = self._reason(interrupt)
            while stopped == "finished" and self.step < course.steps:
                self.train_step()
                now = time.perf_counter()
                self.seconds = now - self._since
                self.reporter.progress(self.step, course.steps)
                halving = self.step in halvings
                due = halving or self.step % every == 0 or self.step == course.steps
                if due:
                    self._validate()
                if halving:
                    self._halve(halvings[self.step])
                if due or now - saved > self.config.checkpoint_seconds:
                    self._checkpoint()
                    saved = time.perf_counter()
                stopped = self._reason(interrupt)
            self.seconds = time.perf_counter() - self._since
            interrupted = stopped == "interrupted"
            if not due and not interrupted:
                self._validate()
            self._checkpoint()
            if not due and interrupted:
                # After the checkpoint: a resumed run must not know of this validation, which an
                # unbroken one never makes.
                self._validate(interim=True)
        return self._outcome(stopped)

    def _outcome(self, stopped: str) -> Outcome:
        best = sorted(self.training, key=lambda member: -member.best_score)
        others = sorted(self.members, key=lambda member: -member.best_score)
        order = best + [member for member in others if member.left is not None]
        return Outcome(
            members=tuple(best),
            population=tuple(member.report() for member in order),
            best_step=best[0].best_step,
            steps=self.step,
            stopped=stopped,
            seconds=self.seconds,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint of the same run."""
        tensors, state = checkpoint.tensors, checkpoint.state
        for number, member in enumerate(self.members):
            prefix = f"member.{number}."
            mine = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            member.restore(mine, state["members"][number])
        self.seconds, self.step = state["seconds"], checkpoint.step

    def _checkpoint(self) -> None:
        tensors = {
            f"member.{number}.{name}": tensor
            for number, member in enumerate(self.members)
            for name, tensor in member.tensors().items()
        }
        state = {"members": [m.state() for m in self.members], "seconds": self.seconds}
        Checkpoint(self.step, tensors, state).save(self.folder)

    def _batch(self) -> Batch:
        epoch, place = divmod(self.step, self.per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._batches = epoch_batches(
                self.rows.contexts.buckets,
                self.config.batch_size,
                self.config.seed,
                epoch,
                self.rows.gold,
            )
        return self._batches[place]

    def train_step(self) -> None:
        batch, members = self._batch(), self.training
        prompts: list[Tensor] = [member.module() for member in members]
        leaves = [vectors_PX.detach().requires_grad_() for vectors_PX in prompts]
        total_K = torch.zeros(len(members), dtype=torch.float64)
        for losses_K in self.losses(batch, leaves, members):
            losses_K.sum().backward()  # type: ignore[no-untyped-call]
            total_K += losses_K.detach().double().cpu()
        factor = learning_rate_factor(self.step, self.course.steps, self.config.warmup)
        for member, vectors_PX, leaf, loss in zip(
            members, prompts, leaves, total_K.tolist(), strict=True
        ):
            assert leaf.grad is not None
            if not member.finite(loss, leaf.grad):
                self._give_up(member, loss, batch)
                continue
            vectors_PX.backward(leaf.grad)  # type: ignore[no-untyped-call]
            member.monitor.step(loss, leaf.grad)
            member.update(factor)
        self.step += 1

    def _give_up(self, member: Member, loss: float, batch: Batch) -> None:
        """A member that diverged leaves; the run ends where it is the last one."""
        number = member.candidate.number
        if len(self.training) > 1:
            member.left = self.step + 1
            self.reporter.warning(
                _(
                    "Candidate {number} (learning rate {rate}) diverged at step {step} and is "
                    "given up."
                ).format(
                    number=number,
                    rate=figure(member.candidate.learning_rate),
                    step=self.step + 1,
                )
            )
            return
        bucket = self.rows.contexts.buckets[batch.bucket]
        rows = [self.rows.encoded.rows[bucket[member]] for member in batch.members]
        raise DivergedError(
            _("The {what} is not finite at step {step} (rows {rows} of {source}).").format(
                what=_("gradient") if math.isfinite(loss) else _("loss"),
                step=self.step + 1,
                rows=", ".join(str(row.number) for row in rows[:8]),
                source=rows[0].source,
            ),
            _("The last good checkpoint is kept. Try a smaller learning_rate, or dtype fp32."),
        )

    def _halve(self, keep: int) -> None:
        """Gives up all but the best members so far."""
        order = sorted(self.training, key=lambda member: -member.best_score)
        for member in order[keep:]:
            member.left = self.step

    def _validate(self, *, interim: bool = False) -> None:
        """Scores the members; an interim score is for what is saved now, not for a resumed run."""
        members = self.training
        before = max(member.best_score for member in self.members)
        now = [member.vectors() for member in members]
        scores: dict[str, float] = {}
        watched: dict[int, tuple[dict[str, Any], list[str]]] = {}
        measured: dict[int, dict[str, Any]] = {}
        found = self.validate(now)
        # A score is there when its validation ends.
        self.seconds = time.perf_counter() - self._since
        for member, vectors_PX, (score, record) in zip(members, now, found, strict=True):
            number = member.candidate.number
            member.scored(vectors_PX, score, self.step)
            if self.step:
                watched[number] = member.monitor.report(vectors_PX)
            measured[number] = record
            scores[str(number)] = score
        leader = max(members, key=lambda member: member.best_score)
        number = leader.candidate.number
        about, warnings = watched.get(number, ({}, []))
        for warning in warnings:
            self.reporter.warning(warning)
        self.reporter.record(
            {
                "kind": "validation",
                "step": self.step,
                "epoch": round(self.step / self.per_epoch, 3),
                "learning_rate": leader.learning_rate,
                "candidate": number,
                "score": scores[str(number)],
                "best": leader.best_score > before,
                "interim": interim,
                "population": scores,
                **measured[number],
                **about,
                "seconds": round(self.seconds, 3),
            }
        )

    def _reason(self, interrupt: Interrupt) -> str:
        if interrupt.asked:
            return "interrupted"
        if all(member.waited >= self.patience for member in self.training):
            return "patience"
        budget = self.config.time_budget
        return "time" if budget is not None and self.seconds >= budget else "finished"
