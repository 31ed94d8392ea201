"""A registry's prompts as people read them: a table of names, or of the versions of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from softprompt.cli.tables import main_measure, table
from softprompt.locale import _, percent, size

if TYPE_CHECKING:
    from softprompt.serving.registry import Card

__all__ = ["show_prompts", "show_versions"]


def show_prompts(console: Console, cards: Sequence[Card], folder: str) -> None:
    """The current version of each name, then what is not served and why."""
    served = [card for card in cards if not card.problem]
    if not cards:
        console.print(_("There is no prompt in {folder}.").format(folder=folder), soft_wrap=True)
    if served:
        rows = table(_("prompt"), _("aliases"), _("tags"), _("score"), _("model"), _("size"))
        for column in (1, 2, 4):
            rows.columns[column].justify = "left"
        for card in served:
            aliases, tags = ", ".join(card.aliases), ", ".join(_tags(card.tags))
            rows.add_row(
                card.label, aliases, tags, _score(card.metrics), card.backbone, size(card.bytes)
            )
        console.print(rows)
    _show_problems(console, cards)


def show_versions(console: Console, cards: Sequence[Card]) -> None:
    """The versions of one name, the newest first."""
    rows = table(_("version"), _("aliases"), _("score"), _("size"), _("published"))
    rows.columns[1].justify = "left"
    for card in cards:
        if card.problem:
            continue
        when = datetime.fromtimestamp(card.created).strftime("%Y-%m-%d %H:%M")
        label = _("{name} (current)").format(name=card.label) if card.current else card.label
        aliases = ", ".join(card.aliases)
        rows.add_row(label, aliases, _score(card.metrics), size(card.bytes), when)
    console.print(rows)
    _show_problems(console, cards)


def _show_problems(console: Console, cards: Sequence[Card]) -> None:
    for card in cards:
        if card.problem:
            told = _("{name} is not served: {reason}").format(name=card.label, reason=card.problem)
            console.print(told, soft_wrap=True, style="yellow")


def _tags(tags: Mapping[str, str]) -> list[str]:
    return [f"{tag}={value}" if value else tag for tag, value in tags.items()]


def _score(metrics: Mapping[str, Any]) -> str:
    """The main measure on test rows, else on the first split that has one."""
    found = [metrics.get("test"), *metrics.values()]
    for metric in found:
        if isinstance(metric, Mapping) and isinstance(metric.get("interval"), Sequence):
            value = metric.get(main_measure(metric))
            return percent(value) if isinstance(value, int | float) else "–"
    return "–"
