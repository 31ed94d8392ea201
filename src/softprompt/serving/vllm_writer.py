"""Text written by a vLLM server after an embedded request.

Every setting is sent, also where it is neutral: vLLM would take those of the model's
`generation_config.json` for what a request leaves out. Answers come as a stream, so that they can
be passed on and given up at any moment. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from softprompt.errors import ServingError
from softprompt.serving.constraints import SPACE
from softprompt.serving.requests import Answer, Constraint, Piece, Sampling
from softprompt.serving.vllm_greeting import Greeting
from softprompt.serving.vllm_payload import encoded, sequence
from softprompt.serving.vllm_table import EmbeddingTable
from softprompt.serving.vllm_upstream import Upstream
from softprompt.serving.work import Work

__all__ = ["UpstreamWriter"]


class UpstreamWriter:
    """Writes answers.

    Args:
        upstream: the vLLM server.
        table: of its model.
        greeting: what the server said of itself.
    """

    def __init__(self, upstream: Upstream, table: EmbeddingTable, greeting: Greeting) -> None:
        self._upstream, self._table, self._greeting = upstream, table, greeting

    async def answer(self, work: Work) -> Answer:
        """The whole answer; its ticket gets the pieces on the way.

        Raises:
            SoftPromptError: the server fails, or does not keep to the constraint.
        """
        row, text = work.rows[0], _Text(strip=work.strip)
        embeds = await asyncio.to_thread(lambda: encoded(sequence(self._table, row)))
        body = {**self._body(work.ticket.request.sampling, work.most), "prompt_embeds": embeds}
        usage: dict[str, Any] = {}
        finish = reason = None
        given = 0
        async with aclosing(self._upstream.stream(body)) as events:
            async for event in events:
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    piece = text.add(choice.get("text") or "")
                    finish = choice.get("finish_reason") or finish
                    reason = choice.get("stop_reason") or reason
                    if piece:
                        count = int(usage.get("completion_tokens") or 0)
                        work.ticket.put(Piece(piece, max(0, count - given)))
                        given = max(count, given)
        if finish not in ("stop", "length"):
            raise ServingError(f"The vLLM server ended an answer with {finish!r}.", "Try again.")
        _check(work.ticket.request.sampling.constraint, text.text, finish)
        # vLLM counts the end token; a stop text has none.
        ended = finish == "stop" and not isinstance(reason, str)
        details = usage.get("prompt_tokens_details") or {}
        return Answer(
            text=text.text,
            finish=finish,
            prompt=work.prompt,
            probabilities={},
            prompt_tokens=work.tokens,
            completion_tokens=max(0, int(usage.get("completion_tokens") or 0) - ended),
            cached_tokens=int(details.get("cached_tokens") or 0),
        )

    def _body(self, sampling: Sampling, most: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._greeting.model,
            "max_tokens": most,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop": list(sampling.stop),
            "stop_token_ids": [self._table.eos],
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.constraint is not None:
            kind, value = sampling.constraint.kind, _wanted(sampling.constraint)
            if self._greeting.guided:
                body[f"guided_{kind}"] = value
            else:
                body["structured_outputs"] = {kind: value}
        return body


class _Text:
    """Text as it comes; white space at both ends is left out where that is wanted.

    Args:
        strip: whether it is.

    Attributes:
        text: everything given out so far.
    """

    def __init__(self, *, strip: bool) -> None:
        self._strip, self._held, self.text = strip, "", ""

    def add(self, new: str) -> str:
        """What can be given out."""
        ready = self._held + new
        if self._strip and not self.text:
            ready = ready.lstrip()
        kept = len(ready.rstrip()) if self._strip else len(ready)
        ready, self._held = ready[:kept], ready[kept:]
        self.text += ready
        return ready


def _wanted(constraint: Constraint) -> Any:
    """A constraint's value as vLLM takes it."""
    value = constraint.value
    if constraint.kind == "choice":
        return [*value, *(f" {text}" for text in value)]
    return f"{SPACE}({value})" if constraint.kind == "regex" else value


def _check(constraint: Constraint | None, text: str, finish: str) -> None:
    """A server that does not know a field passes over it, and would write what it likes.

    Raises:
        ServingError: the answer is none of the choices.
    """
    if constraint is None or constraint.kind != "choice":
        return
    choices, written = [str(choice).strip() for choice in constraint.value], text.strip()
    # One that was cut off is at least the beginning of a choice.
    cut = finish == "length" and any(choice.startswith(written) for choice in choices)
    if written not in choices and not cut:
        raise ServingError(
            "The vLLM server did not keep to the choices.",
            "It is too old, or has no structured outputs; update it.",
        )
