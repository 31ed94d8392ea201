"""An engine whose model runs in a vLLM server: the same requests, tickets and figures.

    table = load_embedding_table("meta-llama/Llama-3.2-1B")
    with VllmEngine(table, registry, Upstream("http://127.0.0.1:8001")) as engine:
        engine.submit(Request(prompt="sentiment", text="quá hay")).result().text

Requests become rows of tokens and vectors here, are embedded here, and go there as numbers; the
batching is vLLM's. Prompts of depth `input` alone can be sent. It does not know HTTP's messages,
keys or files.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from threading import Lock, Thread
from typing import Any, TypeVar, cast

from softprompt.backbones import Backbone
from softprompt.errors import (
    CancelledError,
    ServingError,
    SoftPromptError,
    UsageError,
)
from softprompt.prompts import SoftPrompt
from softprompt.serving.requests import Answer, Request
from softprompt.serving.residents import Residents
from softprompt.serving.room import check_room
from softprompt.serving.source import Source, Version
from softprompt.serving.ticket import Ticket
from softprompt.serving.vllm_greeting import Greeting, greet
from softprompt.serving.vllm_scorer import UpstreamScorer
from softprompt.serving.vllm_table import EmbeddingTable
from softprompt.serving.vllm_upstream import Upstream
from softprompt.serving.vllm_watch import Watch
from softprompt.serving.vllm_writer import UpstreamWriter
from softprompt.serving.work import Preparation, Work

__all__ = ["VllmEngine"]

PROMPT_BYTES = 512 * 2**20
"""Loaded prompts take so much memory at most."""

_LOOK_EVERY = 0.05
"""Seconds between looks at requests that nobody waits for any more."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class VllmEngine:
    """Answers requests for any prompts of a source through a vLLM server.

    Args:
        table: tokenizer and embeddings of the server's model.
        source: where prompts are found by name.
        upstream: the server; closed with the engine.
        max_waiting: requests that may wait; more are refused.
        max_rows: requests that the server gets side by side.
        look_every: seconds between looks whether the server is still there.

    Attributes:
        backbone: the table.
        source: as given.

    Raises:
        ServingError: the server cannot be reached.
        BackboneError: it holds another model, or takes no embeddings.
    """

    def __init__(
        self,
        table: EmbeddingTable,
        source: Source,
        upstream: Upstream,
        *,
        max_waiting: int = 1024,
        max_rows: int = 64,
        look_every: float = 2.0,
    ) -> None:
        self.backbone, self.source = table, source
        self._upstream, self._max_waiting = upstream, max_waiting
        self._lock = Lock()
        self._taken = self._running = self._hits = self._misses = 0
        self._closed = False
        self._tasks: dict[Work, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="softprompt-vllm", daemon=True)
        self._thread.start()
        try:
            greeting = self._wait(greet(upstream, table))
        except BaseException:
            self.close(drain=False)
            raise
        self._know(greeting)
        # The parts below make requests ready and never compute, which a table suffices for.
        stands_in = cast("Backbone", table)
        self._residents = Residents(stands_in, _InputOnly(source), PROMPT_BYTES)
        self._preparation = Preparation(stands_in, self._residents)
        self._seats = asyncio.Semaphore(max_rows)
        self._watch = Watch(upstream, table, self._know, every=look_every)
        for background in (self._look(), self._watch.run()):
            asyncio.run_coroutine_threadsafe(background, self._loop)

    def submit(self, request: Request) -> Ticket:
        """Takes a request; its ticket tells of the answer.

        Raises:
            UnknownPromptError: no prompt has its name.
            OverloadedError: too many are waiting.
            SoftPromptError: it cannot be answered as it is.
        """
        return self.submit_together([request])[0]

    def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
        """Takes requests about one text; what they share is found by vLLM's own prefix cache.

        Raises:
            SoftPromptError: as for `submit`, for any of them; then none is taken.
        """
        with self._lock:
            check_room(self._taken - self._running, len(requests), self._max_waiting)
        works = [self._preparation.work(request) for request in requests]
        with self._lock:
            if self._closed:
                raise ServingError("The engine is shutting down.", "Ask again later.")
            # Others may have come while these were prepared.
            check_room(self._taken - self._running, len(works), self._max_waiting)
            self._taken += len(works)
            for work in works:
                asyncio.run_coroutine_threadsafe(self._begin(work), self._loop)
        return [work.ticket for work in works]

    @property
    def figures(self) -> dict[str, Any]:
        """Requests `running` and `waiting`; tokens before written answers that the server found in
        its cache (`context_hits`) and computed (`context_misses`), where it tells them (`vllm serve
        --enable-prompt-tokens-details`); loaded prompts and their bytes; whether the server is
        there (`ready`); whether the engine's own thread is (`alive`)."""
        with self._lock:
            return {
                "running": self._running,
                "waiting": self._taken - self._running,
                "context_hits": self._hits,
                "context_misses": self._misses,
                "loaded_prompts": len(self._residents),
                "loaded_bytes": self._residents.bytes,
                "ready": self._watch.problem is None,
                "alive": self._thread.is_alive(),
            }

    def close(self, *, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more requests.

        Args:
            drain: answer those that have been taken.
            timeout: seconds that this may take; then what is left fails. None for no limit.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._wait(self._end(drain, timeout))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, work: Work) -> None:
        self._tasks[work] = asyncio.create_task(self._serve(work))

    async def _serve(self, work: Work) -> None:
        """One request from its turn to its end, whatever that is."""
        ticket, running = work.ticket, False
        try:
            async with self._seats:
                self._count(running=1)
                running = True
                ticket.started = time.monotonic()
                event: Answer | SoftPromptError = await self._answer(work)
        except asyncio.CancelledError:
            event = ticket.expired or CancelledError("The engine is shutting down.")
        except SoftPromptError as error:
            event = error
        except Exception:
            _log.exception("a request to the vLLM server failed")
            event = ServingError("The gateway failed at this request.", "Try again.")
        finally:
            self._tasks.pop(work, None)
            self._count(taken=-1, running=-running)
        ticket.put(event)

    def _know(self, greeting: Greeting) -> None:
        """Takes over what the server says of itself."""
        table, upstream = self.backbone, self._upstream
        table.window = min(table.window, greeting.window or table.window)
        self._scorer = UpstreamScorer(upstream, table, greeting)
        self._writer = UpstreamWriter(upstream, table, greeting)

    async def _answer(self, work: Work) -> Answer:
        self._watch.check()
        if work.labels:
            return await self._scorer.answer(work)
        answer, told = await self._writer.answer(work)
        if told:
            missed = max(0, answer.prompt_tokens - answer.cached_tokens)
            self._count(hits=answer.cached_tokens, misses=missed)
        return answer

    def _count(self, *, taken: int = 0, running: int = 0, hits: int = 0, misses: int = 0) -> None:
        with self._lock:
            self._taken += taken
            self._running += running
            self._hits += hits
            self._misses += misses

    async def _look(self) -> None:
        """Gives up requests whose client has gone or whose time is over, until the engine ends."""
        while not self._closed:
            await asyncio.sleep(_LOOK_EVERY)
            for work, task in list(self._tasks.items()):
                if work.ticket.expired is not None:
                    task.cancel()

    async def _end(self, drain: bool, timeout: float | None) -> None:
        # Requests that were handed over just before have begun after this.
        await asyncio.sleep(0)
        tasks = list(self._tasks.values())
        if tasks and drain:
            await asyncio.wait(tasks, timeout=timeout)
        left = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._upstream.close()
        await self._loop.shutdown_default_executor()


class _InputOnly:
    """A source whose prompts are of depth `input` and have no readout.

    Args:
        source: the prompts.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def resolve(self, name: str) -> Version:
        return self._source.resolve(name)

    def load(self, version: Version) -> SoftPrompt:
        prompt = self._source.load(version)
        if prompt.depth != "input":
            raise UsageError(
                f"The prompt {version.label} is of depth {prompt.depth}, and a vLLM server takes "
                "vectors among the input embeddings only.",
                "Train one with --depth input, or serve it with --engine own.",
            )
        if prompt.readout is not None:
            raise UsageError(
                f"The prompt {version.label} has a readout of contexts, whose values a vLLM server "
                "does not give.",
                "Write one without it (softprompt export PROMPT --to vllm --output DIR), or serve "
                "it with --engine own.",
            )
        return prompt
