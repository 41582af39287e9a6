"""The arguments of a client and of its runs, and what can be wrong with them.

.. include:: connections.md
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, get_args

import httpx

from ._errors.redaction import Secret
from .errors import ApiError, ConfigurationError, ErrorClasses
from .retries import RetryPolicy

if TYPE_CHECKING:
    from .documents import Document
    from .journal import Journal

logger: Final = logging.getLogger("signstash")

DEFAULT_TIMEOUT: Final = httpx.Timeout(120.0, connect=10.0)
"""Seconds for connecting (10), and for each wait while a request is sent or its response is read (120)."""
DEFAULT_DEADLINE: Final = 300.0
"""Seconds that a call may take in all."""

Environment = Literal["staging", "production"]
"""The vendor's token server. The proxy must be configured for the same environment."""

TOKEN_URLS: Final[Mapping[str, str]] = {
    "staging": "https://staging.must.digital/oauth2/authorization-server/oauth/token",
    "production": "https://msignstash.multicert.com/oauth2/authorization-server/oauth/token",
}
"""The vendor's token servers (wiki: integration guide, step 1). Never the proxy, which only forwards the token."""

Upload = Literal["base64", "multipart"]
"""How contents are sent: in the JSON, which every proxy accepts, or as multipart files, which are shorter."""

MultipartFileNames = Literal["name", "external_reference"]
"""What a multipart file is called. How the service matches them is not published; they have the documents' order."""

UnknownOutcomes = Literal["hold", "look_up", "send_again"]
"""What `SignStash.sign_all` does with documents whose request went out and whose response was lost.

- `hold`: each gets an `OutcomeUnknownError` and is held for manual review.
- `look_up`: each is looked up on the Integration Service by its reference, and its signed contents fetched; one that
  the service does not know is sent again. If the look-up fails, the next run with the same journal repeats it.
- `send_again`: they are sent again under the same references. The service rejects those whose references are used
  (`DuplicateReferenceError`), so nothing is signed twice; but a proxy returns signed contents only once.
"""

SaveTo = str | os.PathLike[str] | Callable[["Document"], str | os.PathLike[str]]
"""A folder for signed files, which keep their documents' names, or a function that returns each path. It is created."""

ENVIRONMENT_VARIABLES: Final[Mapping[str, str]] = {
    "base_url": "SIGNSTASH_BASE_URL",
    "client_id": "SIGNSTASH_CLIENT_ID",
    "client_secret": "SIGNSTASH_CLIENT_SECRET",
    "environment": "SIGNSTASH_ENVIRONMENT",
    "token_url": "SIGNSTASH_TOKEN_URL",
}
"""The variables from which `SignStash.from_env` takes arguments of `SignStash`."""


class HttpClient(Protocol):
    """An `httpx.AsyncClient` or an `httpx2.AsyncClient`."""

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        ...

    async def aclose(self) -> None:
        """Close it. The SDK leaves this to the user."""


class ClientOptions(TypedDict, total=False):
    """The arguments of `SignStash`, as `SignStash.from_env` takes them."""

    base_url: str
    client_id: str
    client_secret: str | Secret
    environment: Environment
    token_url: str
    auth: httpx.Auth
    timeout: float | httpx.Timeout
    deadline: float
    upload: Upload
    multipart_file_names: MultipartFileNames
    http_client: HttpClient
    token_http_client: HttpClient
    error_classes: ErrorClasses
    retries: RetryPolicy
    verify_signatures: bool
    instance_urls: Iterable[str]


class RunOptions(TypedDict, total=False):
    """The keyword arguments of `SignStash.sign_all` and `SignStash.batching`. All of them are optional.

    Attributes:
        save_to: Folder for the signed documents, which keep their names, or a function that returns the path of each.
            Folders are created.
        overwrite: Whether existing files are replaced. If not, their documents are not sent.
        journal: Durable record, with which a run that was stopped or killed continues; needs `save_to`. Documents that
            it records as signed are not sent; their outcomes have `signed_before`. Documents that it holds for review
            are not sent either, and have an `OutcomeUnknownError`.
        unknown_outcomes: What happens to documents whose response was lost: `hold` (default), `look_up` or
            `send_again`, which `UnknownOutcomes` describes.
        batch_documents: Maximum number of documents in a request (the vendor advises fewer than 100). By default 50.
        batch_bytes: Maximum size of the documents in a request, in bytes. By default 10,000,000. A longer document has
            its own request.
        linger: Seconds that a document may wait for others to share its request although a request could be sent. By
            default none. A document that arrives alone is signed that much later; while `in_flight` requests are in
            flight, batches grow without it.
        in_flight: Maximum number of requests in flight. By default 2; there are fewer while the service is overloaded.
    """

    save_to: str | os.PathLike[str] | Callable[[Document], str | os.PathLike[str]] | None
    overwrite: bool
    journal: Journal | None
    unknown_outcomes: UnknownOutcomes
    batch_documents: int
    batch_bytes: int
    linger: float
    in_flight: int


