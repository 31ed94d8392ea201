"""The soft prompt, as `softprompt tune` trains it."""

from __future__ import annotations

from softprompt.comparison.job import Job, Measured
from softprompt.comparison.methods import METHODS, Method
from softprompt.inference import Predictor
from softprompt.prompts import SoftPrompt
from softprompt.training import tune

__all__ = ["soft_prompt"]


def soft_prompt(job: Job) -> Measured:
    """A run in the method's folder; its population is its search."""
    backbone = job.backbone()
    training = job.config.training.model_copy(update={"baselines": ()})
    result = tune(
        job.task,
        backbone,
        job.folder / "run",
        prompt=job.config.prompt,
        training=training,
        slice_column=job.config.task.slice,
        chat=job.config.task.chat,
        reporter=job.reporter,
    )
    prompt = SoftPrompt.load(result["prompt"])
    answers = Predictor(prompt, backbone).predict(job.task.test)
    kept = {key: result[key] for key in ("population", "selection", "steps", "prompt")}
    return Measured(
        test=result["test"],
        answers=[one.answer for one in answers],
        validation=float(result["validation"][result["metric"]]),
        trainable=result["trainable_parameters"],
        stored_bytes=result["artifact_bytes"],
        seconds={"search": 0.0, "training": result["seconds"]["training"]},
        details=kept,
    )


METHODS.register("soft_prompt")(Method(soft_prompt, 3))
