"""A soft prompt learned over any backbone, the model's own or one that was changed before.

It does not know what was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.stages import kept as written
from softprompt.comparison.work import Taught
from softprompt.prompts import SoftPrompt
from softprompt.storage import write_json
from softprompt.training import tune
from softprompt.training.candidates import population_of, rates_of, usual_population
from softprompt.training.run_directory import RunDirectory
from softprompt.training.setup import Setup

__all__ = ["history_of", "learned_prompt", "prompted", "refuse_prompt", "seconds_of", "space_of"]

_KEPT = ("population", "selection", "readout", "steps")
"""What a method's details have of a run's result."""

_STAGES = ("search", "training")


def prompted(job: Job, backbone: Backbone, folder: Path, loaded: float = 0.0) -> dict[str, Any]:
    """A run as `softprompt tune` makes it, its test rows left for later; its population is its
    search. A run that was stopped goes on.

    Args:
        job: whose task and settings count.
        backbone: that the prompt is for.
        folder: of the run.
        loaded: seconds that loading the model took.

    Returns:
        the run's result; its `seconds` have, as `before`, those of the parts that were stopped
        which are not of training.

    Raises:
        KeyboardInterrupt: it was stopped; the next call goes on.
    """
    ended = folder.with_name("before.json")
    earlier = {"seconds": 0.0, "training": 0.0, **(written(ended) or {})}
    # What another run left on disk would take the time of reading texts off this one's.
    own = {"baselines": (), "disk_cache": "off"}
    result = tune(
        replace(job.task, test=()),
        backbone,
        folder,
        prompt=job.config.prompt,
        training=job.config.training.model_copy(update=own),
        slice_column=job.config.task.slice,
        chat=job.config.task.chat,
        reporter=job.reporter,
    )
    # Training itself adds up what earlier parts of a run took, and the total does not.
    total = result["seconds"]["total"] + earlier["training"]
    spent = {**result["seconds"], "total": total, "before": earlier["seconds"]}
    if result["stopped"] == "interrupted":
        so_far = _before({"seconds": spent}, loaded) + float(spent["evaluation"])
        write_json(ended, {"seconds": round(so_far, 3), "training": spent["training"]})
        raise KeyboardInterrupt
    return {**result, "seconds": spent}


def refuse_prompt(job: Job) -> None:
    """Refuses a prompt that this backbone or task cannot take, before anything is trained.

    Raises:
        SoftPromptError: why, and what works.
    """
    setup = Setup.of(
        job.task,
        job.backbone(),
        job.config.prompt,
        job.config.training,
        job.config.task.slice,
        job.config.task.chat,
    )
    job.refuse_long(setup.layout)


def learned_prompt(
    job: Job,
    backbone: Backbone,
    *,
    before: Mapping[str, Any] | None = None,
    kept: Sequence[str] = (),
    parameters: int = 0,
    shared: bool = False,
    loaded: float = 0.0,
    detach: Callable[[], Backbone] | None = None,
    put: Callable[[], None] = lambda: None,
    **details: Any,
) -> Trained:
    """A prompt that has learned the task over a backbone.

    Args:
        job: whose task and settings count.
        backbone: that the prompt is for.
        before: what it took that was learned first (`bytes`, `seconds`); None where nothing was.
        kept: where in the method's folder that is.
        parameters: numbers of it.
        shared: whether other tasks use it too.
        loaded: seconds that loading the model took.
        detach: takes off what the backbone has beside the prompt; the backbone itself where None.
        put: puts that into a loaded model, from disk, before the prompt.
        details: beside those of the run.
    """
    folder = job.folder / "run"
    result = prompted(job, backbone, folder, loaded)
    stored = before["bytes"] if before else 0
    search, training = (before["seconds"][part] if before else 0.0 for part in _STAGES)
    own = seconds_of(result, folder, loaded)
    return Trained(
        _work_of(job, result, backbone, detach, put),
        trainable=parameters + result["trainable_parameters"],
        stored_bytes=stored + result["artifact_bytes"],
        shared_bytes=stored if shared else 0,
        kept=(*kept, str(Path(result["prompt"]).relative_to(job.folder))),
        seconds={"search": search, **{stage: training + own[stage] for stage in own}},
        history=history_of(result, folder, loaded + search + training),
        details={**details, **{key: result[key] for key in _KEPT}},
    )


def _work_of(
    job: Job,
    result: Mapping[str, Any],
    backbone: Backbone,
    detach: Callable[[], Backbone] | None,
    put: Callable[[], None],
) -> Taught:
    """The prompt of a run at work."""
    prompt, training = SoftPrompt.load(result["prompt"]), job.config.training

    def switch() -> None:
        put()
        loaded = SoftPrompt.load(result["prompt"])
        for vectors_PX in loaded.members:
            vectors_PX.to(backbone.device, backbone.compute_dtype)

    return Taught(
        backbone=backbone,
        layout=prompt.layout(backbone),
        prompts=prompt.members,
        depth=prompt.depth,
        temperature=prompt.task.temperature,
        adjustment=prompt.task.adjustment,
        readout=prompt.readout,
        chat=prompt.task.chat,
        drop_long=training.drop_long,
        max_new_tokens=training.max_new_tokens,
        detach=detach or (lambda: backbone),
        switch=switch,
    )


def seconds_of(result: Mapping[str, Any], folder: Path, loaded: float = 0.0) -> dict[str, float]:
    """What a run took, its search, its plan and the choice among its prompts included, and the time
    to its best validation: as other methods are timed. A prompt that grew has several clocks, and
    no time to its best.

    Args:
        result: of the run.
        folder: its own.
        loaded: seconds that loading the model took.
    """
    reached = [
        float(record["seconds"])
        for record in RunDirectory(folder).records()
        if record["step"] == result["best_step"] and "seconds" in record
    ]
    before, spent = _before(result, loaded), result["seconds"]
    training = float(spent["training"])
    whole = before + training + float(spent["evaluation"])
    if (folder / "lengths").is_dir():
        return {"training": whole}
    to_best = before + (reached[0] if reached else training)
    return {"training": whole, "to_best": min(whole, to_best)}


def _before(result: Mapping[str, Any], loaded: float = 0.0) -> float:
    """Seconds that are not of training: loading, threads, the plan and contexts, and these of the
    parts of a run that was stopped."""
    spent = result["seconds"]
    parts = sum(float(spent[part]) for part in ("context", "training", "evaluation"))
    # What is in the total alone comes before the first step.
    earlier = loaded + float(spent.get("before", 0.0))
    return earlier + float(spent["context"]) + max(0.0, float(spent["total"]) - parts)


def history_of(result: Mapping[str, Any], folder: Path, before: float = 0.0) -> list[list[float]]:
    """Seconds and score of every validation of a run: of all prompts together with the readout
    where a readout is kept, of all prompts together where they are and there is none, else of the
    best prompt alone. None of a run that grew, whose records begin with its last length.

    Args:
        result: of the run.
        folder: its own.
        before: seconds that were spent before the run, loading the model among them.
    """
    if (folder / "lengths").is_dir():
        return []
    begun, readout = _before(result, before), result["readout"]
    trained = sum(one["left"] is None for one in result["population"])
    # A readout stands beside the prompts from the first step on, and no record has it beside one.
    whole = readout["kept"] if readout else result["selection"]["members"] == trained
    name = "together" if whole else "score"
    return [
        [round(begun + float(record["seconds"]), 3), float(record.get(name, record["score"]))]
        for record in RunDirectory(folder).records()
        if record.get("kind") == "validation" and "seconds" in record and not record.get("interim")
    ]


def space_of(job: Job) -> dict[str, Any]:
    """What the run's population is drawn from."""
    training, prompt = job.config.training, job.config.prompt
    population = population_of(training, usual_population(choices=bool(job.task.choices)))
    return {
        "prompt": prompt.model_dump(mode="json", exclude_none=True),
        "population": population,
        "learning_rates": list(rates_of(training, population)),
        "epochs": training.epochs,
    }
