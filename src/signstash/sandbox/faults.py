"""Which requests and documents fail, and how."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Self, cast

import attrs

from ..models import SigningError
from .error_responses import CODES

On = Literal["sign", "query", "token"]
"""Kinds of requests: for signing, for queries of the Integration Service, and for a token."""

Moment = Literal["headers", "delay", "before", "document", "after"]
"""When a fault occurs: before the body is read, as a delay, before or after processing, or for one document."""

FaultKind = Literal[
    "0.0.1", "0.0.2", "0.0.3", "0.0.4", "0.0.5", "0.0.6", "0.0.7", "0.0.10", "1.1.0", "1.1.1", "1.1.2", "1.1.3",
    "1.1.4", "1.2.0", "1.3.0", "2.2.1", "CERT_SERVICE_GLOBAL_ERROR", "CONFIGURATION_SIGN_ERROR",
    "INVALID_CERTIFICATE_SIGN_ERROR", "INVALID_CERT_ACCESS_ACCOUNT", "INVALID_CERT_SERVICE_CREDS",
    "SIGN_OPERATION_INTERNAL_ERROR", "STORAGE_SERVICE_GLOBAL_ERROR", "TIMESTAMP_SIGN_ERROR", "error",
    "inactive_service", "inactive_issuer", "inactive_partner", "missing_certificate", "expired_certificate",
    "certificate_access", "no_credits", "expired_token", "revoked_token", "early_401", "invalid_client",
    "too_many_requests", "latency", "latency_per_document", "random_latency", "reset_before", "reset_after",
    "truncated_response", "cut_json", "html_response", "empty_response", "odd_dates", "unknown_enums",
]  # fmt: skip
"""Names of the kinds of faults; `KINDS` says what each does."""


@attrs.frozen
class Kind:
    """A kind of fault.

    Attributes:
        moment: When it occurs.
        meaning: What it does, for people.
        code: The `errorCode` or `signError` of the response, if there is one.
        on: The requests concerned, unless the fault names others.
        seconds: Seconds, unless the fault gives them. None if the kind does not use them.
    """

    moment: Moment
    meaning: str
    code: str = ""
    on: On = "sign"
    seconds: float | None = None


_KINDS: Final = {
    **{code: Kind("before", description, code) for code, (_, description) in CODES.items()},
    **{error.value: Kind("document", "a document gets this signError", error.value) for error in SigningError},
    "error": Kind("before", "any `code` with any `status`, such as an unpublished one"),
    "inactive_service": Kind("before", "the client service is inactive (step 9)", "1.1.3"),
    "inactive_issuer": Kind("before", "the issuer is inactive (step 9)", "1.2.0"),
    "inactive_partner": Kind("before", "the partner is inactive", "1.3.0"),
    "missing_certificate": Kind("document", "no certificate is configured (step 10)", "CONFIGURATION_SIGN_ERROR"),
    "expired_certificate": Kind("document", "the certificate has expired", "INVALID_CERTIFICATE_SIGN_ERROR"),
    "certificate_access": Kind("document", "access to the certificate has ended", "INVALID_CERT_ACCESS_ACCOUNT"),
    "no_credits": Kind("document", "no credits left", "INVALID_CERT_SERVICE_CREDS"),
    "expired_token": Kind("before", "the token expires now: 409 with 0.0.10, a new one works (step 6)", "0.0.10"),
    "revoked_token": Kind("before", "the token is revoked: 401 in Spring's format, a new one works"),
    "early_401": Kind("headers", "the token is revoked: 401 before the body has arrived, then the connection closes"),
    "invalid_client": Kind("before", "the credentials are rejected (step 1)", on="token"),
    "too_many_requests": Kind("before", "429, with `Retry-After` if `seconds` are given"),
    "latency": Kind("delay", "`seconds` for a request", seconds=1),
    "latency_per_document": Kind("delay", "`seconds` for each document of a request", seconds=0.1),
    "random_latency": Kind("delay", "a random time up to `seconds` for a request", seconds=1),
    "reset_before": Kind("before", "the connection is reset, nothing is processed"),
    "reset_after": Kind("after", "the response is lost: everything is processed, then the connection is reset"),
    "truncated_response": Kind("after", "the connection closes in the middle of the response"),
    "cut_json": Kind("after", "a complete response whose JSON ends in its middle"),
    "html_response": Kind("before", "a gateway responds with a web page: 502, or `status`"),
    "empty_response": Kind("before", "a gateway responds without a body: 502, or `status`"),
    "odd_dates": Kind("after", "dates in every format that the service may use"),
    "unknown_enums": Kind("after", "values that the definition does not list"),
}
KINDS: Final[Mapping[FaultKind, Kind]] = cast("Any", _KINDS)
"""All kinds of faults, by name."""


def _one_of(choices: Iterable[str]) -> Any:
    known = list(choices)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in known:
            raise ValueError(f"{attribute.name} is {value!r}. Choose one of: {', '.join(known)}.")

    return check


def _text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name} is {value!r}. Give a text.")  # noqa: TRY004 - documented


def _number(least: float, most: float = float("inf"), *, whole: bool = False) -> Any:
    bounds = f"a {'whole ' if whole else ''}number from {least:g}" + (f" to {most:g}" if most < float("inf") else "")

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            raise ValueError(f"{attribute.name} is {value!r}. Give {bounds}.")

    return attrs.validators.optional(check)


def _usual_target(fault: Fault) -> On:
    return KINDS[fault.kind].on if fault.kind in list(KINDS) else "sign"


@attrs.frozen
class Fault:
    """A failure, and the requests or documents that it occurs for.

    Args:
        kind: Name of the failure; `KINDS` lists them.
        on: `sign`, `query`, or `token`: the kind of requests. By default the one that `kind` is made for.
        reference: Limits it to documents or requests whose external reference matches this pattern (`*` and `?`).
        name: Limits it to documents whose name matches this pattern.
        times: For how many requests it occurs, or documents if it is a fault of documents. None: until it is cleared.
        share: The share of the matching requests, from 0 to 1.
        seconds: The delay of latency faults, or the `Retry-After` of `too_many_requests`.
        status: HTTP status, if not the usual one.
        code: The `errorCode` or `signError`, if not the usual one. `error` needs one.

    Raises:
        ValueError: If an argument is not valid; the message names it and the valid values.
    """

    kind: FaultKind = attrs.field(validator=_one_of(KINDS))
    on: On = attrs.field(
        default=attrs.Factory(_usual_target, takes_self=True),
        kw_only=True,
        validator=_one_of(("sign", "query", "token")),
    )
    reference: str = attrs.field(default="*", kw_only=True, validator=_text)
    name: str = attrs.field(default="*", kw_only=True, validator=_text)
    times: int | None = attrs.field(default=None, kw_only=True, validator=_number(1, whole=True))
    share: float = attrs.field(default=1.0, kw_only=True, validator=_number(0, 1))
    seconds: float | None = attrs.field(default=None, kw_only=True, validator=_number(0, 3600))
    status: int | None = attrs.field(default=None, kw_only=True, validator=_number(200, 599, whole=True))
    code: str = attrs.field(default="", kw_only=True, validator=_text)

    def __attrs_post_init__(self) -> None:
        if self.kind == "error" and not self.code:
            raise ValueError("code is missing. Give the errorCode of the response.")
        if self.moment == "document" and self.on != "sign":
            raise ValueError(f"on is {self.on!r}. Leave it out: {self.kind} concerns the signing of a document.")
        if self.moment == "headers" and (self.reference, self.name) != ("*", "*"):
            raise ValueError(f"reference or name is given. Leave them out: {self.kind} occurs before they are read.")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Make a fault from JSON: an object with the arguments of `Fault`.

        Args:
            fields: The object.

        Raises:
            ValueError: If a field is unknown, missing, or not valid.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"a fault is {fields!r}. Give an object with a kind.")  # noqa: TRY004 - as above
        known = attrs.fields_dict(cls)
        for name in fields:
            if name not in known:
                raise ValueError(f"{name} is not a field of a fault. Choose from: {', '.join(known)}.")
        if "kind" not in fields:
            raise ValueError(f"kind is missing. Choose one of: {', '.join(KINDS)}.")
        return cls(**fields)

    @property
    def moment(self) -> Moment:
        """When it occurs."""
        return KINDS[self.kind].moment

    @property
    def error(self) -> str:
        """The `errorCode` or `signError` of the response, or an empty string."""
        return self.code or KINDS[self.kind].code

    def delay(self, documents: int, chance: random.Random) -> float:
        """Seconds by which a request with this number of documents is delayed."""
        usual = KINDS[self.kind].seconds
        seconds = self.seconds if self.seconds is not None else usual or 0.0
        if self.kind == "random_latency":
            return chance.uniform(0, seconds)
        return seconds * documents if self.kind == "latency_per_document" else seconds


@attrs.define
class _ActiveFault:
    fault: Fault
    chance: random.Random
    fired: int = 0

    def fires(self) -> bool:
        """Decide whether it occurs for a matching request; call it once for each."""
        if self.fired == self.fault.times or self.chance.random() >= self.fault.share:
            return False
        self.fired += 1
        return True


class Faults:
    """The active faults, in the order in which they were added.

    The first one that matches a request occurs; delays occur as well. Faults can be changed at any time, from any
    thread. Each has its own random sequence, so the same requests in the same order fail in the same way.

    Args:
        faults: Faults to start with.
        seed: Seed of the random sequences.

    Attributes:
        fired: How often each kind has occurred.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.fired: Counter[str] = Counter()
        self._seed = seed
        self._added = 0
        self._active: list[_ActiveFault] = []
        self._lock = threading.Lock()
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Activate faults, after those that are active."""
        with self._lock:
            for fault in faults:
                self._active.append(_ActiveFault(fault, random.Random(f"{self._seed}/{self._added}")))  # noqa: S311 - no secret
                self._added += 1

    def remove(self, index: int) -> None:
        """Deactivate a fault.

        Args:
            index: Its position among the active ones, from 0.
        """
        with self._lock:
            if 0 <= index < len(self._active):
                del self._active[index]

    def clear(self) -> None:
        """Deactivate all faults. The random sequences start again."""
        with self._lock:
            self._active.clear()
            self._added = 0

    def active(self) -> list[dict[str, Any]]:
        """The active faults as JSON, each with `fired`: how often it has occurred."""
        with self._lock:
            return [{**attrs.asdict(item.fault), "fired": item.fired} for item in self._active]

    def for_headers(self, on: On) -> Fault | None:
        """The fault that occurs before the body of a request is read, if there is one."""
        with self._lock:
            for item in self._active:
                if item.fault.moment == "headers" and item.fault.on == on and item.fires():
                    self.fired[item.fault.kind] += 1
                    return item.fault
        return None

    def for_request(
        self, on: On, references: Sequence[str] = (), names: Sequence[str] = ()
    ) -> tuple[float, Fault | None]:
        """The delay of a request in seconds, and the fault that occurs then, if there is one.

        Args:
            on: What it asks for.
            references: External references of the request and its documents.
            names: Names of its documents.
        """
        delay, occurring = 0.0, None
        with self._lock:
            for item in self._active:
                fault = item.fault
                if fault.on != on or fault.moment in ("document", "headers"):
                    continue
                if occurring and fault.moment != "delay":
                    continue
                if not (_any_matches(fault.reference, references) and _any_matches(fault.name, names)):
                    continue
                if item.fires():
                    self.fired[fault.kind] += 1
                    if fault.moment == "delay":
                        delay += fault.delay(len(names), item.chance)
                    else:
                        occurring = fault
        return delay, occurring

    def for_document(self, reference: str, name: str) -> Fault | None:
        """The fault that occurs for a document, if there is one."""
        with self._lock:
            for item in self._active:
                fault = item.fault
                matches = fnmatchcase(reference, fault.reference) and fnmatchcase(name, fault.name)
                if fault.moment == "document" and matches and item.fires():
                    self.fired[fault.kind] += 1
                    return fault
        return None


def _any_matches(pattern: str, texts: Sequence[str]) -> bool:
    return pattern == "*" or any(fnmatchcase(text, pattern) for text in texts)
