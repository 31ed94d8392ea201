"""Fields of other servers' APIs that cannot be honoured here, refused where they ask for anything.

A client that sends `logprobs: false` wants nothing of it; one that sends `true` would take silence
for an answer. Fields that are in no list here are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softprompt.serving.http.errors import ApiError

__all__ = ["refuse_unsupported"]

_NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {})
# Fields of which 0 asks for the token itself and no others beside it.
_FROM_ZERO = {"logprobs", "prompt_logprobs"}
# Field to the values, beside nothing, that change nothing, and what to do instead.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "logprobs": ((), "Labels come with probabilities, see /v1/classify."),
    "top_logprobs": ((), "Labels come with probabilities, see /v1/classify."),
    "prompt_logprobs": ((), "Leave it out."),
    "echo": ((), "Leave it out."),
    "suffix": ((), "Put the text into `prompt`, or give a `template`."),
    "best_of": ((1,), "Leave it out."),
    "logit_bias": ((), "Use `structured_outputs` to limit answers."),
    "presence_penalty": ((), "Leave it out."),
    "frequency_penalty": ((), "Leave it out."),
    "repetition_penalty": ((1, 1.0), "Leave it out."),
    "min_p": ((), "Use `top_p` or `top_k`."),
    "min_tokens": ((), "Leave it out."),
    "ignore_eos": ((), "Leave it out."),
    "stop_token_ids": ((), "Use `stop` with texts."),
    "allowed_token_ids": ((), "Use `structured_outputs` to limit answers."),
    "bad_words": ((), "Leave it out."),
    "use_beam_search": ((), "Leave it out."),
    "prompt_embeds": ((), "Send text; only the server puts vectors in."),
    "prompt_token_ids": ((), "Send text."),
    "truncate_prompt_tokens": ((), "Shorten the text before it is sent."),
    "guided_grammar": ((), "Use `structured_outputs` with choice, regex or json."),
    "tools": ((), "Use `response_format` for answers in JSON."),
    "tool_choice": (("none", "auto"), "Use `response_format` for answers in JSON."),
    "functions": ((), "Use `response_format` for answers in JSON."),
    "function_call": (("none", "auto"), "Use `response_format` for answers in JSON."),
    "audio": ((), "Text is all there is."),
    "modalities": ((["text"],), "Text is all there is."),
    "prediction": ((), "Leave it out."),
    "web_search_options": ((), "Leave it out."),
    "chat_template": ((), "Give a `template` for the text around a prompt."),
    "continue_final_message": ((), "Leave it out."),
    "add_generation_prompt": ((True,), "Leave it out."),
}


def refuse_unsupported(extra: Mapping[str, Any] | None) -> None:
    """Looks through the fields of a body that its model does not name.

    Raises:
        ApiError: 400, one of them asks for what cannot be done.
    """
    for name in (extra or {}).keys() & _REFUSED.keys():
        neutral, instead = _REFUSED[name]
        value = (extra or {})[name]
        asks = value not in _NOTHING and value not in neutral
        if asks or (name in _FROM_ZERO and value == 0 and value is not False):
            message = f"{name} is not supported. {instead}"
            raise ApiError(400, message, param=name, code="unsupported_parameter")
