"""What a run found: the calibrated prompt, its metrics, the baselines beside it.

The validation rows choose and calibrate; the test rows are read once, at the end.

Shapes: P places of a prompt, X numbers at each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softprompt.inference import Answers, Contexts, Encoded, answer, measure
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.head import HEAD
from softprompt.prompts.readout import Readout
from softprompt.training.loop import Outcome
from softprompt.training.member import Member
from softprompt.training.readout import Fitted
from softprompt.training.reporters import Reporter
from softprompt.training.run_directory import RunDirectory
from softprompt.training.selection import Selection, select
from softprompt.training.setup import Setup

__all__ = ["answers_of", "finish", "peak_memory"]


def answers_of(
    setup: Setup,
    encoded: Encoded,
    prompts: Sequence[Tensor],
    contexts: Contexts | None = None,
    reporter: Reporter | None = None,
    readout: Readout | None = None,
) -> list[Answers]:
    """The answers of each prompt [P_k, X] to rows, each with the readout where there is one;
    choices are scored by all in one pass."""

    def run(prompts: Sequence[Tensor]) -> Answers:
        return answer(
            setup.backbone,
            setup.task,
            encoded,
            prompts,
            contexts=contexts,
            max_new_tokens=setup.training.max_new_tokens,
            progress=reporter.progress if reporter else None,
            depth=setup.prompt.depth,
            readout=readout,
        )

    if not setup.task.choices:
        return [run([vectors_PX]) for vectors_PX in prompts]
    together = run(prompts)
    return [together.by(place) for place in range(len(prompts))]


def finish(
    setup: Setup,
    outcome: Outcome,
    fitted: Fitted | None,
    validation: Encoded,
    contexts: Contexts,
    test: Encoded,
    directory: RunDirectory,
    resolved: dict[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Saves the best prompt or ensemble, then measures it on the test rows and saves that with it.

    An interrupted run is saved with its validation metrics alone: the test rows wait for the
    final prompt.

    Returns:
        `validation`, `test` and `baselines` metrics, `population`, `ensemble`, `selection`,
        `adjustment` (what is added to each label's log-probability, and the metrics without it;
        None where the likeliest label is given), `readout` (whether one is kept, its validation
        score alone, and the metrics without it; None where none was fitted) and
        `trainable_parameters`.
    """
    reporter.stage("evaluation", {"rows": len(setup.task.test)})
    vectors = [member.best_PX for member in outcome.members]
    given = answers_of(setup, validation, vectors, contexts)
    chosen = select(setup, validation, given, None if fitted is None else fitted.validation_NC)
    metrics: dict[str, Any] = {"validation": chosen.validation}
    readout = fitted.readout if fitted is not None and chosen.alone is not None else None
    prompt = _prompt(setup, outcome, chosen, readout, metrics, resolved)
    prompt.save(directory.prompt)
    about = _about(setup, outcome, chosen, fitted, validation, given)
    if outcome.stopped == "interrupted" or not setup.task.test:
        return {**metrics, "test": None, "baselines": {}, **about}
    answers = answers_of(setup, test, vectors[: chosen.tried], reporter=reporter, readout=readout)
    kept = answers[: chosen.count]
    metrics["test"] = _score(setup, chosen, test, kept)
    if about["adjustment"] is not None:
        about["adjustment"]["test_without"] = _score(setup, chosen, test, kept, adjusted=False)
    if readout is not None:
        about["readout"]["test_without"] = _prompts_score(setup, chosen, test, kept)
    if about["ensemble"] is not None:
        about["ensemble"] |= {
            "test": _prompts_score(setup, chosen, test, answers),
            "members_test": [_prompts_score(setup, chosen, test, [each]) for each in answers],
        }
    metrics["baselines"] = {}
    for name, baseline in setup.baselines(test.rows).items():
        reporter.stage("baselines", {"name": name})
        metrics["baselines"][name] = baseline()
    replace(prompt, metrics=metrics).save(directory.prompt)
    return {**metrics, **about}


