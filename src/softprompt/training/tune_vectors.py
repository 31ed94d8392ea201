"""Soft prompts for any torch module: from inputs and targets to a trained and saved prompt.

The same optimisers, parametrisations, learning rates and initialisers as for language models; the
loss is the user's. Candidates with several learning rates train side by side and the best on
validation inputs is kept. It does not know what inputs, outputs and targets mean.

Shapes: B inputs of a batch, K candidates, P vectors of one, D numbers of a vector.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from softprompt.backbones import Adapter, Backbone, InputVocabulary
from softprompt.errors import DivergedError, UsageError
from softprompt.inference.run_vectors import refuse_no_adapter, vectors_before, vectors_of
from softprompt.locale import _
from softprompt.prompts import PromptConfig, PromptTask, SoftPrompt
from softprompt.prompts.initialisers import INITIALISERS, TAKING_PROMPTS, Request
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.storage import disk_errors
from softprompt.training.candidates import draw, population_of, rates_of
from softprompt.training.checks import refuse_untried
from softprompt.training.config import TrainingConfig
from softprompt.training.interrupt import Interrupt
from softprompt.training.member import Member
from softprompt.training.pairs import divided, picked
from softprompt.training.plan import epochs_for
from softprompt.training.reporters import Reporter
from softprompt.training.run_directory import RunDirectory
from softprompt.training.schedule import epoch_batches, learning_rate_factor, validation_interval
from softprompt.training.tune import with_settings

__all__ = ["tune_vectors"]

Loss = Callable[[Tensor, Any], Tensor]

KNOWN = {
    "batch_size", "clip", "epochs", "initialisations", "learning_rate", "learning_rates",
    "optimizer", "parametrisations", "patience", "population", "seed", "validations", "warmup",
    "weight_decay",
}  # fmt: skip
"""Settings of training that mean something here."""

STARTS = ("vocabulary", "random", "prompt")
"""Initialisers that need no text."""

VOCABULARY_ROWS = 512
"""Inputs whose vectors initialisers draw from."""


def tune_vectors(
    adapter: Adapter,
    inputs: Any,
    targets: Any,
    output: str | Path,
    *,
    loss: Loss,
    validation: tuple[Any, Any] | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Trains vectors among a frozen module's and saves them as an artifact.

    Args:
        adapter: the module.
        inputs: n of them, a tensor, an array, a column of a table or a sequence; batches go to the
            adapter's `embed`: tensors of a tensor, arrays of numbers, of anything else lists.
        targets: n of them, as inputs; numbers become a tensor.
        output: the run's folder, which must be empty or not exist.
        loss: from outputs [B, ...] and the targets of the same inputs to their mean loss.
        validation: inputs and targets to choose the best vectors by; a fifth of the others when
            absent.
        reporter: hears of progress.
        settings: fields of the prompt (`length`, `placement`, `parametrisation`, `initialisation`:
            `vocabulary`, drawn from the inputs' own vectors, `random` or `prompt` with `start`) and
            of training (`epochs`, `learning_rate`, ...) by name.

    Returns:
        `prompt` (path), `loss` and `loss_without` (of the validation inputs with the vectors and
        without any), `population`, `steps`, `stopped`, `trainable_parameters`, `seconds`.

    Raises:
        UsageError: a setting that cannot be, too few inputs, or a folder in use.
        BackboneError: the adapter's functions give something else than vectors and outputs.
        DivergedError: no candidate has a finite loss and gradient.
    """
    begun = time.perf_counter()
    prompt, training = with_settings(settings, PromptConfig(), TrainingConfig())
    _refuse(adapter, loss, prompt, training)
    refuse_untried(prompt, training)
    directory = RunDirectory(Path(output))
    directory.refuse_used()
    parts = divided(inputs, targets, validation, training.seed)
    resolved = {
        "prompt": prompt.model_dump(mode="json"),
        "training": training.model_dump(mode="json", include=KNOWN),
    }
    course = _Course(adapter, loss, *parts, prompt, training, reporter or Reporter())
    with disk_errors(directory.path):
        directory.path.mkdir(parents=True, exist_ok=True)
    directory.write("settings.json", resolved)
    result: dict[str, Any] | None = None
    try:
        result = _run(course, prompt, resolved, directory, begun)
    finally:
        course.reporter.close(result)
    return result


def _run(
    course: _Course,
    prompt: PromptConfig,
    resolved: dict[str, Any],
    directory: RunDirectory,
    begun: float,
) -> dict[str, Any]:
    """Trains, saves and writes the result down."""
    with Interrupt() as interrupt:
        stopped = course.run(interrupt)
    result = {
        **_saved(course, prompt, resolved, directory),
        "steps": course.step,
        "stopped": stopped,
        "seconds": round(time.perf_counter() - begun, 3),
    }
    directory.write("result.json", result)
    return result


