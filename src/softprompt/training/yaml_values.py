"""YAML as people write settings: `on`, `off`, `yes` and `no` are words.

YAML 1.1, which PyYAML reads, takes them for booleans; settings (`disk_cache=off`) and labels (`no`)
have those names. YAML 1.2 has `true` and `false` alone (https://yaml.org/spec/1.2.2, 10.3.2).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from softprompt.errors import ConfigError
from softprompt.locale import _

__all__ = ["assignment", "read_yaml"]

_BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Plain values only, with the booleans of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read_yaml(text: str) -> Any:
    """The value that a text stands for.

    Raises:
        yaml.YAMLError: it is not YAML, or asks for more than plain values.
    """
    return yaml.load(text, Loader=_Loader)


def assignment(text: str, example: str) -> tuple[str, Any]:
    """Key and value of `KEY=VALUE`.

    Args:
        text: as the user wrote it.
        example: of a right one, for the message.

    Raises:
        ConfigError: there is no equals sign, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise ConfigError(
            _("{text!r} is no assignment.").format(text=text),
            _("Write for example --set {example}.").format(example=example),
        )
    try:
        return key, read_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            _("The value in {text!r} is not YAML.").format(text=text),
            _("Put text with signs of its own in quotes: --set \"{key}='...'\".").format(key=key),
        ) from error
