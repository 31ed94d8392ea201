"""From a task and a frozen backbone to a trained, measured and saved soft prompt.

    encode rows -> cache contexts -> plan -> train -> calibrate on validation rows
    -> measure on test rows, once -> save

Everything lands in the run's folder. It knows the order of things; each thing itself is elsewhere.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones import Backbone
from softprompt.errors import DataError, UsageError, nearest
from softprompt.evaluation import default_metric, fit_temperature, value
from softprompt.inference import (
    Contexts,
    Encoded,
    answer,
    chat_used,
    encode_rows,
    free_memory_budget,
    measure,
)
from softprompt.inference.baselines import BASELINES, BaselineRequest
from softprompt.prompts import Layout, PromptConfig, PromptTask, SoftPrompt
from softprompt.prompts.artifact import artifact_bytes
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.initialisers import INITIALISERS, Request
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.tasks import Row, Task
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.config import TrainingConfig, validated
from softprompt.training.curves import draw_curves
from softprompt.training.loop import Loop, Outcome, TrainingRows
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.plan import Plan, check_same, measure_step
from softprompt.training.reporters import REPORTERS, Reporter, Reporters
from softprompt.training.run_directory import MetricsFile, RunDirectory

__all__ = ["Tuning", "tune"]

GENERATED_VALIDATION_ROWS = 200
"""Rows that are generated for at each validation of a free-text task; writing is slow."""


def tune(
    task: Task,
    backbone: Backbone,
    output: str | Path,
    *,
    prompt: PromptConfig | None = None,
    training: TrainingConfig | None = None,
    slice_column: str | None = None,
    chat: str = "auto",
    config: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Trains a soft prompt and saves it with its measurements.

    Args:
        task: what to learn, with rows of all splits.
        backbone: the frozen model.
        output: the run's folder; a run that was begun there goes on.
        prompt: placement, depth, parametrisation, initialisation, length.
        training: the optimisation.
        slice_column: a column whose values are scored apart.
        chat: use of the model's chat template: `auto`, `on`, `off`.
        config: the resolved configuration to write down; made from the parts when absent.
        reporter: hears of the run.
        settings: fields of `prompt` and `training` by name, for example `epochs=10`.

    Returns:
        `prompt` (path), `validation`, `test` and `baselines` (metrics, fractions),
        `trainable_parameters`, `artifact_bytes`, `seconds` (by stage), `peak_memory_bytes`.

    Raises:
        SoftPromptError: what is wrong with data, settings or folder.
    """
    prompt, training = _with(settings, prompt or PromptConfig(), training or TrainingConfig())
    run = RunDirectory(Path(output))
    resolved = config or {
        "data": task.name,
        "prompt": prompt.model_dump(),
        "training": training.model_dump(),
        "backbone": backbone.settings,
    }
    tuning = Tuning(task, backbone, run, prompt, training, slice_column, chat, resolved)
    return tuning.run(reporter or Reporter())


def _with(
    settings: dict[str, Any], prompt: PromptConfig, training: TrainingConfig
) -> tuple[PromptConfig, TrainingConfig]:
    for name in settings:
        known = {*PromptConfig.model_fields, *TrainingConfig.model_fields}
        if name not in known:
            raise UsageError(f"Unknown setting {name!r}.", nearest(name, known))
    mine = {k: v for k, v in settings.items() if k in PromptConfig.model_fields}
    other = {k: v for k, v in settings.items() if k in TrainingConfig.model_fields}
    return (
        validated("prompt", PromptConfig, {**prompt.model_dump(), **mine}),
        validated("training", TrainingConfig, {**training.model_dump(), **other}),
    )


