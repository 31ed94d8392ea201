"""The registry: which prompts there are, and what their names mean now.

A folder of artifacts is the truth; everything else is derived from it. Artifacts are checked when
they are registered. The registry serves them to an engine and knows nothing of it.
"""

from __future__ import annotations

from softprompt.errors import UsageError

try:
    import alembic  # noqa: F401
    import filelock  # noqa: F401
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise UsageError(
        f"The registry of prompts needs {error.name}, which is not installed.",
        "Run: pip install 'softprompt[serve]'",
    ) from error

from softprompt.serving.registry.cards import Card
from softprompt.serving.registry.registry import Registry

__all__ = ["Card", "Registry"]
