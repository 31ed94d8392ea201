"""What a run works with, all `auto` settings resolved and checked before anything is written.

It knows how rows become examples and where vectors start; not how they are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones import Backbone
from softprompt.errors import UsageError
from softprompt.evaluation import default_metric
from softprompt.inference import Encoded, chat_used, encode_rows
from softprompt.inference.baselines import ASKING, BASELINES, BaselineRequest
from softprompt.locale import _
from softprompt.prompts import Layout, PromptConfig, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.head import Headed, first_head
from softprompt.prompts.initialisers import INITIALISERS, SHOWING_ROWS, Request
from softprompt.prompts.initialisers.keywords import has_words
from softprompt.prompts.parametrisations import PARAMETRISATIONS, Scaled
from softprompt.tasks import Row, Task, demonstration, in_turn
from softprompt.training.candidates import (
    Candidate,
    draw,
    population_of,
    rates_of,
    usual_population,
)
from softprompt.training.checks import check, refuse_disagreement
from softprompt.training.config import TrainingConfig
from softprompt.training.member import Member
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Setup", "usual_length"]


@dataclass(frozen=True)
class Setup:
    """A task, a backbone and settings without `auto`.

    Args:
        task: rows of all splits.
        backbone: frozen.
        prompt: the four choices as configured.
        training: the optimisation as configured.
        layout: how rows become token ids.
        slots: vectors of each slot of the template; empty where the prompt is one piece.
        chat: whether the model's chat template is used.
        initialisation, objective, metric: what `auto` came to.
        slice_column: a column whose values are scored apart, or None.
        source: [P, X] rows for the initialisation `prompt`, those of a head first; None where the
            configuration names them, if at all.
    """

    task: Task
    backbone: Backbone
    prompt: PromptConfig
    training: TrainingConfig
    layout: Layout
    slots: tuple[int, ...]
    chat: bool
    initialisation: str
    objective: str
    metric: str
    slice_column: str | None
    source: Tensor | None = None

    @classmethod
    def of(
        cls,
        task: Task,
        backbone: Backbone,
        prompt: PromptConfig,
        training: TrainingConfig,
        slice_column: str | None = None,
        chat: str = "auto",
    ) -> Setup:
        """Resolves what is left open.

        Raises:
            SoftPromptError: a setting that cannot be, or a task that cannot be learned.
        """
        slots = task.template.slots if task.template else ()
        refuse_disagreement(slots, prompt, training)
        lengths = tuple(slot.length for slot in slots)
        placement = "slots" if slots else prompt.placement
        closed = bool(task.choices)
        several = training.lengths or (usual_length(prompt, choices=closed),)
        longest = sum(lengths) or training.grow_to or max(several)
        heads = len(task.choices) if backbone.form == "pooled" else 0
        resolved = {
            "initialisation": prompt.initialisation,
            "objective": training.objective,
            "metric": training.metric,
        }
        automatic = {
            "initialisation": _beginning(prompt, closed),
            "objective": "choices" if closed else "answer",
            "metric": default_metric(task.kind),
        }
        for name, choice in resolved.items():
            if choice == "auto":
                resolved[name] = automatic[name]
        scoring = OBJECTIVES.get(resolved["objective"]).scoring
        layout = Layout(backbone, placement, longest, prompt.depth, heads, scoring)
        setup = cls(
            task=task,
            backbone=backbone,
            prompt=prompt,
            training=training,
            layout=layout,
            slots=lengths,
            chat=chat_used(chat, layout),
            slice_column=slice_column,
            initialisation=resolved["initialisation"],
            objective=resolved["objective"],
            metric=resolved["metric"],
        )
        check(setup)
        return setup

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the rows, and about what the prompt begins as; in plain words."""
        shown = set(self.initialisations()) & SHOWING_ROWS
        if not shown or self.prompt.text is not None:
            return tuple(self.task.warnings)
        train, length = self.task.train, self.layout.length
        first = demonstration(self.task, train[in_turn(self.task, train, self.training.seed)[0]])
        tokens = len(self.backbone.encode(first))
        if tokens <= length:
            return tuple(self.task.warnings)
        scrap = _(
            "The prompt begins as the last {length} of the {tokens} tokens of one training row; "
            "--length 128 holds whole ones."
        )
        return (*self.task.warnings, scrap.format(length=length, tokens=tokens))

    @property
    def readout_obstacle(self) -> str | None:
        """Why there can be no readout of contexts; None where there can."""
        if not self.task.choices:
            return _("the task has no answer choices")
        if self.backbone.form != "continued":
            return _("{model} is no decoder").format(model=self.backbone.identity.name)
        if self.layout.placement != "suffix":
            return _("contexts hold the whole text only with --placement suffix")
        return None

    def encode(self, rows: Sequence[Row], answers: str) -> Encoded:
        """Token ids of rows (see `encode_rows`)."""
        return encode_rows(
            self.task,
            rows,
            self.layout,
            answers=answers,
            chat=self.chat,
            drop_long=self.training.drop_long,
        )

    def candidates(self) -> tuple[Candidate, ...]:
        """The population to begin with, the configured prompt first."""
        prompt, training = self.prompt, self.training
        count = population_of(training, usual_population(choices=bool(self.task.choices)))
        return draw(
            count,
            training.seed,
            learning_rates=rates_of(training, count),
            initialisations=self.initialisations() if count > 1 else self.initialisations()[:1],
            parametrisations=training.parametrisations or (prompt.parametrisation,),
            lengths=training.lengths or (self.layout.length,),
        )

    def initialisations(self) -> tuple[str, ...]:
        """What a population tries: the user's choices alone, or what suits the task."""
        if self.training.initialisations:
            return self.training.initialisations
        if self.prompt.initialisation != "auto":
            return (self.initialisation,)
        if not self.task.choices:
            return (self.initialisation, "random")
        words = has_words(_text(self.task, row) for row in self.task.train)
        return (self.initialisation, *(("keywords",) if words else ()), "vocabulary")

    def members(self, candidates: Sequence[Candidate], rows: Sequence[Row]) -> list[Member]:
        """The candidates at their initial vectors.

        Args:
            candidates: to make.
            rows: training rows, whose words some initialisers use.
        """
        scale = self.backbone.embedding_scale
        request, rate = self.request(rows), DEPTHS.get(self.prompt.depth).rate
        found = []
        for candidate in candidates:
            own = replace(request, length=candidate.length, seed=candidate.seed, made_of={})
            module = self._headed(self._module(candidate, own), candidate)
            found.append(Member(candidate, module, self.training, scale, rate, own.made_of))
        return found

    def _headed(self, module: nn.Module, candidate: Candidate) -> nn.Module:
        """The module with a classifier's head, begun from another prompt's where there is one."""
        heads, size = self.layout.heads, self.backbone.hidden_size
        if not heads:
            return module
        source = self.origin()
        if source is None or candidate.initialisation != "prompt":
            return Headed(module, first_head(heads, size, candidate.seed))
        return Headed(module, source[:heads, :size])

    def origin(self) -> Tensor | None:
        """[P, X] the rows that the initialisation `prompt` begins from, those of a head first.

        Raises:
            UsageError: they are of another depth, or have another head.
        """
        if self.source is not None or self.prompt.start is None:
            return self.source
        start = SoftPrompt.load(self.prompt.start)
        start.check_backbone(self.backbone)
        if start.depth not in {"input", self.prompt.depth}:
            raise UsageError(
                _(
                    "The prompt to start from is of depth {old!r}, the new one of depth {new!r}."
                ).format(old=start.depth, new=self.prompt.depth),
                _("Start from a prompt of the same depth, or of depth input."),
            )
        if _shows(start) and set(self.task.hashes.values()) & _sources(start):
            raise UsageError(
                _(
                    "The prompt to start from is made of rows of this file, and which row went "
                    "where is not known: rows would see their own answers."
                ),
                _("Begin anew with --initialisation context, or train it on other rows."),
            )
        if start.heads != self.layout.heads:
            raise UsageError(
                _(
                    "The prompt to start from has a head of {old} choices, the new one {new}."
                ).format(old=start.heads, new=self.layout.heads),
                _("Start from a prompt of a task with as many choices, or leave prompt.start out."),
            )
        return start.members[0]

    def request(self, rows: Sequence[Row]) -> Request:
        """What initialisers may use of training rows."""
        source = self.origin()
        return Request(
            backbone=self.backbone,
            demonstrations=lambda place: demonstration(self.task, rows[place]),
            order=partial(in_turn, self.task, rows),
            length=self.layout.length,
            texts=[_text(self.task, row) for row in rows],
            labels=[str(row.answer) for row in rows] if self.task.choices else (),
            wordings=[choice.wording for choice in self.task.choices],
            text=self.prompt.text,
            prompt=None if source is None else source[self.layout.heads :],
            deepened=partial(
                self._deepened, self.layout.in_encoder(self.task.render(self.task.train[0]))
            ),
        )

    def _deepened(self, inside: int, embeds_ND: Tensor) -> Tensor:
        """[N, X] rows that act as these embeddings do, the first ones inside an encoder beside a
        decoder; where the whole prompt stands on one side, so do embeddings that it is mixed of."""
        start = partial(DEPTHS.get(self.prompt.depth).start, backbone=self.backbone)
        if inside in (0, self.layout.length):
            return start(embeds_ND, encoder=inside > 0)
        sides = [start(embeds_ND[:inside], encoder=True)]
        if len(embeds_ND) > inside:
            sides.append(start(embeds_ND[inside:], encoder=False))
        return torch.cat(sides)

    def _module(self, candidate: Candidate, request: Request) -> nn.Module:
        initial_PX = INITIALISERS.get(candidate.initialisation)(request)
        depth, backbone = DEPTHS.get(self.prompt.depth), self.backbone
        if initial_PX.shape[1] != depth.width(backbone):
            initial_PX = request.deepened(initial_PX)
        scale_X = depth.scale(initial_PX, backbone)
        ones_X = torch.ones(initial_PX.shape[1]) if scale_X is None else scale_X

        def vocabulary(count: int) -> Tensor:
            return request.deepened(request.vocabulary(count)) / ones_X

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(candidate.seed)
            make = PARAMETRISATIONS.get(candidate.parametrisation)
            if scale_X is None:
                return make(initial_PX, vocabulary)
            return Scaled(make(initial_PX / scale_X, vocabulary), scale_X)

    def baselines(self, rows: tuple[Row, ...]) -> dict[str, Any]:
        """From the name of each baseline asked for to a request-bound call.

        Args:
            rows: of the test that the prompt has answered.
        """
        request = BaselineRequest(
            backbone=self.backbone,
            task=replace(self.task, test=rows),
            metric=self.metric,
            chat=self.chat,
            templates=self.training.hand_prompts,
            shots=self.training.shots,
            seed=self.training.seed,
            drop_long=self.training.drop_long,
            max_new_tokens=self.training.max_new_tokens,
        )
        # A majority of free texts means nothing; asking for the default baselines is no mistake.
        names = [n for n in self.training.baselines if self.task.choices or n != "majority"]
        if self.backbone.form == "pooled":
            # Without a trained head an encoder has no answer.
            names = [name for name in names if name not in ASKING]
        return {name: partial(BASELINES.get(name), request) for name in names}


