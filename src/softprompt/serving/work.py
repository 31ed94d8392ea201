"""From a request to what the model computes for it: token ids, prompts, choices.

Everything that can be wrong with a request is found here, before it waits for its turn. It does not
know batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from softprompt.backbones import Backbone
from softprompt.errors import DataError, UsageError
from softprompt.evaluation import decide, probabilities
from softprompt.inference import text_row
from softprompt.inference.mixed import MixedRow
from softprompt.prompts import Layout
from softprompt.prompts.readout import Readout
from softprompt.serving.constraints import Constraints
from softprompt.serving.requests import Answer, Request
from softprompt.serving.residents import Resident, Residents
from softprompt.serving.sampler import Chooser, overflow
from softprompt.serving.ticket import Ticket
from softprompt.tasks import Rendered, Row, Template, normalise

__all__ = ["Preparation", "Work"]

BARE_TOKENS = 64
"""Tokens that the bare model writes where a request does not say how many."""


@dataclass(frozen=True, eq=False)
class Work:
    """A request ready for a pass.

    Args:
        ticket: that tells of it.
        rows: one for each member of an ensemble; one otherwise. Without answers they are written,
            by the first member.
        labels: of the answers that are scored; empty where text is written.
        temperature: divides log-scores before the softmax over the choices.
        adjustment: added to the log-probability of each choice before the largest is given; empty
            for the likeliest.
        readout: of the labels, beside the prompts; None where there is none.
        prompt: `name@3`, or None for the bare model.
        most: tokens to write at most.
        chooser: of written tokens; None where answers are scored.
        strip: whether white space around the answer is left out.
        end: the end token, which is no part of an answer.
    """

    ticket: Ticket
    rows: tuple[MixedRow, ...]
    labels: tuple[str, ...]
    temperature: float
    adjustment: tuple[float, ...]
    readout: Readout | None
    prompt: str | None
    most: int
    chooser: Chooser | None
    strip: bool
    end: int

    @property
    def context(self) -> tuple[int, ...]:
        """Tokens before the first prompt vector; the same for all members."""
        return self.rows[0].example.context

    @property
    def tokens(self) -> int:
        """Positions before the answer, of the first member."""
        example = self.rows[0].example
        return len(example.context) + len(example.trunk)

    def chosen(
        self,
        scores: Sequence[Sequence[float]],
        cached: int = 0,
        read: Sequence[float] | None = None,
    ) -> Answer:
        """The label to give, with calibrated probabilities of all.

        Args:
            scores: log-scores of the choices, by each member.
            cached: positions that were known.
            read: log-scores of the choices by the readout, where there is one.

        Raises:
            ServingError: they are no numbers.
        """
        by_member = np.array(scores)
        read_1C = None if read is None else np.array(read)[None]
        if not (np.isfinite(by_member).all() and (read is None or np.isfinite(read).all())):
            raise overflow()
        chances = probabilities(by_member[:, None], self.temperature, read_1C)[0]
        best = int(decide(chances[None], self.adjustment)[0])
        return Answer(
            text=self.labels[best],
            finish="stop",
            prompt=self.prompt,
            probabilities=dict(zip(self.labels, map(float, chances), strict=True)),
            prompt_tokens=self.tokens,
            # As many as were read of it.
            completion_tokens=sum(t != self.end for t in self.rows[0].example.answers[best]),
            cached_tokens=cached,
        )


class Preparation:
    """Makes requests ready; called from many threads.

    Args:
        backbone: whose tokens they become.
        residents: the prompts.
    """

    def __init__(self, backbone: Backbone, residents: Residents) -> None:
        self._backbone, self._residents = backbone, residents
        self._constraints = Constraints(backbone.tokenizer, backbone.vocabulary, backbone.eos)
        # Fast tokenizers refuse a second thread while their settings are being changed.
        self._tokenizing = Lock()

    def work(self, request: Request) -> Work:
        """A request made ready.

        Raises:
            SoftPromptError: it cannot be answered; the message says why.
        """
        _check_texts(request)
        if request.prompt is None:
            return self._bare(request)
        resident = self._residents.get(request.prompt)
        if request.template is not None:
            resident = self._residents.with_template(resident, request.template)
        task = resident.prompt.task
        row = _row(request, resident)
        chat = self._backbone.chat if task.chat else None
        rendered = resident.task.render(row, chat)
        labels = request.choices or task.labels
        wordings = request.choices or task.wordings
        with self._tokenizing:
            example = resident.layout.example(rendered, wordings, "The request")
        whole = resident.prompt.readout is not None and not request.choices
        rows = tuple(
            MixedRow(example.with_vectors(member.length), member, whole)
            for member in (resident.members if labels else resident.members[:1])
        )
        most = request.sampling.max_new_tokens or task.max_new_tokens
        # What was fitted for the task's labels says nothing of others.
        own = not request.choices
        adjustment, readout = (task.adjustment, resident.prompt.readout) if own else ((), None)
        decision = task.temperature, adjustment, readout
        return self._made(request, rows, labels, decision, resident.version.label, most, strip=True)

    def _bare(self, request: Request) -> Work:
        """A request to the model alone: its text is continued as it is."""
        rendered = self._bare_text(request)
        layout = Layout(self._backbone, None, scoring="wording")
        with self._tokenizing:
            example = layout.example(rendered, request.choices or (), "The request")
        if not example.context and example.trunk == (self._backbone.eos,):
            raise DataError("The request's text is empty.", "Give some text.")
        most = request.sampling.max_new_tokens or BARE_TOKENS
        labels = request.choices or ()
        strip = request.template is not None
        return self._made(
            request, (MixedRow(example),), labels, (1.0, (), None), None, most, strip=strip
        )

    def _bare_text(self, request: Request) -> Rendered:
        text = request.text
        if request.template is not None:
            if isinstance(text, str):
                template = Template(request.template)
                if len(template.columns) != 1:
                    raise DataError(
                        f"The template reads the columns {list(template.columns)}, and one text "
                        "is given.",
                        "Give a mapping with these columns.",
                    )
                text = {template.columns[0]: text}
            if not isinstance(text, Mapping):
                raise UsageError(
                    "A template and messages cannot be given together.", "Leave one of them out."
                )
            columns = {name: normalise(value) for name, value in text.items()}
            return Template(request.template).render(columns)
        if isinstance(text, str):
            return Rendered((text,), "") if text else Rendered((), "")
        if isinstance(text, Mapping):
            raise UsageError(
                "The bare model reads one text, and columns are given.",
                "Give a text, or a template that names the columns.",
            )
        chat = self._backbone.chat
        if chat is None:
            raise UsageError(
                f"The model {self._backbone.identity.name!r} has no chat template.",
                "Ask for a completion of one text, or name a prompt as the model.",
            )
        messages = [{"role": m["role"], "content": m["content"]} for m in text]
        return Rendered((chat(messages),), "")

    def _made(
        self,
        request: Request,
        rows: tuple[MixedRow, ...],
        labels: tuple[str, ...],
        decision: tuple[float, tuple[float, ...], Readout | None],
        prompt: str | None,
        most: int,
        *,
        strip: bool,
    ) -> Work:
        example = rows[0].example
        room = self._backbone.window - len(example.context) - len(example.trunk)
        if not labels and room < 1:
            raise DataError(
                f"The request takes all {self._backbone.window} tokens of the model's window.",
                "Shorten it.",
            )
        chooser = None
        if not labels:
            wanted = request.sampling.constraint
            follower = self._constraints.follow(wanted) if wanted is not None else None
            chooser = Chooser.of(request.sampling, follower)
        most = min(most, room)
        end = self._backbone.eos
        return Work(Ticket(request), rows, labels, *decision, prompt, most, chooser, strip, end)


def _check_texts(request: Request) -> None:
    """Refuses what is no text, and messages that are none (DataError)."""
    text = request.text
    parts = [request.template or "", *(request.choices or ())]
    if isinstance(text, str):
        parts.append(text)
    elif isinstance(text, Mapping):
        parts += text.values()
    else:
        for message in text:
            if not {"role", "content"} <= set(message):
                raise DataError(
                    f"A message has the keys {sorted(message)}.", "Give role and content."
                )
            parts += message.values()
    for part in parts:
        if not isinstance(part, str):
            raise DataError(f"{part!r} is given where a text belongs.", "Give a text.")
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"A text has half a character at place {error.start + 1}.", "Send valid Unicode."
            ) from error


def _row(request: Request, resident: Resident) -> Row:
    """The row that a request's text makes for a prompt.

    Raises:
        DataError: it is empty or lacks columns.
    """
    task, text = resident.prompt.task, request.text
    if isinstance(text, (str, Mapping)):
        return text_row(task, text)
    messages = [dict(message) for message in text]
    if not messages:
        raise DataError("The conversation has no messages.", "Give one message or more.")
    if task.template is not None:
        # A prompt with a template reads one text: what the user has just said.
        return text_row(task, messages[-1]["content"])
    return Row("request", 1, {}, None, tuple(messages))
