"""Is the vLLM server the right one? Its model, its window, and whether it reads embeddings as text.

One short text is sent twice, as token ids and as embeddings from the table here. The same
log-probabilities come back where the server holds the same embeddings, takes them as they are, and
tells log-probabilities of the model itself; any of these being otherwise would give wrong answers
without an error. It does not know requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from softprompt.errors import BackboneError, ServingError, SoftPromptError
from softprompt.inference.mixed import MixedRow
from softprompt.prompts import Example
from softprompt.serving.vllm_payload import encoded, sequence
from softprompt.serving.vllm_table import EmbeddingTable
from softprompt.serving.vllm_upstream import Upstream

__all__ = ["Greeting", "forced", "greet", "log_probability"]

_TEXT = "One, two, three: the quick answer."
_ABSOLUTE, _RELATIVE = 0.1, 0.02
"""How far apart the two may be, in nats: more than batches in bf16 differ, less than models do."""

_GUIDED = (0, 11)
"""Versions before this one know `guided_choice` and its like in place of `structured_outputs`."""


@dataclass(frozen=True)
class Greeting:
    """What a server says of itself.

    Args:
        model: name of its base model.
        window: tokens of a request and its answer; None where it does not say.
        guided: whether constraints have the older names.
    """

    model: str
    window: int | None
    guided: bool


async def greet(upstream: Upstream, table: EmbeddingTable) -> Greeting:
    """Asks a server what it is, and makes sure that it is the right one.

    Raises:
        ServingError: it cannot be reached, or is no vLLM server.
        BackboneError: it takes no embeddings, holds another model, or tells something else than
            log-probabilities of the model.
    """
    told = await upstream.get("/v1/models")
    models = told.get("data") if isinstance(told, dict) else None
    if not models or not isinstance(models[0], dict) or "id" not in models[0]:
        raise ServingError(f"{upstream.url} serves no model.", "Is it a vLLM server?")
    # Adapters stand in the same list and have a parent.
    base = next((model for model in models if not model.get("parent")), models[0])
    greeting = Greeting(str(base["id"]), base.get("max_model_len"), await _guided(upstream))
    await _compare(upstream, table, greeting.model)
    return greeting


def forced(model: str, token: int) -> dict[str, Any]:
    """The fields of a request for one token that is decided already.

    `allowed_token_ids` decides which token is taken; vLLM tells log-probabilities from before that
    (`--logprobs-mode raw_logprobs`, its default). The likeliest token comes along.
    """
    return {
        "model": model,
        "max_tokens": 1,
        "temperature": 0.0,
        "allowed_token_ids": [token],
        "logprobs": 1,
        "return_tokens_as_token_ids": True,
    }


def log_probability(reply: dict[str, Any], token: int) -> float:
    """The log-probability of a forced token.

    Raises:
        ServingError: the server says nothing of it.
    """
    try:
        told = reply["choices"][0]["logprobs"]
        if told["tokens"][0] == f"token_id:{token}":
            return float(told["token_logprobs"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        pass
    raise ServingError(
        "The vLLM server does not tell log-probabilities of given tokens.",
        "Scored choices need a vLLM that knows allowed_token_ids and return_tokens_as_token_ids.",
    )


async def _guided(upstream: Upstream) -> bool:
    try:
        told = await upstream.get("/version")
        major, minor = str(told["version"]).split(".")[:2]
        return (int(major), int(minor)) < _GUIDED
    except (SoftPromptError, KeyError, TypeError, ValueError):
        # Builds of one's own may have no number; they are young.
        return False


async def _compare(upstream: Upstream, table: EmbeddingTable, model: str) -> None:
    opening = [] if table.bos is None else [table.bos]
    ids = [*opening, *table.encode(_TEXT)]
    embeds = encoded(sequence(table, MixedRow(Example((), tuple(ids), ()))))
    for token in (table.eos, ids[-1]):
        body = forced(model, token)
        as_ids = await upstream.complete({**body, "prompt": ids})
        try:
            as_embeds = await upstream.complete({**body, "prompt_embeds": embeds})
        except SoftPromptError as error:
            raise BackboneError(
                f"The vLLM server takes no embeddings: {error.message}",
                "Start it with --enable-prompt-embeds, and with the model that is named here.",
            ) from error
        one, other = log_probability(as_ids, token), log_probability(as_embeds, token)
        if abs(one - other) > _ABSOLUTE + _RELATIVE * abs(one):
            raise BackboneError(
                f"The vLLM server does not read embeddings of {table.identity.name} as it reads "
                f"its own text (log-probability {other:.3f} against {one:.3f} of one token).",
                f"Serve {table.identity.name} there, unchanged, or name its model with --model.",
            )
        _check_raw(as_ids, one)


def _check_raw(reply: dict[str, Any], value: float) -> None:
    """Refuses figures that are no log-probabilities of the model itself.

    Raises:
        BackboneError: a token that alone was allowed has probability 1, or one has more than 1.
    """
    top = reply["choices"][0]["logprobs"].get("top_logprobs") or [{}]
    largest = torch.tensor([value, *(top[0] or {}).values()]).max().item()
    if value == 0.0 or largest > 1e-3:
        raise BackboneError(
            "The vLLM server tells scores that are no log-probabilities of its model.",
            "Start it without --logprobs-mode, or with raw_logprobs.",
        )
