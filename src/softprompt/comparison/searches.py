"""What each method of a comparison searched, and what won, in the language in use.

It reads the report alone: `space` and `details` of a method, those of its parts included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from softprompt.locale import _, figure, ngettext, number, percent

__all__ = ["space_told", "winner_told"]


def space_told(method: Mapping[str, Any]) -> str:
    """What a method chose among; nothing where nothing was chosen."""
    details = method["details"] or {}
    lines = []
    if details.get("templates_tried", 1) > 1:
        lines.append(_("{n} wordings").format(n=number(details["templates_tried"])))
    for space, found in _weights(method["space"] or {}, details):
        rates = _listed(map(figure, space["rates"]))
        passes = found.get("search_epochs") or space["search_epochs"] or 0
        told = _("learning rates {rates}").format(rates=rates)
        if len(space["rates"]) > 1:
            told = ngettext(
                "learning rates {rates}, {n} pass each",
                "learning rates {rates}, {n} passes each",
                passes,
            ).format(rates=rates, n=number(passes))
        if "rank" in space:
            told += "; " + _("rank {n}").format(n=number(space["rank"]))
        if found.get("trained"):
            told += "; " + ngettext(
                "in full: {rates}, {n} pass", "in full: {rates}, {n} passes", found["full_epochs"]
            ).format(
                rates=_listed(figure(float(rate)) for rate in found["trained"]),
                n=number(found["full_epochs"]),
            )
        lines.append(told)
    candidates = details.get("population") or []
    if candidates:
        count = _("{n} prompts").format(n=number(len(candidates)))
        if details.get("steps"):
            count += ", " + _("{n} steps").format(n=number(details["steps"]))
        rates = _listed(map(figure, sorted({one["learning_rate"] for one in candidates})))
        # Outside an f-string, where the catalogue's reader finds it.
        drawn = _("learning rates {rates}").format(rates=rates)
        lines.append(f"{count}; {drawn}")
        for text, key in _axes():
            values = _listed(dict.fromkeys(str(one[key]) for one in candidates))
            lines.append(f"{text}: {values}")
    return "\n".join(lines)


def winner_told(method: Mapping[str, Any]) -> str:
    """What won, and what the others came to on validation rows."""
    details = method["details"] or {}
    lines = []
    if details.get("template"):
        lines.append(str(details["template"]))
    if details.get("domain"):
        lines.append(_("domain: {about}").format(about=_(details["domain"]["about"])))
    for _space, found in _weights(method["space"] or {}, details):
        rate = figure(found.get("kept_rate", found["rate"]))
        passes, total = number(found["epoch"]), number(found["epochs"])
        text = _("learning rate {rate}, pass {n} of {total}")
        lines.append(text.format(rate=rate, n=passes, total=total))
        if found.get("rates"):
            lines.append(_("search: {scores}").format(scores=_scores(found["rates"])))
        if found.get("rates") and found.get("trained"):
            lines.append(_("in full: {scores}").format(scores=_scores(found["trained"])))
    lines += _prompts_told(details)
    return "\n".join(lines)


def _prompts_told(details: Mapping[str, Any]) -> Iterator[str]:
    """The best prompt of a population, and what stands beside it."""
    candidates = [one for one in details.get("population") or [] if one["left"] is None]
    if not candidates:
        return
    best = max(candidates, key=lambda one: one["score"])
    values = _listed(str(best[key]) for _text, key in _axes())
    yield _("best prompt: learning rate {rate}, {values}").format(
        rate=figure(best["learning_rate"]), values=values
    )
    members = (details.get("selection") or {}).get("members", 1)
    if members > 1:
        yield _("{n} prompts kept together").format(n=number(members))
    if (details.get("readout") or {}).get("kept"):
        yield _("with a readout of the contexts")


def _axes() -> tuple[tuple[str, str], ...]:
    """What candidates differ in beside their rates, as people call it."""
    return (
        (_("initialisation"), "initialisation"),
        (_("parametrisation"), "parametrisation"),
        (_("vectors"), "length"),
    )


def _weights(
    space: Mapping[str, Any], details: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Space and details of each training of weights, a method's own or a part's."""
    if "rates" in space and "rate" in details:
        yield space, details
    for name, part in space.items():
        if isinstance(part, Mapping) and isinstance(details.get(name), Mapping):
            yield from _weights(part, details[name])


def _scores(scores: Mapping[str, float | None]) -> str:
    """Validation scores by rate; of plain text, nats per token, which are below zero."""

    def told(score: float | None) -> str:
        if score is None:
            return "–"
        return number(score, 3) if score < 0 else percent(score)

    return _listed(f"{figure(float(rate))}: {told(score)}" for rate, score in scores.items())


def _listed(parts: Sequence[str] | Iterator[str] | Mapping[str, Any]) -> str:
    return " · ".join(parts)
