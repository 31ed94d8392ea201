"""A trained soft prompt: plain vectors, the task they do, and the backbone they belong to.

It holds values and checks that they fit together. Files are the artifact's matter, and running it
is the inference room's.

Shapes: P places of a slot, X numbers of one, D hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from softprompt.backbones import Backbone, Identity
from softprompt.errors import ArtifactError, UsageError
from softprompt.locale import _
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.head import HEAD, headless, with_head
from softprompt.prompts.layout import Layout, Scoring
from softprompt.prompts.peft_config import TASK_FORMS
from softprompt.prompts.readout import Readout, numbers_read, without_readout
from softprompt.tasks import Choice, Template
from softprompt.tasks.demands import demands_of

__all__ = ["PromptTask", "SoftPrompt"]


@dataclass(frozen=True)
class PromptTask:
    """What a prompt was trained to do, as far as using it needs.

    Args:
        kind: `classification` or `generation`.
        template: text around the prompt; None for the messages layout.
        inputs: columns that the template reads.
        target: column that the answer goes to.
        choices: labels and wordings, in order; empty for generation.
        chat: whether the text goes through the model's chat template.
        temperature: divides log-scores before the softmax over the choices.
        max_new_tokens: longest answer to generate, in tokens.
        scoring: what is read of each choice (see `Layout`).
        adjustment: added to the log-probability of each choice before the largest is given as the
            answer; empty for the likeliest.
        adjustment_alone: the same for the prompts without the readout beside them; empty where
            there is none.
        demands: what free answers are held against (see `Task`).
    """

    kind: str
    template: str | None
    inputs: tuple[str, ...]
    target: str
    choices: tuple[Choice, ...] = ()
    chat: bool = False
    temperature: float = 1.0
    max_new_tokens: int = 64
    scoring: Scoring = "whole"
    adjustment: tuple[float, ...] = ()
    adjustment_alone: tuple[float, ...] = ()
    demands: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> PromptTask:
        """A task read from JSON; what is left out is as it is by default.

        Raises:
            KeyError, TypeError: it lacks or garbles a field.
            ConfigError: what answers are held against cannot be.
        """
        task = dict(plain)
        task["choices"] = tuple(Choice(**choice) for choice in task["choices"])
        task["inputs"] = tuple(task["inputs"])
        for name in ("adjustment", "adjustment_alone"):
            task[name] = tuple(task.get(name, ()))
        return cls(**{**task, "demands": demands_of(task.get("demands", {}))})

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels, in order."""
        return tuple(choice.label for choice in self.choices)

    @property
    def wordings(self) -> tuple[str, ...]:
        """What the model reads for each label, in the same order."""
        return tuple(choice.wording for choice in self.choices)


