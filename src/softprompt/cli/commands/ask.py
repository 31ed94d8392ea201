"""`softprompt ask`: a prompt's answers from a running server."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.locale import mark, percent

__all__ = ["ask"]

_VARIABLE = "SOFTPROMPT_KEY"


@command(
    "ask",
    summary=mark("Ask a running server; a key is read from SOFTPROMPT_KEY."),
    examples=(
        'softprompt ask 8000 reviews "the soup was cold"',
        'softprompt ask https://box.example reviews@production "quá hay" "chậm"',
    ),
)
def ask(
    server: Annotated[
        str,
        typer.Argument(
            metavar="SERVER", show_default=False, help=mark("Port, host with port, or address.")
        ),
    ],
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            show_default=False,
            help=mark("Name of a prompt, `name@3`, `name@alias`, or the model's name."),
        ),
    ],
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT", show_default=False, help=mark("Texts to answer.")),
    ],
    *,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", metavar="N", help=mark("Longest answer, in tokens.")),
    ] = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    from softprompt.serving.client import Client

    options = {} if max_tokens is None else {"max_tokens": max_tokens}
    with Client(server, os.environ.get(_VARIABLE)) as client:
        replies = [client.ask(prompt, text, **options) for text in texts]
    value = {
        "answers": [
            {
                "text": text,
                "answer": reply.text,
                "prompt": reply.prompt,
                "probabilities": dict(reply.probabilities),
                "finish": reply.finish,
            }
            for text, reply in zip(texts, replies, strict=True)
        ]
    }

    def show(_console: Console) -> None:
        for text, reply in zip(texts, replies, strict=True):
            parts = [reply.text]
            if reply.probabilities:
                parts.append(percent(reply.probabilities[reply.text]))
            if len(texts) > 1:
                parts.append(text)
            # A console would turn tabs into spaces.
            print("\t".join(parts))

    return Outcome(value, show, json)
