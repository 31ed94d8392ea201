"""`softprompt show`: the card of a prompt."""

from __future__ import annotations

from functools import partial

from rich.console import Console
from rich.markdown import Markdown

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.locale import _, mark

__all__ = ["show"]


@command(
    "show",
    summary=mark("Show the card of a prompt: what it does, how well, on what, and how to use it."),
    examples=("softprompt show runs/reviews/prompt",),
)
def show(prompt: flags.Prompt, json: flags.Json = False) -> Outcome:
    """Runs the command."""
    with waiting(_("Loading ...")):
        from softprompt.cli.prompt_use import load_prompt
        from softprompt.prompts.card import card

        loaded = load_prompt(prompt)
    value = {"prompt": prompt, **loaded.summary()}
    return Outcome(value, partial(_print, text=card(loaded)), json)


def _print(console: Console, text: str) -> None:
    """Rendered on a terminal, as it is elsewhere."""
    if not console.is_terminal:
        console.print(text, soft_wrap=True, end="")
        return
    body = text.removeprefix("---\n").partition("\n---\n")[2]
    console.print(Markdown(body))
