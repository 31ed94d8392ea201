"""The tables of the page: quality, costs, forgetting, labels, examples, searches.

Every cell is escaped here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from softprompt.comparison.report import REFERENCE
from softprompt.comparison.searches import space_told, winner_told
from softprompt.comparison.verdicts import decided
from softprompt.comparison.words import (
    answered_in,
    at_edge,
    chance,
    change,
    clock,
    energy,
    interval,
    named,
    price,
    reached,
    score_of,
    short,
    title_of_other,
)
from softprompt.evaluation.titles import measure_name
from softprompt.locale import _, number, percent, size

__all__ = ["classes", "costs", "examples", "forgetting", "quality", "saved", "searches"]


class Cell(NamedTuple):
    """A cell and its class in the style sheet."""

    text: str
    kind: str = ""


def quality(found: Mapping[str, Any]) -> str:
    """Score, interval and what the difference from the soft prompt is worth."""
    metric = found["metric"]
    rows = []
    for name, method in found["methods"].items():
        test, told = method["test"], chance(method["p_value"])
        others = [_share(test.get(key)) for key in _others(found)]
        rows.append([named(name), percent(test[metric]), interval(test, metric), told, *others])
    headers = ["", measure_name(metric), "95%", "p", *map(measure_name, _others(found))]
    return _table(headers, rows, _ours(found))


def costs(found: Mapping[str, Any]) -> str:
    """What each method takes."""
    headers = [
        "", _("trained numbers"), _("stored"), _("search"), _("training"), _("to its best"),
        _("to the prompt's score"), _("memory"), _("energy"), _("answer, median"), _("answer, 95%"),
        _("switching"),
    ]  # fmt: skip
    priced = any(method["money"] is not None for method in found["methods"].values())
    rows = []
    for name, method in found["methods"].items():
        seconds, latency = method["seconds"] or {}, method["latency"] or {}
        stored = _size(method["stored_bytes"])
        if method["shared_bytes"]:
            stored += f" ({_size(method['shared_bytes'])})"
        row = [
            named(name),
            short(method["trainable_parameters"]),
            stored,
            *(
                clock(seconds[stage]) if seconds.get(stage) else ""
                for stage in ("search", "training", "to_best")
            ),
            reached(found, name),
            _size(method["peak_memory_bytes"]),
            energy(method["energy"]),
            answered_in(latency.get("median", 0.0)),
            answered_in(latency.get("p95", 0.0)),
            answered_in(method["switch_seconds"] or 0.0),
        ]
        if priced:
            row.append(price(method["money"]))
        rows.append(row)
    return _table([*headers, *([_("money")] if priced else [])], rows, _ours(found))


def saved(found: Mapping[str, Any]) -> str:
    """Rows that the soft prompt needs for what others reach."""
    rows = []
    metric = found["metric"]
    for name, entries in found["rows_saved"].items():
        for entry in entries:
            needed = "" if entry["reference_rows"] is None else number(entry["reference_rows"])
            sign = {"at_most": "≤ ", "more_than": "> ", "exact": ""}[entry["bound"]]
            most = number(max(n for n, _ in found["curves"][REFERENCE]))
            told = f"{sign}{needed or most}"
            rows.append([named(name), number(entry["rows"]), percent(entry["score"]), told])
    headers = ["", _("rows"), measure_name(metric), _("rows of the soft prompt for that")]
    return _table(headers, rows) if rows else ""


def forgetting(found: Mapping[str, Any]) -> str:
    """Loss on general text and the score on another task, attached and detached."""
    headers = [
        "", _("untouched"), _("attached"), _("change, 95%"), _("detached"),
        _("outputs the same when detached"),
    ]  # fmt: skip
    rows, name_of_other = [], None
    for name, method in found["methods"].items():
        told = method["forgetting"]
        if not told:
            continue
        loss, same = told["loss"], told["detached_identical"]
        states = [_number(loss[state]) for state in ("untouched", "attached", "detached")]
        cells = [*states[:2], change(loss), states[2]]
        row = [named(name), *cells, _("cannot be detached") if same is None else percent(same, 0)]
        other = told["other"]
        if other is not None:
            name_of_other = title_of_other(other)
            row += [score_of(other[state]) for state in ("untouched", "attached", "detached")]
        rows.append(row)
    if name_of_other is not None:
        headers += [
            f"{name_of_other}: {state}" for state in (_("untouched"), _("attached"), _("detached"))
        ]
    caption = _("Loss on general text in nats per token; lower is better.")
    return f'<p class="dim">{escape(caption)}</p>' + _table(headers, rows, _ours(found))


def classes(found: Mapping[str, Any]) -> str:
    """F1 of each label by each method, and the points between it and the soft prompt."""
    methods = {n: m for n, m in found["methods"].items() if "per_class" in m["test"]}
    if not methods:
        return ""
    rows = []
    for label in found["task"]["labels"]:
        scores = {name: m["test"]["per_class"][label] for name, m in methods.items()}
        own = scores.get(REFERENCE)
        told = [
            # A label without rows has no F1, and no part in the mean.
            percent(score["f1"]) + ("" if name == REFERENCE else _above(score, own))
            if score["n"]
            else "–"
            for name, score in scores.items()
        ]
        rows.append([label, number(next(iter(scores.values()))["n"]), *told])
    return _table([_("label"), _("rows"), *map(named, methods)], rows)


def examples(found: Mapping[str, Any]) -> str:
    """Test rows side by side with what each method answers."""
    names = list(found["methods"])
    rows = []
    for example in found["examples"]:
        right = example["right"]
        cells: list[Cell | str] = [Cell(example["text"], "text"), right]
        for name in names:
            given = example["answers"].get(name)
            # Free text that differs from the one given as right may be as good.
            kind = ("right" if given == right else "wrong") if found["task"]["labels"] else "text"
            cells.append(Cell(given, kind) if given is not None else "")
        rows.append(cells)
    return _table([_("text"), _("right answer"), *map(named, names)], rows)


def searches(found: Mapping[str, Any]) -> str:
    """The space that each method searched, and what won."""
    rows: list[list[Cell | str]] = []
    for name, method in found["methods"].items():
        space, won = space_told(method), winner_told(method)
        if space or won:
            rows.append([named(name), Cell(space, "text"), Cell(won, "text")])
    notes = "".join(f"<p>{escape(line)}</p>" for line in at_edge(found))
    return _table(["", _("space"), _("what won")], rows) + notes


def _others(found: Mapping[str, Any]) -> list[str]:
    """Metrics beside the one that counts which any method has."""
    tests = [method["test"] for method in found["methods"].values()]
    names = (
        "accuracy", "macro_f1", "exact_match", "token_f1", "chrf", "rougeL",
        "format_adherence", "term_adherence", "term_precision",
    )  # fmt: skip
    return [
        name
        for name in names
        if name != found["metric"] and any(test.get(name) is not None for test in tests)
    ]


def _above(score: Mapping[str, Any], own: Mapping[str, Any] | None) -> str:
    """How many points of F1 one is above another, in brackets; nothing without another."""
    if own is None:
        return ""
    points = round(100 * (score["f1"] - own["f1"]), 1)
    return f" ({'+' if points > 0 else ''}{number(points, 1)})"


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _number(value: float | None) -> str:
    return "" if value is None else number(value, 3)


def _size(count: int | None) -> str:
    """Bytes; nothing for none."""
    return size(count) if count else ""


def _ours(found: Mapping[str, Any]) -> str | None:
    chosen = decided(found)
    return None if chosen is None else named(chosen)


def _table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell | str]], ours: str | None = None
) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headers)
    body = []
    for row in rows:
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
        written = "".join(
            f'<td class="{cell.kind}">{escape(cell.text)}</td>'
            if cell.kind
            else f"<td>{escape(cell.text)}</td>"
            for cell in cells
        )
        mark = ' class="ours"' if ours is not None and cells[0].text == ours else ""
        body.append(f"<tr{mark}>{written}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
