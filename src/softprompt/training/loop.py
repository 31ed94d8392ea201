"""The training loop of one soft prompt: steps, validations, checkpoints, and the best one kept.

It knows batches, a loss and a validation score. Files of data, metrics' meanings and what happens
to the finished vectors are elsewhere.

Shapes: B rows, P vectors, D hidden size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones import Backbone
from softprompt.errors import DivergedError
from softprompt.inference import Contexts, Encoded
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.training.checkpoint import Checkpoint, optimizer_state, restore_optimizer
from softprompt.training.config import TrainingConfig
from softprompt.training.interrupt import Interrupt
from softprompt.training.monitor import Monitor
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.optimizers import OPTIMIZERS
from softprompt.training.reporters import Reporter
from softprompt.training.schedule import (
    Batch,
    epoch_batches,
    learning_rate_factor,
    steps_per_epoch,
)

__all__ = ["Loop", "Outcome", "TrainingRows"]


@dataclass(frozen=True)
class TrainingRows:
    """Rows ready for training.

    Args:
        encoded: rows with the answers that the objective wants.
        gold: place of the right choice of each row (0 where the row has its own answer only).
        contexts: of these rows.
    """

    encoded: Encoded
    gold: Sequence[int]
    contexts: Contexts


@dataclass(frozen=True)
class Outcome:
    """What training made.

    Args:
        vectors_PD: [P, D] the best vectors by validation, fp32 on the CPU.
        initial_PD: [P, D] where they started.
        score: their validation score.
        best_step: steps after which they were found.
        steps: steps done.
        stopped: `finished`, `patience`, `interrupted` or `time`.
        seconds: of training, all parts of a resumed run together.
        parameters: numbers trained.
    """

    vectors_PD: Tensor
    initial_PD: Tensor
    score: float
    best_step: int
    steps: int
    stopped: str
    seconds: float
    parameters: int


class Loop:
    """Trains one parametrisation.

    Args:
        backbone: frozen.
        module: the parametrisation; returns [P, D].
        rows: to learn from.
        validate: from vectors [P, D] to a score (higher is better) and a record of it.
        config: of the optimisation.
        objective: its resolved name.
        folder: checkpoints go to `checkpoints/` below it.
        reporter: hears of it.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        module: nn.Module,
        rows: TrainingRows,
        validate: Callable[[Tensor], tuple[float, dict[str, Any]]],
        config: TrainingConfig,
        objective: str,
        folder: Path,
        reporter: Reporter,
    ) -> None:
        self.backbone, self.module, self.rows = backbone, module, rows
        self.validate, self.config, self.steps, self.patience = validate, config, 0, 1
        self.reporter, self.folder = reporter, folder / "checkpoints"
        self.objective = OBJECTIVES.get(objective)
        scale = float(backbone.embedding_table.float().square().mean().sqrt())
        groups = [
            {**group, "lr": config.learning_rate * group["factor"]}
            for group in module.groups(scale)  # type: ignore[operator]
        ]
        self.optimizer = OPTIMIZERS.get(config.optimizer)(groups, config.weight_decay)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.initial_PD: Tensor = module().detach().float().cpu().clone()
        self.monitor = Monitor(self.initial_PD)
        self.per_epoch = steps_per_epoch(rows.contexts.buckets, config.batch_size)
        self.step, self.waited, self.seconds = 0, 0, 0.0
        self.best_PD, self.best_score, self.best_step = self.initial_PD.clone(), -math.inf, 0

    @property
    def parameters(self) -> int:
        """Numbers trained."""
        return sum(p.numel() for group in self.optimizer.param_groups for p in group["params"])

    def loss(self, batch: Batch, vectors_PD: Tensor) -> Tensor:
        """The objective on one batch, differentiable in the vectors."""
        bucket = self.rows.contexts.buckets[batch.bucket]
        picked = [bucket[member] for member in batch.members]
        device = self.backbone.device
        what = Continuation.of([self.rows.encoded.examples[row] for row in picked], device)
        context = self.rows.contexts.select(batch.bucket, batch.members)
        tokens_M = token_log_probabilities(self.backbone, context, what, vectors_PD)
        gold_B = torch.tensor([self.rows.gold[row] for row in picked], device=device)
        return self.objective(tokens_M, what, gold_B)

    def run(self, steps: int) -> Outcome:
        """Trains until the plan, patience, the clock or Ctrl-C ends it.

        Args:
            steps: of the whole run, those before a resumption counted.

        Raises:
            DivergedError: a loss or gradient is not finite; checkpoints stay as they are.
        """
        self.steps = steps
        every = max(1, self.per_epoch // self.config.validations)
        self.patience = self.config.patience or max(6, 2 * steps // every // 3)
        stopped = "finished"
        begun = saved = time.perf_counter()
        earlier = self.seconds
        with Interrupt() as interrupt:
            while self.step < self.steps:
                self._train_step()
                now = time.perf_counter()
                self.seconds = earlier + now - begun
                self.reporter.progress(self.step, self.steps)
                due = self.step % every == 0 or self.step == self.steps
                if due:
                    self._validate()
                if due or now - saved > self.config.checkpoint_seconds:
                    self._checkpoint()
                    saved = time.perf_counter()
                stopped = self._reason(interrupt)
                if stopped != "finished":
                    break
            if self.step % every and self.step < self.steps:
                self._validate()
            self.seconds = earlier + time.perf_counter() - begun
            self._checkpoint()
        return Outcome(
            vectors_PD=self.best_PD,
            initial_PD=self.initial_PD,
            score=self.best_score,
            best_step=self.best_step,
            steps=self.step,
            stopped=stopped,
            seconds=self.seconds,
            parameters=self.parameters,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint of the same run."""
        tensors, state = checkpoint.tensors, checkpoint.state
        prefix = "module."
        self.module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        restore_optimizer(self.optimizer, tensors, state["optimizer"])
        self.initial_PD, self.best_PD = tensors["initial"], tensors["best"]
        self.best_score = -math.inf if state["best_score"] is None else state["best_score"]
        self.best_step, self.waited = state["best_step"], state["waited"]
        self.seconds, self.step = state["seconds"], checkpoint.step
        self.monitor = Monitor(self.initial_PD)
        self.monitor.restore(state["monitor"])

    def _batch(self) -> Batch:
        epoch, place = divmod(self.step, self.per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._batches = epoch_batches(
                self.rows.contexts.buckets, self.config.batch_size, self.config.seed, epoch
            )
        return self._batches[place]

    def _train_step(self) -> None:
        batch = self._batch()
        factor = learning_rate_factor(self.step, self.steps, self.config.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.zero_grad(set_to_none=True)
        vectors_PD: Tensor = self.module()
        vectors_PD.retain_grad()
        loss = self.loss(batch, vectors_PD)
        loss.backward()  # type: ignore[no-untyped-call]
        assert vectors_PD.grad is not None
        self._check_finite(loss, vectors_PD.grad, batch)
        self.monitor.step(float(loss.detach()), vectors_PD.grad)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.config.clip)
        self.optimizer.step()
        self.step += 1

    def _check_finite(self, loss: Tensor, gradient_PD: Tensor, batch: Batch) -> None:
        if bool(torch.isfinite(loss)) and bool(torch.isfinite(gradient_PD).all()):
            return
        bucket = self.rows.contexts.buckets[batch.bucket]
        rows = [self.rows.encoded.rows[bucket[member]] for member in batch.members]
        raise DivergedError(
            f"The {'gradient' if bool(torch.isfinite(loss)) else 'loss'} is not finite at step "
            f"{self.step + 1} (rows {', '.join(str(row.number) for row in rows[:8])} of "
            f"{rows[0].source}).",
            "The last good checkpoint is kept. Try a smaller learning_rate, or dtype fp32.",
        )

    def _validate(self) -> None:
        vectors_PD = self.module().detach().float().cpu().clone()
        score, measured = self.validate(vectors_PD)
        watched, warnings = self.monitor.report(vectors_PD)
        better = score > self.best_score
        if better:
            self.best_PD, self.best_score, self.best_step = vectors_PD, score, self.step
        self.waited = 0 if better else self.waited + 1
        for warning in warnings:
            self.reporter.warning(warning)
        self.reporter.record(
            {
                "kind": "validation",
                "step": self.step,
                "epoch": round(self.step / self.per_epoch, 3),
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "score": score,
                "best": better,
                **measured,
                **watched,
                "seconds": round(self.seconds, 3),
            }
        )

    def _reason(self, interrupt: Interrupt) -> str:
        if interrupt.asked:
            return "interrupted"
        if self.waited >= self.patience:
            return "patience"
        budget = self.config.time_budget
        return "time" if budget is not None and self.seconds >= budget else "finished"

    def _checkpoint(self) -> None:
        tensors, plain = optimizer_state(self.optimizer)
        tensors |= {f"module.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {"initial": self.initial_PD, "best": self.best_PD}
        state = {
            "optimizer": plain,
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "best_step": self.best_step,
            "waited": self.waited,
            "seconds": self.seconds,
            "monitor": self.monitor.state(),
        }
        Checkpoint(self.step, tensors, state).save(self.folder)