@dataclass(frozen=True)
class SoftPrompt:
    """Vectors that teach one frozen backbone one task.

    Args:
        tensors: as the depth names them: `vectors` [P, D], or `slot.0`, `slot.1`, ... [P_i, D], or
            `deep` [L, P, D]; `head.weight` [C, D] beside them for a classifier; an ensemble has
            the same under `member.0.`, `member.1.`, ...; `readout.weight` [C, F] and
            `readout.bias` [C] where a readout stands beside them; fp32.
        placement, depth, parametrisation, initialisation: the four choices.
        task: what it does.
        backbone: what it was trained over.
        dtype: precision the backbone computed in.
        metrics: metrics on named splits.
        data: SHA-256 of the files it learned from.
        config: the resolved configuration of the run.
        population: how each candidate of the run was made and what it scored on validation rows.
    """

    tensors: Mapping[str, Tensor]
    placement: str
    task: PromptTask
    backbone: Identity
    depth: str = "input"
    parametrisation: str = "direct"
    initialisation: str = "random"
    dtype: str = "fp32"
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    population: Sequence[Mapping[str, Any]] = ()

    @property
    def members(self) -> tuple[Tensor, ...]:
        """[P_k, X] the rows of each member of an ensemble, all slots in order; one otherwise.

        With a head, its rows come first: [C + P_k, X].
        """
        depth = DEPTHS.get(self.depth)
        found = []
        for tensors in self._by_member():
            rows_PX = depth.vectors(headless(tensors))
            found.append(with_head(tensors[HEAD], rows_PX) if HEAD in tensors else rows_PX)
        return tuple(found)

    @property
    def heads(self) -> int:
        """Rows C of the head; 0 where there is none."""
        head = self._by_member()[0].get(HEAD)
        return 0 if head is None else len(head)

    @property
    def vectors(self) -> Tensor:
        """[P, X] the rows of all slots, in order, without a head; for depth `input` [P, D].

        Raises:
            UsageError: the prompt is an ensemble.
        """
        members = self.members
        if len(members) > 1:
            raise UsageError(
                _("The prompt is an ensemble of {n} members.").format(n=len(members)),
                _("Use `members`, or train with --ensemble off for a single prompt."),
            )
        return members[0][self.heads :]

    @property
    def length(self) -> int:
        """Number of vectors, all slots together; of the longest member of an ensemble."""
        return max(len(vectors_PX) for vectors_PX in self.members) - self.heads

    @property
    def readout(self) -> Readout | None:
        """What reads labels from contexts beside the prompts; None where nothing does."""
        return Readout.of(self.tensors)

    def _by_member(self) -> list[Mapping[str, Tensor]]:
        """Tensors of each member without its prefix, in order."""
        found: dict[int, dict[str, Tensor]] = {}
        vectors = without_readout(self.tensors)
        for name, tensor in vectors.items():
            if name.startswith("member."):
                number, _dot, rest = name.removeprefix("member.").partition(".")
                found.setdefault(int(number), {})[rest] = tensor
        return [found[number] for number in sorted(found)] or [vectors]

    @property
    def parameters(self) -> int:
        """Numbers stored."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def layout(self, backbone: Backbone) -> Layout:
        """How rows become token ids for this prompt.

        Raises:
            ArtifactError: the backbone or tokenizer is not the prompt's own.
        """
        self.check_backbone(backbone)
        return Layout(
            backbone, self.placement, self.length, self.depth, self.heads, self.task.scoring
        )

    def configured(self, section: str, name: str) -> Any:
        """A setting of the run that made it; None where that is not known. Artifacts from elsewhere
        may hold anything there."""
        config: Any = self.config
        part: Any = config.get(section) if isinstance(config, Mapping) else None
        return part.get(name) if isinstance(part, Mapping) else None

    def _check_form(self, backbone: Backbone) -> None:
        """Refuses a backbone of another form than PEFT's folder is of, or with other heads."""
        task_type = self.configured("peft", "task_type")
        if TASK_FORMS.get(str(task_type), backbone.form) != backbone.form:
            raise ArtifactError(
                _("PEFT's prompt is of task type {task!r}; {model} is of another form.").format(
                    task=task_type, model=backbone.identity.name
                ),
                _("Load it with --model {model}.").format(model=self.backbone.name)
                if TASK_FORMS[str(task_type)]
                else _("Use PEFT for it: no backbone here gives the outputs of such a task."),
            )
        depth, tensors = DEPTHS.get(self.depth), headless(self._by_member()[0])
        wanted = depth.tensors(depth.vectors(tensors), depth.lengths(tensors), backbone)
        for name, tensor in wanted.items():
            if name in tensors and tensors[name].shape != tensor.shape:
                raise ArtifactError(
                    _("The prompt's {name} are of shape {shape}; {model} takes {wanted}.").format(
                        name=name,
                        shape=list(tensors[name].shape),
                        model=backbone.identity.name,
                        wanted=list(tensor.shape),
                    ),
                    _("Load it with --model {model}.").format(model=self.backbone.name),
                )

    def check_backbone(self, backbone: Backbone) -> None:
        """Refuses a backbone or tokenizer with other content.

        An empty fingerprint (a folder that PEFT wrote) is unknown; the form of the model, where the
        folder says it, and sizes are compared.

        Raises:
            ArtifactError: both sides named.
        """
        size, wanted = int(self.members[0].shape[1]), DEPTHS.get(self.depth).width(backbone)
        if size != wanted:
            raise ArtifactError(
                _("The prompt's vectors have {size} numbers; {model} takes {wanted}.").format(
                    size=size, model=backbone.identity.name, wanted=wanted
                ),
                _("Load it with --model {model}.").format(model=self.backbone.name),
            )
        self._check_form(backbone)
        readout = self.readout
        if readout is not None and not readout.fits(backbone):
            raise ArtifactError(
                _("The prompt's readout reads {numbers} numbers; {model} has {wanted}.").format(
                    numbers=readout.weight_CF.shape[1],
                    model=backbone.identity.name,
                    wanted=numbers_read(backbone),
                ),
                _("Load it with --model {model}.").format(model=self.backbone.name),
            )
        theirs = backbone.identity
        for what, told in (("weights", _("weights")), ("tokenizer", _("tokenizer"))):
            mine, other = getattr(self.backbone, what), getattr(theirs, what)
            if mine and mine != other:
                raise ArtifactError(
                    _(
                        "The prompt belongs to {model} ({what} {mine}), and the backbone given is "
                        "{given} ({what} {theirs})."
                    ).format(
                        model=self.backbone.name,
                        what=told,
                        mine=mine[:12],
                        given=theirs.name,
                        theirs=other[:12],
                    ),
                    _("Load it with --model {model}, or train a prompt for {given}.").format(
                        model=self.backbone.name, given=theirs.name
                    ),
                )

    def with_template(self, text: str) -> SoftPrompt:
        """The same vectors with other text around them, and without a readout (see
        `without_readout`): it was fitted to contexts with the old text. Metrics are left out, too.

        Raises:
            UsageError: the template has slots that do not fit the vectors.
        """
        template = Template(text)
        lengths = tuple(slot.length for slot in template.slots)
        mine = DEPTHS.get(self.depth).lengths(headless(self._by_member()[0]))
        if lengths and lengths != mine:
            raise UsageError(
                _("The template has slots of {lengths} vectors; the prompt has {mine}.").format(
                    lengths=list(lengths), mine=list(mine)
                ),
                _("Use slots of the same lengths, in the same order."),
            )
        placement = "slots" if lengths else self.placement
        if placement == "slots" and not lengths:
            raise UsageError(
                _("The prompt stands in slots of its template; the new template has none."),
                _("Put {{prompt:N}} where each slot shall stand, with lengths {lengths}.").format(
                    lengths=", ".join(map(str, mine))
                ),
            )
        alone = self.without_readout()
        task = replace(alone.task, template=template.text, inputs=template.columns)
        return replace(alone, task=task, placement=placement, metrics={})

    def without_readout(self) -> SoftPrompt:
        """The vectors alone, for engines that hold no contexts; itself where there is no readout.

        Its metrics are left out: they were measured with the readout.
        """
        if self.readout is None:
            return self
        alone = self.task.adjustment_alone
        task = replace(self.task, adjustment=alone, adjustment_alone=())
        return replace(self, tensors=without_readout(self.tensors), task=task, metrics={})

    def save(self, path: str | Path) -> Path:
        """Writes the artifact folder (see `softprompt.prompts.artifact`)."""
        from softprompt.prompts.artifact import save

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> SoftPrompt:
        """Reads an artifact folder, or a PEFT prompt-tuning folder, and checks it.

        Raises:
            ArtifactError: it is missing, damaged, tampered with or too new.
        """
        from softprompt.prompts.artifact import load

        return load(Path(path))

    def summary(self) -> dict[str, Any]:
        """What `show` prints, as plain data."""
        return {
            "placement": self.placement,
            "depth": self.depth,
            "parametrisation": self.parametrisation,
            "initialisation": self.initialisation,
            "length": self.length,
            "parameters": self.parameters,
            "task": asdict(self.task),
            "backbone": asdict(self.backbone),
            "dtype": self.dtype,
            "metrics": dict(self.metrics),
            "data": dict(self.data),
            "config": dict(self.config),
            "members": len(self.members),
            "readout": self.readout is not None,
            "population": [dict(candidate) for candidate in self.population],
        }