def _saved(
    course: _Course, prompt: PromptConfig, resolved: dict[str, Any], directory: RunDirectory
) -> dict[str, Any]:
    """Saves the best candidate; what the result says of it.

    Raises:
        DivergedError: there is none.
    """
    best = max(course.members, key=lambda member: member.best_score)
    if not math.isfinite(best.best_score):
        raise DivergedError(
            _("No candidate has a finite loss on the validation inputs."),
            _("Try a smaller learning_rate."),
        )
    population = [member.report() for member in course.members]
    soft = SoftPrompt(
        tensors={"vectors": best.best_PX},
        placement=prompt.placement,
        task=PromptTask("vectors", None, (), "outputs"),
        backbone=course.adapter.identity,
        parametrisation=best.candidate.parametrisation,
        initialisation=best.candidate.initialisation,
        config=resolved,
        population=population,
    )
    return {
        "prompt": str(soft.save(directory.prompt)),
        "loss": -best.best_score,
        "loss_without": course.without,
        "population": population,
        "trainable_parameters": sum(p.numel() for p in best.parameters),
    }


class _Course:
    """Candidates in training.

    Args:
        adapter, loss: as for `tune_vectors`.
        train, held: inputs and targets to learn from and to choose by.
        prompt, training: the settings.
        reporter: hears of progress.
    """

    def __init__(
        self,
        adapter: Adapter,
        loss: Loss,
        train: tuple[Any, Any],
        held: tuple[Any, Any],
        prompt: PromptConfig,
        training: TrainingConfig,
        reporter: Reporter,
    ) -> None:
        self.adapter, self.loss, self.training = adapter, loss, training
        self.reporter = reporter
        self.train, self.held = train, held
        source = vectors_of(prompt.start, adapter) if prompt.start is not None else None
        if prompt.length is None and source is not None:
            prompt = prompt.model_copy(update={"length": len(source)})
        length = prompt.vectors(choices=True)
        self.before = vectors_before(prompt.placement, length)
        some = adapter.embedded(picked(train[0], range(min(len(train[0]), VOCABULARY_ROWS))))
        words = InputVocabulary(some, length)
        self.members = _members(words, some[0], prompt, training, source)
        self.step = 0
        # Fails here, before anything is written, where the user's functions do not fit together.
        (self.without,) = self._held_losses([])
        self._try()

    @property
    def left(self) -> list[Member]:
        """The candidates that still train."""
        return [member for member in self.members if member.left is None]

    def run(self, interrupt: Interrupt) -> str:
        """Trains until all steps are done, patience ends or Ctrl-C; returns which."""
        training, count = self.training, len(self.train[0])
        per_epoch = -(-count // training.batch_size)
        steps = (training.epochs or epochs_for(per_epoch)) * per_epoch
        every = validation_interval(per_epoch, steps, training.validations)
        patience = training.patience or max(6, 2 * steps // every // 3)
        self.reporter.stage("training", {"population": len(self.members)})
        for epoch in range(-(-steps // per_epoch)):
            for batch in epoch_batches([range(count)], training.batch_size, training.seed, epoch):
                self._train(batch.members, learning_rate_factor(self.step, steps, training.warmup))
                self.step += 1
                self.reporter.progress(self.step, steps)
                if self.step % every == 0 or self.step == steps or interrupt.asked:
                    self._validate()
                    if interrupt.asked:
                        return "interrupted"
                    if all(member.waited >= patience for member in self.left):
                        return "patience"
        return "finished"

    def _try(self) -> None:
        """A step without a step.

        Raises:
            UsageError: the loss does not depend on the vectors.
        """
        rows = range(min(len(self.train[0]), self.training.batch_size))
        leaves = [member.vectors().requires_grad_() for member in self.members]
        inputs, targets = (picked(part, rows) for part in self.train)
        losses = self._losses(inputs, targets, leaves)
        if not all(loss.requires_grad for loss in losses):
            raise UsageError(
                _("The loss does not depend on the vectors: no gradient reaches them."),
                _("Compute outputs and loss with torch alone, without no_grad or detach."),
            )

    def _train(self, rows: Sequence[int], factor: float) -> None:
        members = self.left
        prompts: list[Tensor] = [member.module() for member in members]
        leaves = [vectors_PD.detach().requires_grad_() for vectors_PD in prompts]
        inputs, targets = (picked(part, rows) for part in self.train)
        losses = self._losses(inputs, targets, leaves)
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        for member, vectors_PD, leaf, loss in zip(members, prompts, leaves, losses, strict=True):
            gradient_PD = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            value = float(loss.detach())
            if not member.finite(value, gradient_PD):
                member.left = self.step + 1
                continue
            vectors_PD.backward(gradient_PD)  # type: ignore[no-untyped-call]
            member.monitor.step(value, gradient_PD)
            member.update(factor)
        if not self.left:
            raise DivergedError(
                _("No candidate has a finite loss and gradient at step {step}.").format(
                    step=self.step + 1
                ),
                _(
                    "Try a smaller learning_rate, and check that the loss is finite without "
                    "vectors."
                ),
            )

    def _validate(self) -> None:
        members = self.left
        now = [member.vectors() for member in members]
        found = self._held_losses(now)
        for member, vectors_PD, loss in zip(members, now, found, strict=True):
            member.scored(vectors_PD, -loss if math.isfinite(loss) else -math.inf, self.step)
        best = max(member.best_score for member in self.members)
        self.reporter.record({"kind": "validation", "step": self.step, "best_score": best})

    @torch.no_grad()
    def _held_losses(self, prompts: Sequence[Tensor]) -> list[float]:
        """The mean loss of the validation inputs by each prompt, or without any."""
        inputs, targets = self.held
        size = max(1, 4 * self.training.batch_size)
        total = torch.zeros(max(1, len(prompts)), dtype=torch.float64)
        for start in range(0, len(inputs), size):
            rows = range(start, min(start + size, len(inputs)))
            losses = self._losses(picked(inputs, rows), picked(targets, rows), prompts)
            total += torch.stack(losses).double().cpu() * len(rows)
        return [float(x) for x in total / len(inputs)]

    def _losses(self, inputs: Any, targets: Any, prompts: Sequence[Tensor]) -> list[Tensor]:
        """The loss of a batch by each prompt."""
        rows = self.adapter.embedded(inputs)
        put = [vectors_PD.to(rows[0]) for vectors_PD in prompts]
        outputs = self.adapter.run(rows, put, [self.before] * len(put))
        by_prompt = outputs.unflatten(0, (len(rows), -1)).unbind(1)  # type: ignore[no-untyped-call]
        losses = [self.loss(each, targets) for each in by_prompt]
        if not all(isinstance(loss, Tensor) and loss.ndim == 0 for loss in losses):
            found = losses[0]
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(
                _(
                    "The loss is of shape or type {what}; a tensor of one number for a batch is "
                    "needed."
                ).format(what=what),
                _("Return the mean over the batch."),
            )
        return losses


def _members(
    words: InputVocabulary,
    like: Tensor,
    prompt: PromptConfig,
    training: TrainingConfig,
    source: Tensor | None,
) -> list[Member]:
    """The candidates at their initial vectors, those of `source` [P, D] where one begins so."""
    usual = _beginning(prompt)
    count = population_of(training, 3)
    candidates = draw(
        count,
        training.seed,
        learning_rates=rates_of(training, count),
        initialisations=training.initialisations or (usual,),
        parametrisations=training.parametrisations or (prompt.parametrisation,),
        lengths=(prompt.vectors(choices=True),),
    )
    found = []
    for candidate in candidates:
        # Initialisers ask for embeddings by number, and the inputs' vectors have numbers too.
        request = Request(cast(Backbone, words), candidate.length, candidate.seed, prompt=source)
        initial_PD = INITIALISERS.get(candidate.initialisation)(request)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(candidate.seed)
            make = PARAMETRISATIONS.get(candidate.parametrisation)
            module = make(initial_PD, request.vocabulary).to(like.device)
        found.append(Member(candidate, module, training, words.embedding_scale))
    return found


def _beginning(prompt: PromptConfig) -> str:
    """The initialisation where a population does not try several."""
    if prompt.initialisation != "auto":
        return prompt.initialisation
    return "vocabulary" if prompt.start is None else "prompt"


def _refuse(adapter: object, loss: object, prompt: PromptConfig, training: TrainingConfig) -> None:
    """Refuses (UsageError) what is no adapter, and settings that cannot be or would do nothing."""
    refuse_no_adapter(adapter)
    if not callable(loss):
        raise UsageError(
            _("loss is no function: {value!r}.").format(value=loss),
            _("Give one such as torch.nn.functional.cross_entropy."),
        )
    unknown = sorted(training.model_fields_set - KNOWN)
    if unknown:
        raise UsageError(
            _("training.{name} does nothing for vectors of a module.").format(name=unknown[0]),
            _("These settings do: {names}.").format(names=", ".join(sorted(KNOWN))),
        )
    if prompt.depth != "input":
        raise UsageError(
            _("Depth {depth!r} needs layers, and a module is taken as a whole.").format(
                depth=prompt.depth
            ),
            _("Leave depth out: the vectors stand among the module's inputs."),
        )
    for name in {prompt.initialisation, *training.initialisations} - {"auto", *STARTS}:
        raise UsageError(
            _("The initialisation {name!r} needs text, and inputs of a module have none.").format(
                name=name
            ),
            _("Choose {names}.").format(names=", ".join(STARTS)),
        )
    if prompt.text is not None:
        raise UsageError(
            _("prompt.text does nothing for vectors of a module."),
            _("Leave it out; see prompt.start."),
        )
    names = {_beginning(prompt), *training.initialisations}
    if prompt.start is not None and not names & TAKING_PROMPTS:
        raise UsageError(
            _(
                "prompt.start is given, and no candidate begins from it: the initialisations are "
                "{names}."
            ).format(names=", ".join(sorted(names))),
            _("Leave it out, or choose the initialisation prompt."),
        )