def _about(
    setup: Setup,
    outcome: Outcome,
    chosen: Selection,
    fitted: Fitted | None,
    validation: Encoded,
    given: Sequence[Answers],
) -> dict[str, Any]:
    """What a result says of the choice, as far as validation rows and their answers tell."""
    members = outcome.members[: chosen.count]
    ensemble = adjustment = None
    readout: dict[str, Any] | None = None
    numbers = sum(p.numel() for m in members for p in m.parameters)
    if chosen.ensemble is not None:
        ensemble = {"members": chosen.tried, "validation": chosen.ensemble}
    if chosen.adjustment:
        kept = given[: chosen.count]
        if fitted is not None and chosen.alone is not None:
            kept = [replace(each, readout=fitted.validation_NC) for each in kept]
        adjustment = {
            "added": dict(zip(setup.task.labels, chosen.adjustment, strict=True)),
            "validation_without": _score(setup, chosen, validation, kept, adjusted=False),
        }
    if fitted is not None:
        readout = {"kept": chosen.alone is not None, "validation_alone": fitted.score}
    if readout is not None and chosen.alone is not None and fitted is not None:
        readout["validation_without"] = chosen.alone[1]
        numbers += fitted.readout.weight_CF.numel() + fitted.readout.bias_C.numel()
    return {
        "population": list(outcome.population),
        "selection": {"members": chosen.count, "p_value": chosen.p_value},
        "ensemble": ensemble,
        "adjustment": adjustment,
        "readout": readout,
        "trainable_parameters": numbers,
    }


def _score(
    setup: Setup,
    chosen: Selection,
    rows: Encoded,
    picked: Sequence[Answers],
    *,
    adjusted: bool = True,
) -> dict[str, Any]:
    """The metric of prompts together, at the temperature of what is kept."""
    added = chosen.adjustment if adjusted else ()
    together = Answers.together(picked).at(chosen.temperature, added)
    return measure(setup.task, rows, together, setup.slice_column)


def _prompts_score(
    setup: Setup, chosen: Selection, rows: Encoded, picked: Sequence[Answers]
) -> dict[str, Any]:
    """The metric of prompts together without a readout, with the adjustment that suits them."""
    together = replace(Answers.together(picked), readout=None)
    adjustment = chosen.adjustment if chosen.alone is None else chosen.alone[0]
    return measure(
        setup.task, rows, together.at(chosen.temperature, adjustment), setup.slice_column
    )


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


def _prompt(
    setup: Setup,
    outcome: Outcome,
    chosen: Selection,
    readout: Readout | None,
    metrics: dict[str, Any],
    resolved: dict[str, Any],
) -> SoftPrompt:
    task = setup.task
    members = outcome.members[: chosen.count]
    best = members[0].candidate
    assert setup.layout.placement is not None
    return SoftPrompt(
        tensors=_tensors(setup, members) | (readout.tensors() if readout else {}),
        placement=setup.layout.placement,
        task=PromptTask(
            kind=task.kind,
            template=task.template.text if task.template else None,
            inputs=task.inputs,
            target=task.target,
            choices=task.choices,
            chat=setup.chat,
            temperature=chosen.temperature,
            max_new_tokens=setup.training.max_new_tokens,
            scoring=setup.layout.scoring,
            adjustment=chosen.adjustment,
            adjustment_alone=chosen.alone[0] if chosen.alone is not None else (),
            demands=task.demands,
        ),
        backbone=setup.backbone.identity,
        depth=setup.prompt.depth,
        parametrisation=best.parametrisation,
        initialisation=best.initialisation,
        dtype=setup.backbone.dtype,
        metrics=metrics,
        data=dict(task.hashes),
        config=resolved,
        population=outcome.population,
    )


def _tensors(setup: Setup, members: Sequence[Member]) -> dict[str, Tensor]:
    """The best vectors of the members under the names that the artifact gives them."""
    found: dict[str, Tensor] = {}
    depth, heads = DEPTHS.get(setup.prompt.depth), setup.layout.heads
    for number, member in enumerate(members):
        rows_PX = member.best_PX[heads:]
        lengths = list(setup.slots) or [len(rows_PX)]
        prefix = f"member.{number}." if len(members) > 1 else ""
        tensors = depth.tensors(rows_PX, lengths, setup.backbone)
        if heads:
            tensors[HEAD] = member.best_PX[:heads, : setup.backbone.hidden_size].contiguous()
        found |= {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    return found