class Tuning:
    """One run; `run` does it all."""

    def __init__(
        self,
        task: Task,
        backbone: Backbone,
        directory: RunDirectory,
        prompt: PromptConfig,
        training: TrainingConfig,
        slice_column: str | None,
        chat: str,
        resolved: dict[str, Any],
    ) -> None:
        self.task, self.backbone, self.directory = task, backbone, directory
        self.prompt, self.training, self.resolved = prompt, training, resolved
        self.slice_column = slice_column
        self.earlier = directory.read("plan.json")
        slots = task.template is not None and bool(task.template.slots)
        self.placement = "slots" if slots else prompt.placement
        self.lengths = _lengths(task, prompt, slots)
        self.layout = Layout(backbone, self.placement, sum(self.lengths))
        self.chat = chat_used(chat, self.layout)
        kind = "choices" if task.choices else "vocabulary"
        self.initialisation = prompt.initialisation
        if self.initialisation == "auto":
            self.initialisation = "labels" if kind == "choices" else kind
        self.objective = training.objective
        if self.objective == "auto":
            self.objective = kind if kind == "choices" else "answer"
        self.metric = training.metric
        if self.metric == "auto":
            self.metric = default_metric(task.kind)
        self.seconds: dict[str, float] = {}

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Does the whole run and returns its result."""
        begun = time.perf_counter()
        done = self.directory.read("result.json")
        if done is not None and done.get("stopped") != "interrupted":
            return done
        self._check()
        if self.earlier is None:
            self.directory.create(self.resolved)
        extra = [
            REPORTERS.get(name)(self.directory.path, self.resolved)
            for name in self.training.reporters
        ]
        self.reporter = Reporters([MetricsFile(self.directory), reporter, *extra])
        result: dict[str, Any] | None = None
        try:
            for warning in self.task.warnings:
                self.reporter.warning(warning)
            outcome, module = self._train()
            result = self._finish(outcome, begun)
        finally:
            self._draw()
            self.reporter.close(result)
        return result

    def _check(self) -> None:
        """Refuses what cannot work, before anything is written."""
        if not self.task.validation:
            raise DataError(
                "There are no validation rows, and the best prompt is chosen on them.",
                "Name a file with --validation, or leave validation_share above 0.",
            )
        if self.task.choices and self.objective not in OBJECTIVES:
            OBJECTIVES.get(self.objective)
        if not self.task.choices and OBJECTIVES.get(self.objective).answers == "choices":
            raise UsageError(
                f"The objective {self.objective!r} needs answer choices; this task writes freely.",
                "Use objective=answer.",
            )
        INITIALISERS.get(self.initialisation)
        DEPTHS.get(self.prompt.depth)
        PARAMETRISATIONS.get(self.prompt.parametrisation)
        for name in self.training.baselines:
            BASELINES.get(name)
        if self.slice_column and self.slice_column not in self.task.train[0].columns:
            raise DataError(
                f"There is no column {self.slice_column!r} to slice by.",
                nearest(self.slice_column, self.task.train[0].columns),
            )

    def _encode(self, rows: tuple[Row, ...], answers: str) -> Encoded:
        return encode_rows(
            self.task,
            rows,
            self.layout,
            answers=answers,
            chat=self.chat,
            drop_long=self.training.drop_long,
        )

    def _train(self) -> tuple[Outcome, nn.Module]:
        start = time.perf_counter()
        wanted = OBJECTIVES.get(self.objective).answers
        train = self._encode(self.task.train, wanted)
        held = self.task.validation
        if not self.task.choices:
            held = held[:GENERATED_VALIDATION_ROWS]
        validation = self._encode(held, "choices")
        for name, encoded in (("training", train), ("validation", validation)):
            if encoded.dropped:
                self.reporter.warning(
                    f"{encoded.dropped} {name} rows do not fit into the model's window and are "
                    "left out."
                )
            if not encoded.examples:
                raise DataError(
                    f"No {name} row fits into the model's window of {self.backbone.window} tokens.",
                    "Shorten the texts, or choose a model with a longer window.",
                )
        plan = Plan.of(self.earlier) if self.earlier else None
        budget = plan.cache_bytes if plan else free_memory_budget(self.training.cache_share)
        contexts = self._contexts(train, validation, budget)
        self.seconds["context"] = time.perf_counter() - start
        labels = [choice.label for choice in self.task.choices]
        gold = [labels.index(str(r.answer)) if wanted == "choices" else 0 for r in train.rows]
        self.validation, self.validation_contexts = validation, contexts[1]
        module = self._module(train)
        loop = Loop(
            backbone=self.backbone,
            module=module,
            rows=TrainingRows(train, gold, contexts[0]),
            validate=self._validate,
            config=self.training,
            objective=self.objective,
            steps=0,
            folder=self.directory.path,
            reporter=self.reporter,
        )
        plan = self._plan(plan, loop, module, train, validation, budget)
        loop.steps = plan.steps
        checkpoint = Checkpoint.newest(self.directory.checkpoints)
        self.directory.rewind(checkpoint.step if checkpoint else 0)
        if checkpoint:
            loop.restore(checkpoint)
        self.reporter.stage(
            "training", {"estimate_seconds": plan.estimate_seconds, "steps": plan.steps}
        )
        outcome = loop.run()
        self.seconds["training"] = outcome.seconds
        return outcome, module

    def _contexts(
        self, train: Encoded, validation: Encoded, budget: int
    ) -> tuple[Contexts, Contexts]:
        self.reporter.stage("context", {"rows": len(train.rows) + len(validation.rows)})
        size = max(self.training.batch_size, 8 * self.training.batch_size)
        first = Contexts(self.backbone, train.examples, budget, bucket_rows=size)
        total = len(train.rows) + len(validation.rows)
        first.fill(lambda done, _: self.reporter.progress(done, total))
        second = Contexts(self.backbone, validation.examples, max(0, budget - first.bytes))
        second.fill(lambda done, _: self.reporter.progress(len(train.rows) + done, total))
        return first, second

    def _module(self, train: Encoded) -> nn.Module:
        source = None
        if self.prompt.start is not None:
            start = SoftPrompt.load(self.prompt.start)
            start.check_backbone(self.backbone)
            source = start.vectors
        request = Request(
            backbone=self.backbone,
            length=sum(self.lengths),
            seed=self.training.seed,
            texts=[
                " ".join(row.columns.get(name, "") for name in self.task.inputs)
                or " ".join(message["content"] for message in row.messages)
                for row in train.rows
            ],
            labels=[str(row.answer) for row in train.rows] if self.task.choices else (),
            wordings=[choice.wording for choice in self.task.choices],
            text=self.prompt.text,
            prompt=source,
        )
        initial_PD = INITIALISERS.get(self.initialisation)(request)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            module = PARAMETRISATIONS.get(self.prompt.parametrisation)(initial_PD)
        return module

    def _plan(
        self,
        plan: Plan | None,
        loop: Loop,
        module: nn.Module,
        train: Encoded,
        validation: Encoded,
        budget: int,
    ) -> Plan:
        identity = self.backbone.identity
        fingerprints = {"weights": identity.weights, "tokenizer": identity.tokenizer}
        if plan is not None:
            check_same(plan, self.task.hashes, fingerprints)
            return plan
        step = measure_step(loop, self.training, module)
        start = time.perf_counter()
        self._validate(module().detach().float().cpu())
        check = time.perf_counter() - start
        per_epoch = loop.per_epoch * step + self.training.validations * check
        steps = self.training.epochs * loop.per_epoch
        if self.training.time_budget is not None:
            affordable = self.training.time_budget / per_epoch * loop.per_epoch
            steps = max(1, min(steps, int(affordable)))
        plan = Plan(
            placement=self.placement,
            initialisation=self.initialisation,
            objective=self.objective,
            metric=self.metric,
            chat=self.chat,
            dtype=self.backbone.dtype,
            cache_bytes=budget,
            steps=steps,
            steps_per_epoch=loop.per_epoch,
            rows={
                "train": len(train.rows),
                "validation": len(validation.rows),
                "test": len(self.task.test),
            },
            dropped={"train": train.dropped, "validation": validation.dropped},
            data=dict(self.task.hashes),
            backbone=fingerprints,
            estimate_seconds=round(steps / loop.per_epoch * per_epoch, 1),
        )
        self.directory.write("plan.json", plan.as_dict())
        return plan

    def _validate(self, vectors_PD: Tensor) -> tuple[float, dict[str, Any]]:
        answers = answer(
            self.backbone,
            self.task,
            self.validation,
            vectors_PD,
            contexts=self.validation_contexts,
            max_new_tokens=self.training.max_new_tokens,
        )
        metric = measure(self.task, self.validation, answers, slice_column=self.slice_column)
        record: dict[str, Any] = {
            name: number for name, number in metric.items() if isinstance(number, float)
        }
        if "slices" in metric:
            record["slices"] = {
                name: value(part, self.metric) for name, part in metric["slices"].items()
            }
        return value(metric, self.metric), record

    def _finish(self, outcome: Outcome, begun: float) -> dict[str, Any]:
        """Calibrates, saves, measures on the test rows, saves again with what was measured."""
        start = time.perf_counter()
        vectors_PD = outcome.vectors_PD
        self.reporter.stage("evaluation", {"rows": len(self.task.test)})
        answers = answer(
            self.backbone,
            self.task,
            self.validation,
            vectors_PD,
            contexts=self.validation_contexts,
            max_new_tokens=self.training.max_new_tokens,
        )
        temperature = self._temperature(answers.log_scores)
        validation = measure(self.task, self.validation, answers, temperature, self.slice_column)
        prompt = self._prompt(outcome, temperature, {"validation": validation})
        prompt.save(self.directory.prompt)
        test, baselines = None, {}
        if outcome.stopped != "interrupted" and self.task.test:
            encoded = self._encode(self.task.test, "choices")
            answers = answer(
                self.backbone,
                self.task,
                encoded,
                vectors_PD,
                max_new_tokens=self.training.max_new_tokens,
                progress=self.reporter.progress,
            )
            test = measure(self.task, encoded, answers, temperature, self.slice_column)
            baselines = self._baselines()
            metrics = {"validation": validation, "test": test, "baselines": baselines}
            replace(prompt, metrics=metrics).save(self.directory.prompt)
        self.seconds["evaluation"] = time.perf_counter() - start
        self.seconds["total"] = time.perf_counter() - begun
        result = {
            "prompt": str(self.directory.prompt),
            "validation": validation,
            "test": test,
            "baselines": baselines,
            "metric": self.metric,
            "best_step": outcome.best_step,
            "steps": outcome.steps,
            "stopped": outcome.stopped,
            "trainable_parameters": outcome.parameters,
            "artifact_bytes": artifact_bytes(self.directory.prompt),
            "seconds": {name: round(number, 3) for name, number in self.seconds.items()},
            "peak_memory_bytes": _peak_memory(),
            "warnings": list(self.task.warnings),
        }
        self.directory.write("result.json", result)
        return result

    def _temperature(self, log_scores: Any) -> float:
        if log_scores is None:
            return 1.0
        labels = [choice.label for choice in self.task.choices]
        gold = [labels.index(str(row.answer)) for row in self.validation.rows]
        return fit_temperature(log_scores, gold)

    def _prompt(self, outcome: Outcome, temperature: float, metrics: dict[str, Any]) -> SoftPrompt:
        names = DEPTHS.get(self.prompt.depth).names(len(self.lengths))
        tensors = dict(zip(names, outcome.vectors_PD.split(list(self.lengths)), strict=True))
        template = self.task.template
        return SoftPrompt(
            tensors=tensors,
            placement=self.placement,
            task=PromptTask(
                kind=self.task.kind,
                template=template.text if template else None,
                inputs=self.task.inputs,
                target=self.task.target,
                choices=self.task.choices,
                chat=self.chat,
                temperature=temperature,
                max_new_tokens=self.training.max_new_tokens,
            ),
            backbone=self.backbone.identity,
            depth=self.prompt.depth,
            parametrisation=self.prompt.parametrisation,
            initialisation=self.initialisation,
            dtype=self.backbone.dtype,
            metrics=metrics,
            data=dict(self.task.hashes),
            config=self.resolved,
        )

    def _baselines(self) -> dict[str, Any]:
        request = BaselineRequest(
            backbone=self.backbone,
            task=self.task,
            metric=self.metric,
            chat=self.chat,
            templates=self.training.hand_prompts,
            shots=self.training.shots,
            seed=self.training.seed,
            drop_long=self.training.drop_long,
            max_new_tokens=self.training.max_new_tokens,
        )
        results = {}
        for name in self.training.baselines:
            if name == "majority" and not self.task.choices:
                continue
            self.reporter.stage("baselines", {"name": name})
            results[name] = BASELINES.get(name)(request)
        return results

    def _draw(self) -> None:
        draw_curves(self.directory.records(), self.directory.curves, self.metric)


def _lengths(task: Task, prompt: PromptConfig, slots: bool) -> tuple[int, ...]:
    if slots:
        assert task.template is not None
        return tuple(slot.length for slot in task.template.slots)
    return (prompt.length,)


def _peak_memory() -> int:
    """Bytes of resident memory at its peak; on CUDA the device's peak is added."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak if sys.platform == "darwin" else peak * 1024
    return peak + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
