"""Text written by Transformers' continuous batching, prompts as ids of a bank of vectors.

It takes what that manager can carry: prompts of depth `input` or none, temperature, top-k and
top-p. Everything else is the batch runner's. The manager runs over a second model object that
shares every weight with the first, since it sets the model's attention for itself.
"""

from __future__ import annotations

import copy
import logging
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from softprompt.backbones import Backbone
from softprompt.errors import CancelledError, ServingError, SoftPromptError
from softprompt.inference.mixed import ReadyPrompt
from softprompt.serving.bank import Bank, WithBank
from softprompt.serving.requests import Answer, Piece
from softprompt.serving.sampler import COLDEST
from softprompt.serving.token_text import TokenText
from softprompt.serving.work import Work

__all__ = ["ContinuousRunner"]

PAGE = 32
"""Positions of a page of the manager's cache: few, since answers are short."""

SWEEP_SECONDS = 0.1
"""How often requests are asked whether anybody waits for them."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Run:
    """A request at work.

    Args:
        work: what it is.
        prompt: whose rows of the bank it reads, or None.
        text: what it has written.
        seen: tokens of that.
        given: tokens that are in pieces given out.
        manager: that runs it.
    """

    work: Work
    prompt: ReadyPrompt | None
    text: TokenText
    manager: Any
    seen: int = 0
    given: int = 0


class ContinuousRunner:
    """Writes text by Transformers' continuous batching.

    Args:
        backbone: the frozen model.
        max_rows: requests side by side.
        positions: that the cache holds.
    """

    def __init__(self, backbone: Backbone, *, max_rows: int, positions: int) -> None:
        self._backbone = backbone
        self._bank = Bank(backbone.embedding_table)
        self._model = _twin(backbone, self._bank)
        self._max_rows, self._positions = max_rows, positions
        self._managers: dict[bool, Any] = {}
        self._runs: dict[str, _Run] = {}
        self._lock = Lock()
        self._count = 0
        self._swept = time.monotonic()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that have not written anything."""
        return sum(run.seen == 0 for run in list(self._runs.values()))

    @property
    def running(self) -> int:
        """Requests that are being written."""
        return len(self._runs) - self.waiting

    def takes(self, work: Work) -> bool:
        """Whether the manager can carry a request."""
        sampling, prompt = work.ticket.request.sampling, work.rows[0].prompt
        plain = sampling.constraint is None and not sampling.stop and sampling.seed is None
        plain = plain and work.tokens + work.most <= self._positions
        entering = prompt.entering if prompt is not None else None
        flat = entering is None or (entering.embeds_PD is not None and entering.layers_LPD is None)
        return plain and flat and not work.labels

    def put(self, works: Sequence[Work]) -> None:
        """Takes requests.

        Raises:
            ServingError: the runner is closed.
        """
        for work in works:
            sampled = work.ticket.request.sampling.temperature >= COLDEST
            with self._lock:
                if self._closed:
                    raise ServingError("The engine is shutting down.", "Ask again later.")
                manager = self._managers.get(sampled)
                # One that has failed fails whatever it had; another takes its place.
                if manager is None or not manager.is_running():
                    manager = self._started(sampled)
                self._count += 1
                self._begin(work, f"softprompt-{self._count}", manager)

    def close(self, *, drain: bool, timeout: float | None) -> None:
        """Ends the managers; requests not answered by then fail."""
        with self._lock:
            self._closed = True
        for manager in self._managers.values():
            if not manager.is_running():
                continue
            manager.stop(block=True, timeout=timeout, hard_stop=not drain)
        for name in list(self._runs):
            self._end(name, CancelledError("The engine is shutting down."))

    def _begin(self, work: Work, name: str, manager: Any) -> None:
        row = work.rows[0]
        start = 0 if row.prompt is None else self._bank.take(row.prompt)
        ids = [
            token if token >= 0 else start - 1 - token
            for token in row.example.context + row.example.trunk
        ]
        sampling = work.ticket.request.sampling
        settings: dict[str, Any] = {}
        if sampling.temperature >= COLDEST:
            settings = {
                "temperature": float(sampling.temperature),
                "top_k": sampling.top_k or self._backbone.vocabulary,
                "top_p": float(sampling.top_p),
            }
        text = TokenText(self._backbone.tokenizer, strip=work.strip)
        self._runs[name] = _Run(work, row.prompt, text, manager)
        try:
            taken = manager.add_request(
                ids,
                request_id=name,
                max_new_tokens=work.most,
                streaming=True,
                eos_token_id=sorted(self._backbone.ends),
                **settings,
            )
        except queue.Full:
            taken = None
        if taken is None:
            self._end(name, ServingError("The model takes no more requests.", "Try again."))

    def _started(self, sampled: bool) -> Any:
        """A manager for requests that sample, or for those that take the likeliest token."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        chances = {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9}
        generation = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=sorted(self._backbone.ends),
            pad_token_id=self._backbone.eos,
            **(chances if sampled else {"do_sample": False}),
        )
        config = ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=max(2, self._positions // PAGE),
            max_batch_tokens=max(512, self._max_rows),
            max_requests_per_batch=self._max_rows,
            # Blocks of prompts whose ids are used again would be found for the old vectors.
            allow_block_sharing=False,
            per_request_processors=True,
        )
        manager = self._model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=config
        )
        manager.output_router = _Router(self)
        manager.start()
        self._managers[sampled] = manager
        return manager

    def take(self, output: Any) -> None:
        """What the manager says of a request."""
        self._sweep()
        run = self._runs.get(output.request_id)
        if run is None:
            return
        if output.error is not None:
            _log.error("continuous batching failed: %s", output.error)
            failure = ServingError("The model failed at this request.", "Try again.")
            self._end(output.request_id, failure)
            return
        self._write(run, output.generated_tokens)
        if output.is_finished():
            self._end(output.request_id, self._answer(run, output.generated_tokens))

    def _sweep(self) -> None:
        """Ends the requests that nobody waits for, begun or not, a few times a second."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        for name, run in list(self._runs.items()):
            reason = run.work.ticket.expired
            if reason is not None:
                run.manager.cancel_request(name)
                self._end(name, reason)

    def _write(self, run: _Run, tokens: Sequence[int]) -> None:
        ticket = run.work.ticket
        ticket.started = ticket.started or ticket.submitted
        for token in tokens[run.seen :]:
            run.seen += 1
            if token in self._backbone.ends:
                break
            piece = run.text.add(token)
            if piece:
                ticket.put(Piece(piece, run.seen - run.given))
                run.given = run.seen

    def _answer(self, run: _Run, tokens: Sequence[int]) -> Answer:
        work, rest = run.work, run.text.end()
        ended = bool(tokens) and tokens[-1] in self._backbone.ends
        written = len(tokens) - ended
        if rest:
            work.ticket.put(Piece(rest, written - run.given))
        return Answer(
            text=run.text.text,
            finish="stop" if ended else "length",
            prompt=work.prompt,
            probabilities={},
            prompt_tokens=work.tokens,
            completion_tokens=written,
        )

    def _end(self, name: str, event: Answer | SoftPromptError) -> None:
        run = self._runs.pop(name, None)
        if run is None:
            return
        if run.prompt is not None:
            self._bank.leave(run.prompt)
        run.work.ticket.put(event)


class _Router:
    """Stands where the manager has its queue of outputs, and hands them over at once."""

    def __init__(self, runner: ContinuousRunner) -> None:
        self._runner = runner

    def deliver(self, output: Any) -> None:
        self._runner.take(output)

    def deliver_batch(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            self._runner.take(output)

    def fail_and_deliver(self, state: Any, error: Exception) -> None:
        state.error = str(error)
        self._runner.take(state.to_generation_output())


def _twin(backbone: Backbone, bank: Bank) -> Any:
    """A second model object over the same weights, with a bank, that computes in its turn."""
    model, turn = backbone.model, backbone.turn
    shared = {id(x): x for x in (*model.parameters(), *model.buffers())}
    with turn:
        twin = copy.deepcopy(model, shared)
    twin.set_input_embeddings(WithBank(model.get_input_embeddings(), bank))

    def begin(*_: Any) -> None:
        turn.acquire()

    def end(*_: Any) -> None:
        turn.release()

    twin.register_forward_pre_hook(begin)
    twin.register_forward_hook(end, always_call=True)
    return twin
