"""Reads settings from environment variables, a file, and options; later ones override earlier ones."""

from __future__ import annotations

import argparse
import codecs
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
"""Settings that are strings, in the file and as options."""
_OTHERS: Final = ("timeout", "deadline", "upload")
"""Settings that only the file can contain."""
_SECRET_SOURCES: Final = frozenset({"secret_file", "secret_command"})
_TOKEN_SERVER: Final = frozenset({"environment", "token_url"})


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for service, credentials and settings file."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE",
        help="TOML file with these settings, and timeout, deadline, upload")  # fmt: skip
    group.add_argument("--base-url", metavar="URL", help="the service's full base URL")
    group.add_argument("--client-id", metavar="ALIAS", help="alias of the client service")
    group.add_argument("--environment", choices=tuple(TOKEN_URLS), metavar="NAME",
        help="staging or production, as the proxy is configured")  # fmt: skip
    group.add_argument("--token-url", metavar="URL", help="token endpoint, instead of --environment")
    secret = group.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", metavar="FILE", help="file that contains the secret")
    secret.add_argument("--secret-command", metavar="CMD", help="command that prints the secret (pass show signstash)")
    group.add_argument("--debug", action="store_true", help="log to standard error, and show tracebacks")


@attrs.frozen
class Settings:
    """The settings from all sources.

    Attributes:
        environ: Settings as environment variables, without the secret.
        secret: The client service's secret.
        options: Settings that only a file can contain.
        asked: Whether somebody typed the secret.
        sources: Options and settings of the file that give a variable's value, by its name.
    """

    environ: Mapping[str, str]
    secret: Secret
    options: ClientOptions
    asked: bool = False
    sources: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def __getitem__(self, name: str) -> str:
        """Return a setting by the name of its argument, or an empty string. Not for the secret."""
        return self.environ.get(ENVIRONMENT_VARIABLES[name], "")

    def client(self, **options: Unpack[ClientOptions]) -> SignStash:
        """Make the client that the settings describe.

        Args:
            **options: Further options of the client.

        Raises:
            ConfigurationError: If settings are missing or wrong.
        """
        try:
            return SignStash.from_env(
                {**self.environ, ENVIRONMENT_VARIABLES["client_secret"]: self.secret.reveal()},
                **cast("ClientOptions", {**self.options, **options}),
            )
        except ConfigurationError as error:
            problem = error.problem
            for variable, source in self.sources.items():
                problem = problem.replace(variable, source)
            hint = "Fix these settings: variables, settings in a file (--config), or options (see --help)."
            raise ConfigurationError(problem, hint) from None


def settings_from(given: argparse.Namespace, *, ask: bool = True) -> Settings:
    """Collect the settings.

    Args:
        given: The command's options.
        ask: Whether somebody at a terminal is asked for a secret that is not set.

    Raises:
        ConfigurationError: If the file or the secret cannot be read.
    """
    from_options = {name: value for name in _TEXTS if (value := getattr(given, name)) is not None}
    from_file = {} if given.config is None else _read(given.config)
    variables = {variable for name, variable in ENVIRONMENT_VARIABLES.items() if name != "client_secret"}
    environ = {name: value for name, value in os.environ.items() if name in variables}
    secrets = next((source for source in (from_options, from_file) if source.keys() & _SECRET_SOURCES), {})
    sources: dict[str, str] = {}
    for settings in (from_file, from_options):
        if settings.keys() & _TOKEN_SERVER:  # alternatives: the stronger source decides alone
            for name in _TOKEN_SERVER:
                environ.pop(ENVIRONMENT_VARIABLES[name], None)
        found = {variable: name for name, variable in ENVIRONMENT_VARIABLES.items() if name in settings}
        environ |= {variable: settings[name] for variable, name in found.items()}
        for variable, name in found.items():
            is_option = settings is from_options
            sources[variable] = f"--{name.replace('_', '-')}" if is_option else f"{name} in {given.config}"
    secret = _secret(secrets)
    asked = ask and not secrets and not secret.reveal() and sys.stdin.isatty() and sys.stderr.isatty()
    if asked:
        secret = Secret(getpass.getpass(f"Secret of {environ.get(ENVIRONMENT_VARIABLES['client_id'], '')}: "))
    options = cast("ClientOptions", {name: from_file[name] for name in _OTHERS if name in from_file})
    return Settings(environ, secret, options, asked, sources)


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(_decoded(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Check what --config names.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.", "Fix the file.") from error
    if "client_secret" in settings:
        raise ConfigurationError(f"{path} contains client_secret.", "Use secret_file or secret_command instead.")
    _validate(path, settings)
    # Relative to the settings file.
    if "secret_file" in settings:
        settings["secret_file"] = str(path.parent / Path(settings["secret_file"]).expanduser())
    return settings


def _validate(path: Path, settings: Mapping[str, Any]) -> None:
    known = (*_TEXTS, *_OTHERS)
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigurationError(f"{path} contains {', '.join(unknown)}.", f"Known settings are {', '.join(known)}.")
    for name, value in settings.items():
        if name in _TEXTS and not isinstance(value, str):
            raise ConfigurationError(f"{name} in {path} is {value!r}.", "Write it as a string, in quotes.")
    if settings.keys() >= _SECRET_SOURCES:
        raise ConfigurationError(f"{path} contains both secret_file and secret_command.", "Keep one of them.")


def _secret(settings: Mapping[str, str]) -> Secret:
    """Read the secret. It is never an option, which other users of the machine could see."""
    if "secret_command" in settings:
        return _not_empty(_printed_by(settings["secret_command"]), "The secret command printed no secret")
    if "secret_file" in settings:
        try:
            text = _decoded(Path(settings["secret_file"]).read_bytes())
            return _not_empty(text, f"The secret file {settings['secret_file']} is empty")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 or UTF-16 text"
            raise ConfigurationError(
                f"The secret cannot be read from {settings['secret_file']}: {reason}.", "Check secret_file."
            ) from None
    return Secret(os.environ.get(ENVIRONMENT_VARIABLES["client_secret"], "").removeprefix("\ufeff"))


def _printed_by(command: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - the user's own
            shlex.split(command), stdout=subprocess.PIPE, check=True
        )
        return _decoded(ended.stdout)
    except subprocess.CalledProcessError as error:
        # Its output is not shown: it may contain the secret.
        raise ConfigurationError(
            f"The secret command ended with status {error.returncode}.", "Run it yourself to see why."
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError("The secret command printed no UTF-8 text.", "Check secret_command.") from None
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"The secret command cannot be run: {error}.", "Check secret_command.") from None


def _decoded(content: bytes) -> str:
    """Decode text, with or without a byte order mark, which editors and shells on Windows write."""
    return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _not_empty(text: str, problem: str) -> Secret:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ConfigurationError(f"{problem}.", "Check secret_file or secret_command.")
    return Secret(secret)
