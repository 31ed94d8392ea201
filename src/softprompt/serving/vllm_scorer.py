"""Choices scored by a vLLM server: exact log-probabilities of every label, token by token.

vLLM gives no log-probabilities of what was sent as embeddings (`prompt_logprobs` is refused beside
`prompt_embeds`), but it gives that of a token it writes. So each token of each label is a request
of its own for one token that is decided already, after the embedded text and the label's tokens
before it. Labels that begin alike share requests. Sums, calibration and ensembles are then those
of the project's own engine; nothing is estimated. It does not know HTTP.
"""

from __future__ import annotations

import asyncio

from softprompt.inference.mixed import MixedRow
from softprompt.serving.requests import Answer
from softprompt.serving.vllm_greeting import Greeting, forced, log_probability
from softprompt.serving.vllm_payload import encoded, sequence
from softprompt.serving.vllm_table import EmbeddingTable
from softprompt.serving.vllm_upstream import Upstream
from softprompt.serving.work import Work

__all__ = ["UpstreamScorer"]

Step = tuple[tuple[int, ...], int]
"""Tokens of an answer, and the one that follows them."""


class UpstreamScorer:
    """Scores choices.

    Args:
        upstream: the vLLM server.
        table: of its model.
        greeting: what the server said of itself.
    """

    def __init__(self, upstream: Upstream, table: EmbeddingTable, greeting: Greeting) -> None:
        self._upstream, self._table, self._model = upstream, table, greeting.model

    async def answer(self, work: Work) -> Answer:
        """The likeliest label, with calibrated probabilities of all.

        Raises:
            SoftPromptError: the server cannot say.
        """
        return work.chosen([await self._scores(row) for row in work.rows])

    async def _scores(self, row: MixedRow) -> list[float]:
        """The summed log-probability of each answer."""
        answers = row.example.answers
        steps = dict.fromkeys(
            (answer[:place], token) for answer in answers for place, token in enumerate(answer)
        )
        first, *others = steps
        # The first request leaves the text in the server's prefix cache, where the rest find it.
        known: dict[Step, float] = {first: await self._step(row, first)}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {step: group.create_task(self._step(row, step)) for step in others}
        except BaseExceptionGroup as failures:
            # The first failure has ended the others.
            raise failures.exceptions[0] from None
        known |= {step: task.result() for step, task in tasks.items()}
        return [
            sum(known[answer[:place], token] for place, token in enumerate(answer))
            for answer in answers
        ]

    async def _step(self, row: MixedRow, step: Step) -> float:
        before, token = step
        embeds = await asyncio.to_thread(lambda: encoded(sequence(self._table, row, before)))
        body = {**forced(self._model, token), "prompt_embeds": embeds}
        return log_probability(await self._upstream.complete(body), token)
