"""Validates arguments."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigurationError


def refuse_flags(**flags: object) -> None:
    """Refuse what is neither True nor False: a text would count as True, whatever it says.

    Raises:
        ConfigurationError: If there is such a value.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} is {value!r}.", "Give True or False.")


def path_from(name: str, value: object) -> Path:
    """The path that an argument gives.

    Raises:
        ConfigurationError: If it is something else, or empty: then files would come to be in the current folder.
    """
    if not isinstance(value, str | os.PathLike) or value == "":
        raise ConfigurationError(f"{name} is {value!r}.", "Give a path.")
    return Path(value)