def usual_length(prompt: PromptConfig, *, choices: bool) -> int:
    """Vectors of a prompt: as many as are asked for, else as the prompt has that it starts from,
    else as tasks of the kind have.

    Args:
        prompt: the settings.
        choices: whether the task has answer choices.

    Raises:
        ArtifactError: the prompt to start from cannot be read.
    """
    if prompt.length is None and prompt.start is not None:
        return SoftPrompt.load(prompt.start).length
    return prompt.vectors(choices=choices)


def _shows(prompt: SoftPrompt) -> bool:
    """Whether training rows, not a text of the user's, stand in a prompt."""
    return prompt.initialisation in SHOWING_ROWS and prompt.configured("prompt", "text") is None


def _sources(prompt: SoftPrompt) -> set[str]:
    """Digests of the files that a prompt has learned from."""
    data: Any = prompt.data
    return set(map(str, data.values())) if isinstance(data, Mapping) else set()


def _text(task: Task, row: Row) -> str:
    """A row's input as one text."""
    if row.messages:
        return " ".join(message["content"] for message in row.messages)
    return " ".join(row.columns.get(name, "") for name in task.inputs)


def _beginning(prompt: PromptConfig, closed: bool) -> str:
    """What `auto` begins from: what is given to begin from, else what suits the task."""
    if prompt.start is not None:
        return "prompt"
    if prompt.text is not None:
        return "text"
    return "labels" if closed else "vocabulary"
