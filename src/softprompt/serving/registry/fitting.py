"""Does a prompt belong to the backbone that shall serve it?

The fingerprints decide, and then the sizes of the vectors. Without a backbone every prompt does.
"""

from __future__ import annotations

from softprompt.backbones import Backbone, Identity
from softprompt.errors import ArtifactError
from softprompt.prompts import SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.serving.registry.examination import Facts
from softprompt.serving.registry.index import Fit

__all__ = ["Fitting"]


class Fitting:
    """What a registry accepts.

    Args:
        backbone: that serves; what names it, where only the fingerprints shall be compared; or
            None to accept all.
    """

    def __init__(self, backbone: Backbone | Identity | None) -> None:
        self._backbone = None if isinstance(backbone, Identity) else backbone
        self._identity = backbone if isinstance(backbone, Identity) else None
        widths: dict[str, int] = {}
        if self._backbone is not None:
            self._identity = self._backbone.identity
            widths = {depth: DEPTHS.get(depth).width(self._backbone) for depth in DEPTHS}
        self.fit: Fit | None = None
        """The same for the index; None where everything is accepted."""
        if self._identity is not None:
            self.fit = Fit(self._identity.weights, self._identity.tokenizer, widths)

    def problem(self, facts: Facts) -> str:
        """Why an artifact cannot be served here, with both sides named; "" where it can."""
        fit, mine = self.fit, self._identity
        if fit is None or mine is None:
            return ""
        for what, theirs, ours in (
            ("weights", facts.weights, fit.weights),
            ("tokenizer", facts.tokenizer, fit.tokenizer),
        ):
            if theirs not in ("", ours):
                return (
                    f"It belongs to {facts.backbone} ({what} {theirs[:12]}), and {mine.name} "
                    f"({what} {ours[:12]}) is served here."
                )
        if not fit.accepts(facts.weights, facts.tokenizer, facts.depth, facts.width):
            wanted = fit.widths.get(facts.depth, 0)
            return f"Its vectors have {facts.width} numbers, and {mine.name} takes {wanted}."
        return ""

    def check(self, prompt: SoftPrompt, facts: Facts) -> None:
        """Refuses a prompt of another backbone.

        Raises:
            ArtifactError: both sides are named.
            BackboneError: the backbone cannot take its depth.
        """
        if problem := self.problem(facts):
            assert self._identity is not None
            raise ArtifactError(
                f"The prompt cannot be registered. {problem}",
                f"Train one for {self._identity.name}, or register this one where "
                f"{facts.backbone} is served.",
            )
        if self._backbone is not None:
            prompt.check_backbone(self._backbone)
            DEPTHS.get(prompt.depth).check(self._backbone)
