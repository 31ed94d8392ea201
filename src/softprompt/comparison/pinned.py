"""What stays the same from the first loading of a comparison's backbone to the last.

Every method, and every learning rate of one, loads it anew, in processes and on days of their own.
The precision that is measured as the fastest could change in between, and so could the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.storage import write_json

__all__ = ["Pinned"]


@dataclass(frozen=True)
class Pinned:
    """Precision and fingerprints of a comparison's backbone.

    Args:
        file: where they are kept; written when it is loaded first.
    """

    file: Path

    def settings(self, values: dict[str, Any]) -> dict[str, Any]:
        """How the backbone is loaded: in the precision that was chosen first, unless one is named.

        Args:
            values: settings of `load_backbone`.
        """
        kept = self._kept()
        if kept is None or values.get("dtype") != "auto":
            return values
        return {**values, "dtype": kept["dtype"]}

    def check(self, backbone: Backbone) -> None:
        """Keeps what a backbone is, or refuses one that is not what was kept.

        Raises:
            UsageError: its weights or its tokenizer have changed.
        """
        identity, kept = backbone.identity, self._kept()
        now = {"weights": identity.weights, "tokenizer": identity.tokenizer}
        if kept is None:
            write_json(self.file, {**now, "dtype": backbone.dtype})
            return
        if any(kept[what] != now[what] for what in now):
            raise UsageError(
                _("The backbone has changed since the comparison began: {name}.").format(
                    name=identity.name
                ),
                _("Put the old model back to go on, or start a new comparison."),
            )

    def _kept(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self.file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
