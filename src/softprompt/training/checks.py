"""What cannot work, refused before a run writes anything.

It knows the settings and what each needs of the others; it resolves nothing and trains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from softprompt.errors import DataError, UsageError, nearest
from softprompt.evaluation import score_classification, score_generation, unmet, value
from softprompt.inference.baselines import BASELINES
from softprompt.locale import _
from softprompt.prompts import PromptConfig
from softprompt.prompts.config import CHOOSING
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.initialisers import (
    INITIALISERS,
    READING_TEXT,
    SHOWING_ROWS,
    TAKING_PROMPTS,
)
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import pieces
from softprompt.prompts.presets import PRESETS
from softprompt.tasks import Slot, Task, Template
from softprompt.training.candidates import varied
from softprompt.training.config import TrainingConfig
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from softprompt.training.setup import Setup

__all__ = [
    "check",
    "check_beginnings",
    "check_hand_prompts",
    "check_metric",
    "refuse_disagreement",
    "refuse_untried",
]


def check(setup: Setup) -> None:
    """Refuses what cannot work.

    Raises:
        SoftPromptError: the first thing that cannot be.
    """
    task, training = setup.task, setup.training
    if not task.validation:
        raise DataError(
            _("There are no validation rows, and the best prompt is chosen on them."),
            _("Name a file with --validation, or leave validation_share above 0."),
        )
    _names(setup)
    _objective(setup)
    check_metric(task, setup.metric)
    check_hand_prompts(task, training.hand_prompts)
    _demands(task)
    if setup.slice_column and setup.slice_column not in task.train[0].columns:
        raise DataError(
            _("There is no column {name!r} to slice by.").format(name=setup.slice_column),
            nearest(setup.slice_column, task.train[0].columns),
        )
    why = setup.readout_obstacle
    if training.readout == "on" and why is not None:
        raise UsageError(
            _("A readout cannot be trained here: {why}.").format(why=why),
            _("Leave --readout out, or use --readout off."),
        )
    _ensemble(setup)
    _depth(setup)
    setup.layout.arrange(task.render(task.train[0]))
    _told_apart(setup)
    check_beginnings(setup)


def refuse_untried(
    prompt: PromptConfig,
    training: TrainingConfig,
    slots: Sequence[Slot] = (),
    *,
    rounds: bool = False,
) -> None:
    """Refuses values that a new run would not try.

    Args:
        prompt, training: the settings.
        slots: of the template.
        rounds: whether populations of several rounds try them.

    Raises:
        UsageError: naming the setting.
    """
    # Those who ask for the usual number anyway are told no other.
    if training.lengths and prompt.length not in (None, CHOOSING, *training.lengths):
        _refuse_lengths(["training.lengths", "prompt.length"])
    # A method's name brings a placement along, which slots may replace; another was asked for.
    if slots and prompt.method:
        _refuse_placement(prompt, PRESETS[prompt.method].axes.get("placement"))
    if rounds:
        return
    for name, values in varied(training).items():
        if training.population is not None and len(values) > training.population:
            raise UsageError(
                _(
                    "training.{name} has {n} values, and {count} prompts cannot try them all."
                ).format(name=name, n=len(values), count=training.population),
                _("Leave training.population out, give it at least {n}, or name fewer.").format(
                    n=len(values)
                ),
            )


def refuse_disagreement(
    slots: Sequence[Slot], prompt: PromptConfig, training: TrainingConfig
) -> None:
    """Refuses settings that disagree on where the prompt stands or how long it is.

    Raises:
        UsageError: what disagrees, by name.
    """
    said: dict[str, object] = {
        _("the template's slots"): slots,
        "training.lengths": training.lengths,
        "training.grow_to": training.grow_to,
        # Runs that were begun when a length was always written down have this one.
        "prompt.length": (slots or training.grow_to) and prompt.length not in (None, CHOOSING),
    }
    names = [name for name, value in said.items() if value]
    if len(names) > 1:
        _refuse_lengths(names)
    if names and not slots and pieces(prompt.placement) > 1:
        raise UsageError(
            _(
                "A prompt of placement {placement!r} stands in several pieces, and {setting} asks "
                "for prompts of several lengths."
            ).format(placement=prompt.placement, setting=names[0]),
            _("Choose a placement in one piece, or leave the lengths out."),
        )
    if slots and not prompt.method:
        _refuse_placement(prompt)


def _refuse_placement(prompt: PromptConfig, usual: str | None = None) -> None:
    """Refuses a placement beside slots that is neither theirs nor what stands there unless given.

    Raises:
        UsageError: naming it.
    """
    usual = usual or type(prompt).model_fields["placement"].default
    if prompt.placement not in ("slots", usual):
        raise UsageError(
            _("The template has {{prompt:N}} slots, and the placement is {placement!r}.").format(
                placement=prompt.placement
            ),
            _("Take the slots out, or use --placement slots."),
        )


def _refuse_lengths(names: Sequence[str]) -> NoReturn:
    raise UsageError(
        _("The prompt's length is said more than once: by {names}.").format(
            names=_(" and by ").join(names)
        ),
        _("Leave one of them out."),
    )


def _names(setup: Setup) -> None:
    """Unknown names."""
    training = setup.training
    for name in {setup.initialisation, *training.initialisations}:
        INITIALISERS.get(name)
    DEPTHS.get(setup.prompt.depth)
    for name in {setup.prompt.parametrisation, *training.parametrisations}:
        PARAMETRISATIONS.get(name)
    OPTIMIZERS.get(training.optimizer)
    for name in training.baselines:
        BASELINES.get(name)


def _objective(setup: Setup) -> None:
    chooses = OBJECTIVES.get(setup.objective).answers == "choices"
    if chooses and not setup.task.choices:
        raise UsageError(
            _("The objective {name!r} needs answer choices; this task writes freely.").format(
                name=setup.objective
            ),
            _("Use objective=answer."),
        )
    if setup.backbone.form == "pooled" and not (chooses and setup.task.choices):
        raise UsageError(
            _("{model} is an encoder: it tells choices apart and writes no text.").format(
                model=setup.backbone.identity.name
            ),
            _(
                "Give a task with answer choices and leave training.objective out, or choose a "
                "model that writes (`softprompt models`)."
            ),
        )


def _told_apart(setup: Setup) -> None:
    """Choices that the tokenizer writes alike, as it does with characters that it does not know."""
    if setup.layout.heads:
        return
    prefix = setup.task.render(setup.task.train[0]).answer_prefix
    known: dict[tuple[int, ...], str] = {}
    for choice in setup.task.choices:
        first = known.setdefault(setup.layout.answer(prefix + choice.wording), choice.label)
        if first != choice.label:
            raise DataError(
                _(
                    "The model's tokenizer writes the labels {first!r} and {second!r} alike, so it "
                    "cannot tell them apart."
                ).format(first=first, second=choice.label),
                _(
                    "Give them other wordings with --choices, or choose a model that knows their "
                    "script."
                ),
            )


def check_metric(task: Task, name: str) -> None:
    """Whether a prompt can be chosen by it: one row is scored.

    Raises:
        UsageError: it is none of the task's metrics, or its library is not installed.
    """
    if task.choices:
        label = task.labels[0]
        value(score_classification([label], [label], task.labels), name)
    else:
        value(score_generation(["a"], ["a"], demands=task.demands), name)


def check_hand_prompts(task: Task, texts: Sequence[str]) -> None:
    """Whether rows can be written by hand prompts: one row is.

    Raises:
        DataError: a text is no template, names a column that there is not, or has slots.
    """
    for text in texts if task.template is not None else ():
        if replace(task, template=Template(text)).render(task.train[0]).slots:
            raise DataError(
                _("The hand prompt {text!r} has {{prompt:N}} slots, and no prompt to fill them.")
                .format(text=text),
                _("Take them out."),
            )  # fmt: skip


def _demands(task: Task) -> None:
    """A format that no right answer keeps to."""
    if task.choices or "format" not in task.demands:
        return
    wanted = {"format": task.demands["format"]}
    places, _terms = unmet([str(row.answer) for row in task.train], wanted)
    if len(places) == len(task.train):
        raise DataError(
            _("None of the {n} training answers keeps to the format.").format(n=len(task.train)),
            _("Correct task.answer_format; `softprompt check` shows answers that do not."),
        )


def _ensemble(setup: Setup) -> None:
    """An ensemble of more prompts than there will be."""
    training, wanted = setup.training, setup.training.ensemble
    if not isinstance(wanted, int) or wanted == 1:
        return
    if not setup.task.choices:
        raise UsageError(
            _("Free text is written by one prompt, so no ensemble can be kept."),
            _("Leave --ensemble out."),
        )
    if wanted > min(training.survivors, training.population or wanted):
        raise UsageError(
            _("An ensemble of {wanted} needs as many prompts that train to the end.").format(
                wanted=wanted
            ),
            _(
                "Leave training.population and training.survivors out, or give them at least "
                "{wanted}."
            ).format(wanted=wanted),
        )


def _depth(setup: Setup) -> None:
    """What the depth cannot do."""
    training, depth = setup.training, DEPTHS.get(setup.prompt.depth)
    depth.check(setup.backbone)
    shown = {setup.initialisation, *training.initialisations} & SHOWING_ROWS
    if setup.prompt.text is not None:
        # What is shown is the user's text, which no row has to be hidden from.
        shown -= READING_TEXT
    if shown and depth.computed:
        raise UsageError(
            _(
                "A prompt that starts as {names} is made of training rows, and only depth kv can "
                "hide it from them; this one is of depth {depth!r}."
            ).format(names=", ".join(sorted(shown)), depth=setup.prompt.depth),
            _("Choose another initialisation.")
            if setup.backbone.form == "pooled"
            else _("Choose --depth kv, or another initialisation."),
        )
    if shown and training.grow_to is not None:
        raise UsageError(
            _("A prompt that starts as {names} does not grow.").format(
                names=", ".join(sorted(shown))
            ),
            _("Leave training.grow_to out, or choose another initialisation."),
        )
    if training.token_dropout and depth.computed:
        raise UsageError(
            _(
                "training.token_dropout hides places of kv prompts; this one is of depth {depth!r}."
            ).format(depth=setup.prompt.depth),
            _("Leave it out, or choose --depth kv."),
        )


def check_beginnings(setup: Setup) -> None:
    """Refuses initial vectors that cannot be made, and what is given to begin from and begins
    nothing.

    Raises:
        UsageError: which.
    """
    names = {setup.initialisation, *setup.initialisations()}
    given = {
        "prompt.text": (setup.prompt.text is not None, READING_TEXT),
        "prompt.start": (setup.prompt.start is not None, TAKING_PROMPTS),
    }
    for setting, (there, readers) in given.items():
        if there and not names & readers:
            raise UsageError(
                _(
                    "{setting} is given, and no prompt begins from it: the initialisations are "
                    "{names}."
                ).format(setting=setting, names=", ".join(sorted(names))),
                _("Leave it out, or choose --initialisation {names}.").format(
                    names=_(" or ").join(sorted(readers))
                ),
            )
    request = setup.request(setup.task.train)
    for name in sorted(names):
        INITIALISERS.get(name)(replace(request, made_of={}))
