"""The flags that several commands share, each with its help.

Knows their names and words, not what a command does with them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from softprompt.locale import mark

__all__ = [
    "Baselines",
    "Chat",
    "Choices",
    "Config",
    "Data",
    "Delimiter",
    "Depth",
    "Device",
    "DropEmpty",
    "DropLong",
    "Dtype",
    "Encoding",
    "Ensemble",
    "Epochs",
    "Initialisation",
    "Input",
    "Json",
    "Length",
    "Limit",
    "Method",
    "Model",
    "NewData",
    "Output",
    "Placement",
    "Population",
    "Prompt",
    "PromptModel",
    "Resume",
    "Seed",
    "Set",
    "Slice",
    "Split",
    "Target",
    "Template",
    "Test",
    "TimeBudget",
    "Validation",
]

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help=mark("JSONL, JSON, CSV, TSV or Parquet file, or hf:NAME for a data set of the Hub."),
    ),
]
NewData = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help=mark("JSONL, JSON, CSV, TSV or Parquet file, or hf:NAME for a data set."),
    ),
]
Output = Annotated[
    str | None,
    typer.Option("--output", metavar="DIR", help=mark("Folder of the run, new or empty.")),
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="DIR", help=mark("Go on with the run in this folder.")),
]
Prompt = Annotated[
    str,
    typer.Argument(
        metavar="PROMPT",
        show_default=False,
        help=mark("Folder of a trained prompt: `prompt` in the run's folder, or a PEFT folder."),
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar=" ", help=mark("Print one JSON object."))]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="COL", help=mark("Input columns, separated by commas.")),
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="COL", help=mark("The answer's column."))
]
Template = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="T",
        help=mark("Text with {column} places, {prompt:8} slots and {answer} at its end."),
    ),
]
Choices = Annotated[
    str | None,
    typer.Option(
        "--choices",
        metavar="LABEL=WORDING,...",
        help=mark("What the model reads for each label."),
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help=mark("`nano`, a folder (of LoRA too) or a Hub id; `nano` when not given."),
    ),
]
PromptModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help=mark("Where the prompt's own model is, if it has moved."),
    ),
]
Validation = Annotated[
    str | None,
    typer.Option("--validation", metavar="FILE", help=mark("File of validation rows.")),
]
Test = Annotated[
    str | None, typer.Option("--test", metavar="FILE", help=mark("File of test rows."))
]
Placement = Annotated[
    str | None,
    typer.Option(
        "--placement",
        metavar="P",
        help=mark("`suffix` (before the answer), `prefix`, `front`, `both` or `slots`."),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help=mark("A method by its name: prompt-tuning, p-tuning, prefix-tuning, ..."),
    ),
]
Depth = Annotated[
    str | None,
    typer.Option(
        "--depth",
        metavar="D",
        help=mark("Where vectors enter: `input`, `deep` (every layer) or `kv`."),
    ),
]
Length = Annotated[
    int | None,
    typer.Option("--length", metavar="N", help=mark("Vectors; 8 for choices, 32 for free text.")),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help=mark("YAML file with settings.")),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help=mark("One setting; may be given several times.")
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help=mark("Seed of everything random."))
]
Slice = Annotated[
    str | None,
    typer.Option("--slice", metavar="COL", help=mark("Column whose values are scored apart.")),
]
DropLong = Annotated[
    bool,
    typer.Option(
        "--drop-long", metavar=" ", help=mark("Leave out rows that exceed the model's window.")
    ),
]
DropEmpty = Annotated[
    bool,
    typer.Option(
        "--drop-empty", metavar=" ", help=mark("Leave out rows without an input or answer.")
    ),
]
Chat = Annotated[
    str | None,
    typer.Option("--chat", metavar="auto|on|off", help=mark("Use the model's chat template.")),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="C", help=mark("Character between a CSV file's fields.")),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help=mark("Text encoding of the files.")),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help=mark("Split of a Hub data set."))
]
Initialisation = Annotated[
    str | None,
    typer.Option(
        "--initialisation",
        metavar="NAME",
        help=mark("`labels`, `keywords`, `vocabulary`, `random`, `text`, `context` or `prompt`."),
    ),
]
TimeBudget = Annotated[
    float | None,
    typer.Option("--time-budget", metavar="SECONDS", help=mark("Most seconds to train.")),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="ROWS", help=mark("Training rows at most."))
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", metavar="N", help=mark("Passes over the rows."))
]
Population = Annotated[
    int | None,
    typer.Option(
        "--population",
        metavar="N",
        help=mark("Prompts that train together at first; 1 trains a single one."),
    ),
]
Ensemble = Annotated[
    str | None,
    typer.Option(
        "--ensemble",
        metavar="auto|off|N",
        help=mark("Keep the mean of several prompts: where it is better, never, or of N."),
    ),
]
Readout = Annotated[
    str | None,
    typer.Option(
        "--readout",
        metavar="auto|on|off",
        help=mark("Read the contexts too, by a linear readout: where it is better, always, never."),
    ),
]
Baselines = Annotated[
    str | None,
    typer.Option(
        "--baselines",
        metavar="NAMES",
        help=mark("`majority`, `zero_shot`, `few_shot`, separated by commas, or `none`."),
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="auto|fp32|bf16|fp16", help=mark("The model's precision.")),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help=mark("`auto`, `cpu`, `cuda`, `mps`.")),
]
