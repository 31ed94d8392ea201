"""The pretraining loop: steps, log, checkpoints, stop and resume.

A run killed at any moment goes on from its last checkpoint as if nothing had happened: weights,
optimizer state, position in the text and the draw of every batch are restored or follow from
the step number. Does not know files other than checkpoints, shards and the log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from recipes.nano import checkpoint, evaluate, schedule
from recipes.nano.model import Optimizers, build, make_loss
from recipes.nano.schedule import Progress
from recipes.nano.settings import Settings, sequence_lengths, weights
from recipes.nano.shards import Mixture, Shard, Source, read

EVALUATE_TOKENS = 16384
"""Tokens per label in the evaluations during training."""

RECENT = 0.9
"""Weight of the past in the running mean of the time per step."""


class Trainer:
    """One run in one folder."""

    def __init__(
        self,
        settings: Settings,
        tokenizer: Tokenizer,
        shards: dict[str, Shard],
        output: Path,
        start_from: Path | None = None,
    ) -> None:
        self.settings = settings
        self.output = output
        self.tokenizer = tokenizer
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.threads = torch.get_num_threads()
        self.model: LlamaForCausalLM = build(settings, tokenizer.get_vocab_size())
        self._optimizers = Optimizers(self.model, settings)
        self._loss = make_loss(self.model, settings)
        lengths = sequence_lengths(settings.lengths)
        cooldown_lengths = sequence_lengths(settings.cooldown_lengths)
        longest = max(lengths + cooldown_lengths)
        self._lengths = {False: lengths, True: cooldown_lengths}
        sizes = {label: shard.train_tokens for label, shard in shards.items()}
        stable = weights(settings.mix, sizes)
        cooling = weights(settings.cooldown_mix, sizes) if settings.cooldown_mix else stable
        self._shares = {False: stable, True: cooling}
        folder = output / "shards"
        self.mixture = Mixture(
            {
                label: Source(read(folder / f"{label}.train.npy"), longest, settings.read_from)
                for label in shards
            },
            settings.seed,
        )
        self.progress = Progress()
        self._step_seconds = 0.0
        newest = checkpoint.newest(self._checkpoints)
        if newest:
            self.progress = checkpoint.load(newest, self.model, self._optimizers, self.mixture)
        elif start_from:
            checkpoint.load_model(start_from, self.model)

    @property
    def _checkpoints(self) -> Path:
        return self.output / "checkpoints"

    def run(self, stopped: Callable[[], bool], cooldown_now: bool = False) -> bool:
        """Train until the run is over or `stopped` says so; return whether it is over."""
        self._trim_log()
        if cooldown_now and not self.progress.cooling:
            self._begin_cooldown()
        saved = time.monotonic()
        losses: list[float] = []
        while not self.progress.finished:
            if stopped():
                self.save()
                return False
            if schedule.cooldown_due(self.progress, self.settings):
                self._begin_cooldown()
            losses.append(self._step())
            self._report(losses)
            if time.monotonic() - saved > self.settings.checkpoint_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()
        return True

    def save(self) -> None:
        """Write the checkpoint of the present phase."""
        name = checkpoint.COOLDOWN if self.progress.cooling else checkpoint.STABLE
        path = self._checkpoints / name
        checkpoint.save(path, self.model, self._optimizers, self.mixture, self.progress)

    def _begin_cooldown(self) -> None:
        # The stable checkpoint stays as it is from here on: a later run can go on from it.
        self.save()
        schedule.begin_cooldown(self.progress, self.settings, self._step_seconds)
        print(f"cool-down: step {self.progress.step} to {self.progress.cooldown_end}", flush=True)

    def _step(self) -> float:
        progress, settings = self.progress, self.settings
        started = time.monotonic()
        lengths = self._lengths[progress.cooling]
        length = lengths[progress.step % len(lengths)]
        rows = max(1, settings.batch_tokens // length)
        shares = self._shares[progress.cooling]
        batch_BT = self.mixture.batch(progress.step, rows, length, shares)
        loss = self._loss(torch.from_numpy(batch_BT.astype(np.int64)))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizers.step(schedule.scale(progress, settings))
        seconds = time.monotonic() - started
        progress.step += 1
        progress.tokens += rows * length
        progress.seconds += seconds
        past = self._step_seconds or seconds
        self._step_seconds = RECENT * past + (1 - RECENT) * seconds
        return loss.item()

    def _report(self, losses: list[float]) -> None:
        progress, settings = self.progress, self.settings
        entry: dict[str, object] = {
            "step": progress.step,
            "tokens": progress.tokens,
            "seconds": round(progress.seconds, 2),
        }
        if progress.step % settings.report_steps == 0:
            speed = settings.batch_tokens / self._step_seconds
            self._log(entry | {"loss": sum(losses) / len(losses), "tokens_per_second": speed})
            losses.clear()
        if settings.evaluate_steps and progress.step % settings.evaluate_steps == 0:
            held_out = self.bits_per_byte(EVALUATE_TOKENS)
            self._log(entry | {"bits_per_byte": held_out, "drawn": self.mixture.tokens_drawn})

    def bits_per_byte(self, most_tokens: int = 0) -> dict[str, float]:
        """Return held-out bits per byte of every label; 0 tokens means all."""
        return evaluate.bits_per_byte(
            self.model,
            self.settings,
            self.tokenizer,
            self.output / "shards",
            self.mixture.tokens_drawn,
            most_tokens,
        )

    def _log(self, entry: dict[str, object]) -> None:
        line = json.dumps(entry)
        print(line, flush=True)
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _trim_log(self) -> None:
        # Lines after the checkpoint describe steps that are about to be done again.
        path = self.output / "log.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= self.progress.step]
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
