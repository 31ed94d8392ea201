"""The model card of a soft prompt: what it does, how well, on what, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from softprompt.evaluation import interval_of
from softprompt.evaluation.titles import MEASURES

if TYPE_CHECKING:
    from softprompt.prompts.prompt import SoftPrompt

__all__ = ["card"]


def card(prompt: SoftPrompt) -> str:
    """Markdown with the front matter that the Hugging Face Hub reads."""
    task, backbone = prompt.task, prompt.backbone
    inputs = ", ".join(task.inputs) or "messages"
    members = len(prompt.members)
    what = f"{prompt.length} vectors" if members == 1 else f"{members} prompts, averaged"
    what += " with a head" if prompt.heads and members == 1 else ""
    does = f"to answer `{task.target}` from `{inputs}`."
    if task.kind == "vectors":
        does = "a task of its own."
    lines = [
        "---",
        "library_name: softprompt",
        f"base_model: {backbone.name}",
        "tags: [soft-prompt, prompt-tuning]",
        "---",
        "",
        f"# Soft prompt: {task.target}",
        "",
        f"{what} ({prompt.parameters:,} numbers) that teach the frozen model "
        f"`{backbone.name}` {does}",
        "",
        "| choice | value |",
        "|---|---|",
        f"| members | {members} |",
        f"| placement | {prompt.placement} |",
        f"| depth | {prompt.depth} |",
        f"| parametrisation | {prompt.parametrisation} |",
        f"| initialisation | {prompt.initialisation} |",
        f"| readout of contexts | {'no' if prompt.readout is None else 'yes'} |",
        f"| backbone weights (SHA-256) | `{backbone.weights[:16]}` |",
        f"| tokenizer (SHA-256) | `{backbone.tokenizer[:16]}` |",
    ]
    if task.template is not None:
        lines += ["", "## Template", "", "```text", task.template, "```"]
        lines += ["", "It is a user's message in the model's chat template."] if task.chat else []
    if task.choices:
        lines += ["", "## Answers", "", "| label | wording |", "|---|---|"]
        lines += [f"| {choice.label} | {choice.wording} |" for choice in task.choices]
    lines += _metrics(prompt.metrics)
    lines += [
        "",
        "## Use",
        "",
        "```python",
        *_use(task.kind),
        "```",
        "",
        *([] if prompt.initialisation == "peft" else _FILES),
    ]
    return "\n".join(lines)


_FILES = (
    "Without this library: `prompt.safetensors` holds plain vectors, `prompt.json` says where",
    "they stand.",
    "",
)


def _use(kind: str) -> list[str]:
    """The lines of Python that put a prompt to work."""
    if kind == "vectors":
        return [
            "from softprompt import SoftPrompt, run_vectors",
            "",
            'prompt = SoftPrompt.load(".")',
            "outputs = run_vectors(prompt, adapter, inputs)",
        ]
    return [
        "from softprompt import SoftPrompt, predict",
        "",
        'print(predict(SoftPrompt.load("."), ["your text"]))',
    ]


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    """A table of the metrics on named splits: counts, scores and the 95% interval."""
    named = {split: value for split, value in metrics.items() if "n" in value}
    if not named:
        return []
    lines = ["", "## Measured", "", "| split | rows | metric | value | 95% interval |"]
    lines.append("|---|---|---|---|---|")
    for split, metric in named.items():
        for name, title in MEASURES.items():
            if isinstance(metric.get(name), int | float):
                low_high = interval_of(metric, name)
                between = "{:.3f} to {:.3f}".format(*low_high) if low_high else ""
                lines.append(
                    f"| {split} | {metric['n']} | {title} | {metric[name]:.3f} | {between} |"
                )
    return lines
