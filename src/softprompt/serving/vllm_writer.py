"""Text written by a vLLM server after an embedded request.

Every setting is sent, also where it is neutral: vLLM would take those of the model's
`generation_config.json` for what a request leaves out. Answers come as a stream, so that they can
be passed on and given up at any moment. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from softprompt.errors import ServingError
from softprompt.serving.constraints import SPACE
from softprompt.serving.requests import Answer, Constraint, Piece, Sampling
from softprompt.serving.token_text import TokenText
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

    async def answer(self, work: Work) -> tuple[Answer, bool]:
        """The whole answer; its ticket gets the pieces on the way.

        Returns:
            The answer, and whether the server has told how much of it was in its cache.

        Raises:
            SoftPromptError: the server fails, or does not keep to the constraint.
        """
        row, sampling = work.rows[0], work.ticket.request.sampling
        # White space that opens an answer is none of it, so it ends none; vLLM would count it.
        ours = [stop for stop in sampling.stop if work.strip and stop[0].isspace()]
        text = _Text(ours, strip=work.strip)
        embeds = await asyncio.to_thread(lambda: encoded(sequence(self._table, row)))
        theirs = [stop for stop in sampling.stop if stop not in ours]
        body = {**self._body(sampling, work.most, theirs), "prompt_embeds": embeds}
        usage: dict[str, Any] = {}
        finish = reason = None
        given = 0

        def give(piece: str) -> None:
            nonlocal given
            if piece:
                count = int(usage.get("completion_tokens") or 0)
                work.ticket.put(Piece(piece, max(0, count - given)))
                given = max(count, given)

        async with aclosing(self._upstream.stream(body)) as events:
            async for event in events:
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    give(text.take(choice.get("text") or ""))
                    finish = choice.get("finish_reason") or finish
                    reason = choice.get("stop_reason") or reason
                if text.stopped:
                    finish, reason = "stop", "a text"
                    break
        give(text.end())
        if finish not in ("stop", "length"):
            raise ServingError(f"The vLLM server ended an answer with {finish!r}.", "Try again.")
        # vLLM counts the end token; a stop text has none.
        cut = finish == "length" or isinstance(reason, str)
        _check(sampling.constraint, text.text, cut)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        answer = Answer(
            text=text.text,
            finish=finish,
            prompt=work.prompt,
            probabilities={},
            prompt_tokens=work.tokens,
            completion_tokens=max(0, int(usage.get("completion_tokens") or 0) - (not cut)),
            cached_tokens=int(cached or 0),
        )
        return answer, cached is not None

    def _body(self, sampling: Sampling, most: int, stops: Sequence[str]) -> dict[str, Any]:
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
            "stop": list(stops),
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


class _Text(TokenText):
    """Text as it comes from the server, in place of tokens.

    Args:
        stops: texts before which the answer ends, and which the server does not know.
        strip: whether white space at both ends is left out.
    """

    def __init__(self, stops: Sequence[str], *, strip: bool) -> None:
        super().__init__(None, stops, strip=strip)

    def take(self, new: str) -> str:
        """What new text adds to what can be given out."""
        return self._give(new)

    def _decoded(self, start: int, end: int) -> str:
        return ""  # There are no tokens.


def _wanted(constraint: Constraint) -> Any:
    """A constraint's value as vLLM takes it."""
    value = constraint.value
    if constraint.kind == "choice":
        return [*value, *(f" {text}" for text in value)]
    return f"{SPACE}({value})" if constraint.kind == "regex" else value


def _check(constraint: Constraint | None, text: str, cut: bool) -> None:
    """A server that does not know a field passes over it, and would write what it likes.

    Args:
        constraint: what the answer has to look like.
        text: the answer.
        cut: whether its length or a stop text ended it, and not the model.

    Raises:
        ServingError: the answer is none of the choices.
    """
    if constraint is None or constraint.kind != "choice":
        return
    choices, written = [str(choice).strip() for choice in constraint.value], text.strip()
    # One that was cut off is at least the beginning of a choice.
    begun = cut and any(choice.startswith(written) for choice in choices)
    if written not in choices and not begun:
        raise ServingError(
            "The vLLM server did not keep to the choices.",
            "It is too old, or has no structured outputs; update it.",
        )
