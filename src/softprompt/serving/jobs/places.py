"""Where a server keeps its files and its model, and what stands for them where others read.

It knows no job: texts come in and go out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["Places"]

_PART = r"[^\s/\\'\",;:()]+"


class Places:
    """Folders of a server that are nobody's business.

    Args:
        root: of files and jobs, absolute.
        model: what is trained over: a folder, absolute, or another name of a model.
        called: what clients call it.
    """

    def __init__(self, root: Path, model: str, called: str) -> None:
        # Spaces may stand in these two, where no rule would find the end of a path.
        self._root = re.compile(rf"{re.escape(str(root))}(?:/(?:{_PART}/)*|(?![\w.-]))")
        folder = Path(model).is_absolute()
        self._model = re.compile(rf"{re.escape(model)}(?![\w.-])") if folder else None
        self._called = called

    def hidden(self, text: str) -> str:
        """A text with the names of files and model in the place of their paths."""
        if self._model is not None:
            text = self._model.sub(lambda _: self._called, text)
        return self._root.sub("", text)

    def hidden_in(self, value: Any) -> Any:
        """The same for all texts of a JSON value."""
        if isinstance(value, str):
            return self.hidden(value)
        if isinstance(value, dict):
            return {self.hidden(key): self.hidden_in(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden_in(part) for part in value]
        return value
