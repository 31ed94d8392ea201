"""A comparison as one HTML page that needs nothing else: no network, no scripts, no fonts.

It reads the report alone, and speaks the language in use when it is written. Everything that comes
from users or files is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from softprompt.comparison.page.charts import bars, lines, scatter
from softprompt.comparison.page.tables import (
    classes,
    costs,
    examples,
    forgetting,
    quality,
    saved,
    searches,
)
from softprompt.comparison.verdicts import escalation, recommended
from softprompt.comparison.words import (
    general_told,
    kept_out,
    left_out,
    other_told,
    parts_told,
    rows_saved,
    times_told,
    unmeasured,
)
from softprompt.locale import _, current_language, number

__all__ = ["page"]

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2330;--dim:#5d6675;--line:#d5d9e0;--paper:#fff;
--soft:#f3f5f8;--ours:#0b6e4f}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#9aa4b5;--line:#3a4252;
--paper:#151922;--soft:#1e2430;--ours:#4cc79a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p.lead{font-size:1.1rem;border-left:4px solid var(--ours);padding:.2rem 0 .2rem .9rem}
p.dim,figcaption,li.dim{color:var(--dim);font-size:.88rem}
figure{margin:0;overflow-x:auto}svg{max-width:100%;height:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .dim{fill:var(--dim)}
div.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;
vertical-align:top}
th:first-child,td:first-child,td.text{text-align:left}
tr.ours td{font-weight:600;background:var(--soft)}
td.text{white-space:pre-wrap;overflow-wrap:anywhere;max-width:24rem}
td.wrong{color:#b3261e}td.right{color:var(--ours)}
@media(prefers-color-scheme:dark){td.wrong{color:#f2938c}}
"""

# Nothing may be loaded from anywhere, whatever a text says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(found: Mapping[str, Any]) -> str:
    """The page as a text.

    Args:
        found: the report (see `softprompt.comparison.report`).
    """
    task = found["task"]
    title = _("Comparison: {task}").format(task=task["name"])
    parts = [_intro(found)]
    methods = found["methods"]
    if methods:
        parts += [
            _section(_("Quality"), quality(found) + _lines(parts_told(found))),
            _section(_("Costs"), costs(found)),
            _section(_("Quality against cost"), scatter(found)),
        ]
    if found["curves"]:
        notes = _lines(rows_saved(found))
        parts.append(_section(_("Learning curves"), lines(found) + saved(found) + notes))
    if any(method["forgetting"] for method in methods.values()):
        notes = _lines([*general_told(found), *other_told(found)])
        parts.append(_section(_("Forgetting"), bars(found) + forgetting(found) + notes))
    if methods and task["labels"]:
        parts.append(_section(_("F1 of each label"), classes(found)))
    if found["examples"]:
        parts.append(_section(_("Where methods disagree"), examples(found)))
    if methods:
        parts.append(_section(_("What each method searched"), searches(found)))
    parts.append(_notes(found))
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="{current_language()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _lines(told: Iterable[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in told)


def _intro(found: Mapping[str, Any]) -> str:
    """What was compared, what is wrong with the rows, and what to choose."""
    task = found["task"]
    rows = task["rows"]
    about = _(
        "Model {model}; rows: {train} training, {validation} validation, {test} test."
    ).format(model=found["model"], **{name: number(count) for name, count in rows.items()})
    told = [f'<p class="dim">{escape(about)}</p>']
    if recommended(found):
        told.append(f'<p class="lead">{escape(recommended(found))}</p>')
    if escalation(found):
        told.append(f"<p>{escape(escalation(found))}</p>")
    out = [*task["warnings"], *left_out(found), *kept_out(found)]
    if out:
        told.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in out) + "</ul>")
    return "\n".join(told)


def _notes(found: Mapping[str, Any]) -> str:
    """How the numbers came about, in short."""
    sources = {
        source
        for method in found["methods"].values()
        for source in (method["energy"] or {}).get("sources", ())
    }
    told = [
        _(
            "Intervals are 95%; p, where the soft prompt is measured, is the chance of so large a "
            "difference from it if both were equally good."
        ),
        _(
            "Recommended is the cheapest method that the best one does not beat beyond chance "
            "(5%); from fewer than 54 test rows nothing but the best."
        ),
        _("Time and energy include the search for a learning rate."),
        _("Memory is the peak of the method's own process, the model included."),
        _(
            "A method's stored bytes are those of its files beside the model; those in brackets "
            "are shared by tasks of one domain."
        ),
    ]
    if "estimated" in sources:
        told.append(
            _(
                "Energy marked ~ is estimated: CPU seconds times the watts of a busy core, since "
                "no meter of the processor can be read."
            )
        )
    told += [*times_told(found), *unmeasured(found)]
    items = "".join(f'<li class="dim">{escape(line)}</li>' for line in told)
    return _section(_("How this was measured"), f"<ul>{items}</ul>")
