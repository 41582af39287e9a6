"""Where a command finds its settings: environment variables, a file, and options; the later ones win."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack, cast

import attrs

from .._errors.redaction import Secret
from ..client import SignStash
from ..errors import ConfigurationError
from ..settings import ENVIRONMENT_VARIABLES, TOKEN_URLS, ClientOptions

_TEXTS: Final = ("base_url", "client_id", "environment", "token_url", "secret_file", "secret_command")
"""Settings that are texts, in the file and as options."""
_OTHERS: Final = ("timeout", "deadline", "upload")
"""Settings that only the file can hold."""
_SECRET_SOURCES: Final = frozenset({"secret_file", "secret_command"})
_TOKEN_SERVER: Final = frozenset({"environment", "token_url"})


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which service is asked, and who asks."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML file with any of the following, and more")
    group.add_argument("--base-url", metavar="URL", help="the service's full base URL")
    group.add_argument("--client-id", metavar="ALIAS", help="alias of the client service")
    group.add_argument("--environment", choices=tuple(TOKEN_URLS), metavar="NAME",
        help="staging or production: the one that the proxy is configured for")  # fmt: skip
    group.add_argument("--token-url", metavar="URL", help="token server of your own, instead")
    secret = group.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", metavar="FILE", help="file with the client service's secret")
    secret.add_argument("--secret-command", metavar="CMD", help="command that prints it: 'pass show signstash'")
    group.add_argument("--debug", action="store_true", help="log what happens, and show where errors come from")


@attrs.frozen
class Settings:
    """What the settings say, from all sources.

    Attributes:
        environ: As environment variables, without the secret.
        secret: The client service's.
        options: What only a file can hold.
    """

    environ: Mapping[str, str]
    secret: Secret
    options: ClientOptions

    def __getitem__(self, name: str) -> str:
        """A setting by the name of its argument, except for the secret, or an empty text."""
        return self.environ.get(ENVIRONMENT_VARIABLES[name], "")

    def client(self, **options: Unpack[ClientOptions]) -> SignStash:
        """The client that they describe.

        Args:
            **options: What is not a setting.

        Raises:
            ConfigurationError: If settings are missing or wrong.
        """
        try:
            return SignStash.from_env(
                {**self.environ, ENVIRONMENT_VARIABLES["client_secret"]: self.secret.reveal()},
                **cast("ClientOptions", {**self.options, **options}),
            )
        except ConfigurationError as error:
            hint = "Set or mend these variables, or give them in a file (--config) or as options: see --help."
            raise ConfigurationError(error.problem, hint) from None


def settings_from(given: argparse.Namespace) -> Settings:
    """Put the settings together.

    Args:
        given: The command's options.

    Raises:
        ConfigurationError: If file or secret cannot be read.
    """
    describe_network_error = {name: value for name in _TEXTS if (value := getattr(given, name)) is not None}
    from_file = {} if given.config is None else _read(given.config)
    variables = {variable for name, variable in ENVIRONMENT_VARIABLES.items() if name != "client_secret"}
    environ = {name: value for name, value in os.environ.items() if name in variables}
    secrets = next((source for source in (describe_network_error, from_file) if source.keys() & _SECRET_SOURCES), {})
    for settings in (from_file, describe_network_error):
        if settings.keys() & _TOKEN_SERVER:  # they say the same in two ways, and the stronger source decides alone
            for name in _TOKEN_SERVER:
                environ.pop(ENVIRONMENT_VARIABLES[name], None)
        environ |= {variable: settings[name] for name, variable in ENVIRONMENT_VARIABLES.items() if name in settings}
    secret = _secret(secrets, environ.get(ENVIRONMENT_VARIABLES["client_id"], ""))
    options = cast("ClientOptions", {name: from_file[name] for name in _OTHERS if name in from_file})
    return Settings(environ, secret, options)


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Check what --config names.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.", "Mend it.") from error
    if "client_secret" in settings:
        raise ConfigurationError(
            f"{path} holds client_secret.", "Name a file or a command instead, with secret_file or secret_command."
        )
    _refuse_wrong(path, settings)
    # A file that is named in a file is beside it.
    if "secret_file" in settings:
        settings["secret_file"] = str(path.parent / Path(settings["secret_file"]).expanduser())
    return settings


def _refuse_wrong(path: Path, settings: Mapping[str, Any]) -> None:
    known = (*_TEXTS, *_OTHERS)
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigurationError(f"{path} holds {', '.join(unknown)}.", f"It can hold {', '.join(known)}.")
    for name, value in settings.items():
        if name in _TEXTS and not isinstance(value, str):
            raise ConfigurationError(f"{name} in {path} is {value!r}.", "Write it as a text, in quotes.")
    if settings.keys() >= _SECRET_SOURCES:
        raise ConfigurationError(f"{path} holds both secret_file and secret_command.", "Keep one of them.")


def _secret(settings: Mapping[str, str], client_id: str) -> Secret:
    """The secret, from where the settings say: it never is an option, which other users of the machine could see."""
    if "secret_command" in settings:
        return Secret(_without_line_end(_printed_by(settings["secret_command"])))
    if "secret_file" in settings:
        try:
            return Secret(_without_line_end(Path(settings["secret_file"]).read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise ConfigurationError(
                f"The secret cannot be read from {settings['secret_file']}: {reason}.", "Check the file."
            ) from None
    variable = ENVIRONMENT_VARIABLES["client_secret"]
    if not os.environ.get(variable) and sys.stdin.isatty() and sys.stderr.isatty():
        return Secret(getpass.getpass(f"Secret of {client_id}: "))
    return Secret(os.environ.get(variable, ""))


def _printed_by(command: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - the user's own
            shlex.split(command), stdout=subprocess.PIPE, text=True, check=True
        )
        return ended.stdout
    except subprocess.CalledProcessError as error:
        # Nothing of what it printed is shown: it may be the secret.
        raise ConfigurationError(
            f"The secret command ended with status {error.returncode}.", "Run it by hand to see why."
        ) from None
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"The secret command cannot be run: {error}.", "Check secret_command.") from None


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")
