"""What a run found: the calibrated prompt, its metrics, the baselines beside it.

The validation rows choose and calibrate; the test rows are read once, at the end.

Shapes: P vectors, D hidden size.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softprompt.evaluation import fit_temperature
from softprompt.inference import Answers, Contexts, Encoded, answer, measure
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.training.loop import Outcome
from softprompt.training.reporters import Reporter
from softprompt.training.run_directory import RunDirectory
from softprompt.training.setup import Setup

__all__ = ["answers_of", "finish", "peak_memory"]


def answers_of(
    setup: Setup,
    encoded: Encoded,
    vectors_PD: Tensor,
    contexts: Contexts | None = None,
    reporter: Reporter | None = None,
) -> Answers:
    """The prompt's answers to rows."""
    return answer(
        setup.backbone,
        setup.task,
        encoded,
        vectors_PD,
        contexts=contexts,
        max_new_tokens=setup.training.max_new_tokens,
        progress=reporter.progress if reporter else None,
    )


def finish(
    setup: Setup,
    outcome: Outcome,
    validation: Encoded,
    contexts: Contexts,
    test: Encoded,
    directory: RunDirectory,
    resolved: dict[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Saves the best prompt, then measures it on the test rows and saves it with what was found.

    An interrupted run is saved with its validation metrics alone: the test rows wait for the
    final prompt.

    Returns:
        `validation`, `test` and `baselines` metrics.
    """
    reporter.stage("evaluation", {"rows": len(setup.task.test)})
    answers = answers_of(setup, validation, outcome.vectors_PD, contexts)
    temperature = _temperature(setup, validation, answers)
    metrics: dict[str, Any] = {
        "validation": measure(setup.task, validation, answers, temperature, setup.slice_column)
    }
    prompt = _prompt(setup, outcome, temperature, metrics, resolved)
    prompt.save(directory.prompt)
    if outcome.stopped == "interrupted" or not setup.task.test:
        return {**metrics, "test": None, "baselines": {}}
    answers = answers_of(setup, test, outcome.vectors_PD, reporter=reporter)
    metrics["test"] = measure(setup.task, test, answers, temperature, setup.slice_column)
    metrics["baselines"] = {}
    for name, baseline in setup.baselines().items():
        reporter.stage("baselines", {"name": name})
        metrics["baselines"][name] = baseline()
    replace(prompt, metrics=metrics).save(directory.prompt)
    return metrics


def peak_memory() -> int:
    """Bytes of resident memory at its peak; on CUDA the device's peak is added.

    0 where the system has no `resource` module (Windows).
    """
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak if sys.platform == "darwin" else peak * 1024
    return peak + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)


def _temperature(setup: Setup, validation: Encoded, answers: Answers) -> float:
    if answers.log_scores is None:
        return 1.0
    labels = setup.task.labels
    return fit_temperature(
        answers.log_scores, [labels.index(str(row.answer)) for row in validation.rows]
    )


def _prompt(
    setup: Setup,
    outcome: Outcome,
    temperature: float,
    metrics: dict[str, Any],
    resolved: dict[str, Any],
) -> SoftPrompt:
    task = setup.task
    names = DEPTHS.get(setup.prompt.depth).names(len(setup.lengths))
    tensors = dict(zip(names, torch.split(outcome.vectors_PD, list(setup.lengths)), strict=True))
    assert setup.layout.placement is not None
    return SoftPrompt(
        tensors=tensors,
        placement=setup.layout.placement,
        task=PromptTask(
            kind=task.kind,
            template=task.template.text if task.template else None,
            inputs=task.inputs,
            target=task.target,
            choices=task.choices,
            chat=setup.chat,
            temperature=temperature,
            max_new_tokens=setup.training.max_new_tokens,
        ),
        backbone=setup.backbone.identity,
        depth=setup.prompt.depth,
        parametrisation=setup.prompt.parametrisation,
        initialisation=setup.initialisation,
        dtype=setup.backbone.dtype,
        metrics=metrics,
        data=dict(task.hashes),
        config=resolved,
    )
