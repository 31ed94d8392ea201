"""PEFT prompt tuning and LoRA of a backbone, and a step and a score of each.

PEFT's own forward pass with labels at the answer and its end token, as in its guides. Where those
leave a choice, the better one is taken: rows of a batch have similar lengths and are padded on the
right (on the left PEFT loses the positions), and dropout of the frozen model is off. Answers are
scored by this project, in one pass for all choices: a front prompt gives the same logits there as
in PEFT, and PEFT itself has no faster way.

Shapes: B rows, T tokens of the longest, P virtual tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones import Backbone, load_backbone
from softprompt.backbones.load import NANO
from softprompt.inference import Answers, Encoded, answer, encode_rows, measure
from softprompt.prompts import Layout
from softprompt.tasks import Row, Task

__all__ = ["BATCH", "LORA", "PROMPT_TUNING", "TEXTS", "VECTORS", "Method", "Side"]

VECTORS = 16
BATCH = 16
TEXTS = {
    "vsfc": "Is the sentiment of it negative, neutral or positive?",
    "sst2": "Is the sentiment of this piece of text negative or positive?",
    "agnews": "Is it world, sports, business or sci/tech?",
}
"""What a prompt starts from: instructions as in PEFT's guide, of 16 tokens with `nano` (one of them
BOS), so that PEFT neither cuts nor repeats them."""


@dataclass(frozen=True)
class Method:
    """One of PEFT's methods.

    Args:
        name: for cells and tables.
        rates: peak learning rates to choose among.
        wrap: from a backbone and a text to a PEFT model.
        placement: where its vectors stand; None where it has none.
    """

    name: str
    rates: tuple[float, ...]
    wrap: Callable[[Backbone, str], Any]
    placement: str | None

    def prompts(self, model: Any) -> list[Tensor]:
        """[P, D] vectors to score answers with, none where the weights themselves are changed."""
        if self.placement is None:
            return []
        return [model.prompt_encoder["default"].embedding.weight.detach().clone()]


def _with_prompt(backbone: Backbone, text: str) -> Any:
    from peft import PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model

    name = backbone.identity.name
    settings = PromptTuningConfig(
        task_type=TaskType.CAUSAL_LM,
        prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=text,
        num_virtual_tokens=VECTORS,
        tokenizer_name_or_path=str(NANO) if name == "nano" else name,
    )
    return get_peft_model(backbone.model, settings)


def _with_lora(backbone: Backbone, text: str) -> Any:
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=8, lora_alpha=16, target_modules="all-linear"
    )
    return get_peft_model(backbone.model, settings)


PROMPT_TUNING = Method("peft", (1e-3, 1e-2, 1e-1, 3e-1), _with_prompt, "front")
LORA = Method("lora", (3e-4, 1e-3, 3e-3), _with_lora, None)


class Side:
    """A wrapped backbone with a task's rows.

    Args:
        method: prompt tuning or LoRA.
        task: what to learn.
        model: name of the backbone.
        text: what a prompt starts from.
        dtype: precision of the backbone.
        seed: of LoRA's initial weights.
    """

    def __init__(
        self, method: Method, task: Task, model: str, text: str, dtype: str, seed: int = 0
    ) -> None:
        self.method, self.task = method, task
        self.backbone = load_backbone(model, dtype=dtype)
        plain = Layout(self.backbone, None)
        self.examples = encode_rows(task, task.train, plain, answers="own").examples
        length = VECTORS if method.placement else 0
        self.layout = Layout(self.backbone, method.placement, length)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = method.wrap(self.backbone, text)
        self.forward: Any = self.model

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """Parameters that learn, by name."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def weights(self) -> dict[str, Tensor]:
        """A copy of what learns."""
        return {name: p.detach().clone() for name, p in self.trained.items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Puts weights that `weights` gave back."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(weights[name])

    def finite(self) -> bool:
        """Whether training has not diverged."""
        return all(bool(torch.isfinite(p).all()) for p in self.trained.values())

    def encode(self, rows: Sequence[Row]) -> Encoded:
        """Rows with all choices, laid out for scoring."""
        return encode_rows(self.task, rows, self.layout, answers="choices")

    def answers(self, encoded: Encoded) -> Answers:
        """What the present weights answer to rows."""
        prompts = self.method.prompts(self.model)
        return answer(self.backbone, self.task, encoded, prompts)

    def metrics(self, encoded: Encoded) -> dict[str, Any]:
        """The metrics of the present weights on rows."""
        return measure(self.task, encoded, self.answers(encoded))

    def loss(self, rows: Sequence[int]) -> Tensor:
        """PEFT's loss on some training rows: the mean over their answer tokens."""
        picked = [self.examples[row] for row in rows]
        width = max(example.tokens for example in picked)
        ids_BT = torch.zeros(len(picked), width, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        labels_BT = torch.full_like(ids_BT, -100)
        for b, example in enumerate(picked):
            given = len(example.context) + len(example.trunk)
            ids = (*example.context, *example.trunk, *example.answers[0])
            ids_BT[b, : len(ids)] = torch.tensor(ids)
            mask_BT[b, : len(ids)] = 1
            labels_BT[b, given : len(ids)] = ids_BT[b, given : len(ids)]
        device = self.backbone.device
        output = self.forward(
            input_ids=ids_BT.to(device),
            attention_mask=mask_BT.to(device),
            labels=labels_BT.to(device),
            # Training reads no keys and values of earlier passes.
            use_cache=False,
        )
        return output.loss  # type: ignore[no-any-return]

    def compile(self) -> None:
        """Compiles the forward pass and runs it on two lengths; weights stay as they are.

        Raises:
            RuntimeError: there is no compiler.
        """
        # The number of models that one process compiles is limited, silently.
        torch.compiler.reset()
        self.forward = torch.compile(self.model, dynamic=True)
        for rows in self.by_length()[:: max(1, len(self.by_length()) - 1)]:
            self.loss(rows).backward()  # type: ignore[no-untyped-call]
        self.model.zero_grad(set_to_none=True)

    def by_length(self) -> list[list[int]]:
        """All training rows in batches, the shortest first."""
        order = sorted(range(len(self.examples)), key=lambda row: self.examples[row].tokens)
        return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]

    def batches(self, seed: int, epoch: int) -> Iterator[list[int]]:
        """Every training row once: batches of similar lengths out of shuffled groups."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.examples), generator=generator).tolist()
        found = []
        for start in range(0, len(order), 32 * BATCH):
            group = sorted(
                order[start : start + 32 * BATCH], key=lambda row: self.examples[row].tokens
            )
            found += [group[place : place + BATCH] for place in range(0, len(group), BATCH)]
        for place in torch.randperm(len(found), generator=generator).tolist():
            yield found[place]