def environment_arguments(
    environ: Mapping[str, str], options: ClientOptions
) -> tuple[dict[str, Any], Callable[[ConfigurationError], ConfigurationError]]:
    """The arguments of `SignStash` from environment variables and from code, which overrides them.

    Returns them, and a function that puts the names of variables into an error in place of those of arguments.
    """
    if not isinstance(environ, Mapping):
        raise ConfigurationError(f"environ is of type {type(environ).__name__}.", "Give a mapping, or leave it out.")
    found: dict[str, Any] = {
        name: environ.get(variable) or None for name, variable in ENVIRONMENT_VARIABLES.items() if name not in options
    }
    if "environment" in options:
        found.pop("token_url", None)  # it belongs to the other environment, and would override the given one
    if "client_secret" in found:
        found["client_secret"] = Secret(found["client_secret"] or "")
    names = re.compile(rf"\b({'|'.join(found) or '(?!)'})\b")

    def renamed(error: ConfigurationError) -> ConfigurationError:
        problem = names.sub(lambda match: ENVIRONMENT_VARIABLES[match[0]], error.problem)
        hint = error.hint if problem == error.problem else "Set or correct these variables."
        return ConfigurationError(problem, hint)

    return {**found, **options}, renamed


class Credentials(TypedDict):
    """The arguments of `SignStash` that name the service and the client service: `SignStash(**credentials)`."""

    base_url: str
    client_id: str
    client_secret: str
    token_url: str


def raise_for_problems(*found: Sequence[str]) -> None:
    """Report all problems at once."""
    if problems := [problem for problems in found for problem in problems]:
        raise ConfigurationError(f"The client cannot be set up: {'; '.join(problems)}.", "Correct these settings.")


def service_problems(
    base_url: object, client_id: object, client_secret: Secret, environment: object, token_url: object, *, auth: object
) -> list[str]:
    """What is wrong with the arguments that name the service and the client service."""
    problems = url_problems("base_url", base_url)
    if auth is not None:
        if not isinstance(auth, httpx.Auth):
            problems.append(f"auth is of type {type(auth).__name__}, not an httpx.Auth")
        client_id = client_id or getattr(auth, "client_id", None)
        if not client_id:
            problems.append("client_id is missing (external references begin with it)")
        elif not isinstance(client_id, str):
            problems.append(f"client_id is of type {type(client_id).__name__}, not a text")
        return problems
    problems += credential_problems(client_id, client_secret)
    if environment is None and token_url is None:
        problems.append("environment is missing ('staging' or 'production'; or give token_url)")
    elif environment is not None and environment not in list(TOKEN_URLS):
        problems.append(f"environment is {environment!r}, not 'staging' or 'production'")
    return problems + ([] if token_url is None else token_url_problems(token_url))


def option_problems(
    upload: object, multipart_file_names: object, error_classes: object, verify_signatures: object
) -> list[str]:
    """What is wrong with the other arguments of a client."""
    choices = {"upload": (upload, Upload), "multipart_file_names": (multipart_file_names, MultipartFileNames)}
    problems = [
        f"{name} is {value!r}, not {' or '.join(map(repr, get_args(literal)))}"
        for name, (value, literal) in choices.items()
        if value not in get_args(literal)
    ]
    if isinstance(error_classes, Mapping):
        allowed: list[type[ApiError]] = [ApiError, *ApiError.__subclasses__()]
        names = ", ".join(item.__name__ for item in allowed if item.__module__ == ApiError.__module__)
        problems += [
            f"error_classes[{code!r}] is {kind!r}, not one of the classes {names}, or a subclass of one"
            for code, kind in error_classes.items()
            if not isinstance(kind, type) or not issubclass(kind, ApiError)
        ]
    elif error_classes is not None:
        problems.append(f"error_classes is {error_classes!r}, not a mapping of codes to classes")
    if not isinstance(verify_signatures, bool):
        problems.append(f"verify_signatures is {verify_signatures!r}, not True or False")
    elif verify_signatures:
        try:
            import_module(".verification", __package__)
        except ImportError as error:
            problems.append(f"verify_signatures cannot be used ({error})")
    return problems


