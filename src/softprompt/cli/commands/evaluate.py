"""`softprompt evaluate`: metrics of a prompt on a file with answers."""

from __future__ import annotations

from functools import partial

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import waiting
from softprompt.cli.tables import show_metric
from softprompt.locale import _, mark

__all__ = ["evaluate"]


@command(
    "evaluate",
    summary=mark("Measure a prompt on a file with answers."),
    examples=("softprompt evaluate runs/reviews/prompt test.csv --slice topic",),
)
def evaluate(
    prompt: flags.Prompt,
    data: flags.Data,
    *,
    slice_: flags.Slice = None,
    target: flags.Target = None,
    template: flags.Template = None,
    choices: flags.Choices = None,
    model: flags.PromptModel = None,
    drop_long: flags.DropLong = False,
    drop_empty: flags.DropEmpty = False,
    delimiter: flags.Delimiter = None,
    encoding: flags.Encoding = None,
    split: flags.Split = None,
    device: flags.Device = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    with waiting(_("Loading ...")):
        from softprompt.cli.display import counting
        from softprompt.cli.prompt_rows import answered_rows, file_settings, read
        from softprompt.cli.prompt_use import chosen_by, load_predictor, load_prompt

        loaded = load_prompt(prompt, target=target, template=template, choices=choices)
        settings = file_settings(delimiter=delimiter, encoding=encoding, split=split)
        file = read(data, loaded.task, settings)
        rows = answered_rows(file, loaded.task, slice_column=slice_, drop_empty=drop_empty)
        predictor = load_predictor(loaded, model=model, device=device)
    with counting(_("Answering")) as progress:
        metric = predictor.evaluate(
            rows, slice_column=slice_, drop_long=drop_long, progress=progress
        )
    return Outcome(metric, partial(show_metric, metric=metric, chosen_by=chosen_by(loaded)), json)