def credential_problems(client_id: object, client_secret: Secret) -> list[str]:
    """What is wrong with the credentials, without quoting the secret."""
    problems = []
    secret: object = client_secret.reveal()
    if client_id is None or client_id == "":
        problems.append("client_id is missing (the alias of the client service)")
    elif not isinstance(client_id, str):
        problems.append(f"client_id is of type {type(client_id).__name__}, not a text")
    elif ":" in client_id or not client_id.isprintable():
        problems.append("client_id contains a colon or a control character, which HTTP Basic cannot carry")
    if secret is None or secret == "":
        problems.append("client_secret is missing (the password defined in the backoffice)")
    elif not isinstance(secret, str):
        problems.append(f"client_secret is of type {type(secret).__name__}, not a text")
    elif any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000 for character in secret):
        problems.append(
            "client_secret contains a character that cannot be sent, such as the line end of the file it was read from"
        )
    return problems


def token_url_problems(token_url: object) -> list[str]:
    """What is wrong with a token endpoint's URL, to which the secret is sent."""
    problems = url_problems("token_url", token_url)
    if not problems and httpx.URL(str(token_url)).scheme == "http" and not is_local(httpx.URL(str(token_url)).host):
        problems.append("token_url would send the secret over plain HTTP (use https)")
    return problems


def is_local(host: str) -> bool:
    """Whether a host is this machine or in a private network, as far as its name or address tells."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".test"))
    return address.is_loopback or address.is_private


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def as_list(urls: object) -> list[Any]:
    """URLs as a list. A value of another type is left to `url_problems`."""
    return list(urls) if isinstance(urls, Iterable) and not isinstance(urls, str | bytes) else [urls]


def instance_problems(given: object, urls: Iterable[object]) -> list[str]:
    """What is wrong with the URLs of instances, as given and as a list."""
    problems = ["instance_urls is a text, not a list of URLs"] if isinstance(given, str) else []
    return problems + [problem for url in urls for problem in url_problems("instance_urls", url)]


def url_problems(name: str, value: object) -> list[str]:
    """What is wrong with a URL. A user and password in it are not quoted."""
    if value is None or value == "":
        return [f"{name} is missing"]
    if not isinstance(value, str):
        return [f"{name} is of type {type(value).__name__}, not a text"]
    if value != value.strip():
        return [f"{name} begins or ends with blanks"]
    try:
        url = httpx.URL(value)
        host = url.host  # decodes an international name
    except (httpx.InvalidURL, ValueError):  # UnicodeError is one
        return [f"{name} is not a URL"]
    if url.scheme not in ("http", "https") or not host:
        return [f"{name} does not begin with http:// or https:// and a host"]
    if url.userinfo:
        return [f"{name} contains a user or password (give client_id and client_secret instead)"]
    if url.query or url.fragment:
        return [f"{name} contains a query or fragment"]
    if url.port is not None and not 1 <= url.port <= 65535:
        return [f"{name} has the port {url.port}, which is not between 1 and 65535"]
    if name == "base_url" and (path := re.search(r"/api/v0(/.*)?$", url.path)):
        return [f"base_url ends in {path[0]}, which each call adds (leave it out)"]
    return []


_warned_of: Final = set[str]()


def warn_of_plain_http(base_urls: Iterable[str]) -> None:
    """Log a warning, once in a process for each host, if documents and token are sent unencrypted.

    It is logged instead of passed to `warnings`, which would fail tests that turn warnings into errors.
    """
    for url in map(httpx.URL, base_urls):
        if url.scheme == "http" and not is_local(url.host) and url.host not in _warned_of:
            _warned_of.add(url.host)
            logger.warning("documents and token go to %s over plain HTTP; use https outside your network", url.host)


def client_problems(**clients: object) -> list[str]:
    """What is wrong with a user's own HTTP clients."""
    return [
        f"{name} is of type {type(client).__name__}, not an httpx.AsyncClient or httpx2.AsyncClient"
        for name, client in clients.items()
        if client is not None and not inspect.iscoroutinefunction(getattr(client, "send", None))
    ]


def limit_problems(timeout: object, deadline: object, retries: object) -> list[str]:
    """What is wrong with the limits on time, which must be given, positive and finite, and the retries."""
    parts = timeout.as_dict() if isinstance(timeout, httpx.Timeout) else {"timeout": timeout}
    limits = {name if name == "timeout" else f"timeout.{name}": value for name, value in parts.items()}
    problems = [
        f"{name} is {value!r}, not a positive number of seconds"
        for name, value in {**limits, "deadline": deadline}.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max
    ]
    if retries is not None and not isinstance(retries, RetryPolicy):
        problems.append(f"retries is {retries!r}, not a RetryPolicy")
    return problems


def as_timeout(timeout: float | httpx.Timeout) -> httpx.Timeout:
    """The limits on each wait on the network."""
    return timeout if isinstance(timeout, httpx.Timeout) else httpx.Timeout(timeout)
