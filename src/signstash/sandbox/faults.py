"""Which requests and documents fail, and how: a script of faults, and what has become of it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Self

import attrs

from ..models import SigningError
from .refusals import CODES

On = Literal["sign", "consult", "token"]
"""Which requests: for signing, for consulting the Integration Service, or for a token."""

Moment = Literal["delay", "before", "document", "after"]
"""When it strikes: as a delay, before anything is processed, while a document is signed, or after all is done."""


@attrs.frozen
class Kind:
    """What a fault does.

    Attributes:
        moment: When it strikes.
        meaning: What it stands for, for people.
        code: The `errorCode` or `signError` that it answers, if it answers one.
        on: Which requests it strikes, unless the fault says otherwise.
        seconds: Seconds, unless the fault says otherwise. None if it has no use for them.
    """

    moment: Moment
    meaning: str
    code: str = ""
    on: On = "sign"
    seconds: float | None = None


KINDS: Final[Mapping[str, Kind]] = {
    **{code: Kind("before", description, code) for code, (_, description) in CODES.items()},
    **{error.value: Kind("document", "this signError of a document", error.value) for error in SigningError},
    "error": Kind("before", "any `code` with any `status`, such as one that is not published"),
    "inactive_service": Kind("before", "the client service is inactive (step 9)", "1.1.3"),
    "inactive_issuer": Kind("before", "the issuer is inactive (step 9)", "1.2.0"),
    "inactive_partner": Kind("before", "the partner is inactive", "1.3.0"),
    "missing_certificate": Kind("document", "no certificate is configured (step 10)", "CONFIGURATION_SIGN_ERROR"),
    "expired_certificate": Kind("document", "the certificate is expired", "INVALID_CERTIFICATE_SIGN_ERROR"),
    "certificate_access": Kind("document", "access to the certificate has ended", "INVALID_CERT_ACCESS_ACCOUNT"),
    "no_credits": Kind("document", "no credits are left for signing", "INVALID_CERT_SERVICE_CREDS"),
    "expired_token": Kind("before", "the token ends now: 409 with 0.0.10, a new one works (step 6)", "0.0.10"),
    "revoked_token": Kind("before", "the token is revoked: 401 as Spring answers it, a new one works"),
    "invalid_client": Kind("before", "the credentials are refused (step 1)", on="token"),
    "too_many_requests": Kind("before", "429; `Retry-After` if `seconds` are given"),
    "latency": Kind("delay", "`seconds` for a request", seconds=1),
    "latency_per_document": Kind("delay", "`seconds` for each document of a request", seconds=0.1),
    "random_latency": Kind("delay", "a random time up to `seconds` for a request", seconds=1),
    "reset_before": Kind("before", "the connection is reset, nothing is processed"),
    "reset_after": Kind("after", "the connection is reset when all is processed"),
    "truncated_answer": Kind("after", "the connection ends in the middle of the answer"),
    "cut_json": Kind("after", "a whole answer whose JSON ends in its middle"),
    "html_answer": Kind("before", "a gateway answers with a web page: 502, or `status`"),
    "empty_answer": Kind("before", "a gateway answers with nothing: 502, or `status`"),
    "odd_dates": Kind("after", "dates in every way in which the service may write them"),
    "unknown_enums": Kind("after", "values that the definition does not know"),
}
"""Every fault there is, by name."""


def _one_of(choices: Iterable[str]) -> Any:
    known = list(choices)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in known:
            raise ValueError(f"{attribute.name} is {value!r}. Choose one of: {', '.join(known)}.")

    return check


def _number(least: float, most: float = float("inf"), *, whole: bool = False) -> Any:
    bounds = f"a {'whole ' if whole else ''}number from {least:g}" + (f" to {most:g}" if most < float("inf") else "")

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
            raise ValueError(f"{attribute.name} is {value!r}. Give {bounds}.")

    return attrs.validators.optional(check)


def _usual_target(fault: Fault) -> On:
    return KINDS[fault.kind].on if fault.kind in KINDS else "sign"


@attrs.frozen
class Fault:
    """One way to fail, and when.

    Args:
        kind: Name of what happens; `KINDS` lists them.
        on: `sign`, `consult` or `token`: which requests it strikes. Left out, what the kind is made for.
        reference: Only where a document's external reference, or the request's own, matches this pattern (`*` and `?`).
        name: Only where a document's name matches this pattern.
        times: How often, counted in requests or, for faults of documents, in documents. None: until it is cleared.
        share: Which share of what matches, from 0 to 1.
        seconds: For latency: how long. For `too_many_requests`: what `Retry-After` says.
        status: HTTP status, instead of the usual one.
        code: The `errorCode` or `signError`, instead of the usual one. `error` has none of its own.

    Raises:
        ValueError: If one of these cannot be; it names which, and what can be.
    """

    kind: str = attrs.field(validator=_one_of(KINDS))
    on: On = attrs.field(
        default=attrs.Factory(_usual_target, takes_self=True),
        kw_only=True,
        validator=_one_of(("sign", "consult", "token")),
    )
    reference: str = attrs.field(default="*", kw_only=True, validator=attrs.validators.instance_of(str))
    name: str = attrs.field(default="*", kw_only=True, validator=attrs.validators.instance_of(str))
    times: int | None = attrs.field(default=None, kw_only=True, validator=_number(1, whole=True))
    share: float = attrs.field(default=1.0, kw_only=True, validator=_number(0, 1))
    seconds: float | None = attrs.field(default=None, kw_only=True, validator=_number(0, 3600))
    status: int | None = attrs.field(default=None, kw_only=True, validator=_number(200, 599, whole=True))
    code: str = attrs.field(default="", kw_only=True, validator=attrs.validators.instance_of(str))

    def __attrs_post_init__(self) -> None:
        what = KINDS[self.kind]
        if self.kind == "error" and not self.code:
            raise ValueError("code is missing. The kind 'error' answers the code that you give.")
        if what.moment == "document" and self.on != "sign":
            raise ValueError(f"on is {self.on!r}. Documents fail while they are signed: leave it out.")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """A fault from JSON: an object with the arguments of `Fault`.

        Raises:
            ValueError: If it is no such object.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"a fault is {fields!r}. Give an object with a kind.")  # noqa: TRY004
        known = attrs.fields_dict(cls)
        for name in fields:
            if name not in known:
                raise ValueError(f"{name} is no part of a fault. Choose from: {', '.join(known)}.")
        if "kind" not in fields:
            raise ValueError(f"kind is missing. Choose one of: {', '.join(KINDS)}.")
        return cls(**fields)

    @property
    def moment(self) -> Moment:
        """When it strikes."""
        return KINDS[self.kind].moment

    @property
    def answers(self) -> str:
        """The `errorCode` or `signError` that it answers, or an empty text."""
        return self.code or KINDS[self.kind].code

    def delay(self, documents: int, chance: random.Random) -> float:
        """How many seconds it delays a request with so many documents."""
        usual = KINDS[self.kind].seconds
        seconds = self.seconds if self.seconds is not None else usual or 0.0
        if self.kind == "random_latency":
            return chance.uniform(0, seconds)
        return seconds * documents if self.kind == "latency_per_document" else seconds


@attrs.define
class _Armed:
    fault: Fault
    chance: random.Random
    fired: int = 0

    def strikes(self) -> bool:
        """Whether it strikes what matches it. To be asked once for each."""
        if self.fired == self.fault.times or self.chance.random() >= self.fault.share:
            return False
        self.fired += 1
        return True


class Faults:
    """The faults that are in force, in the order in which they were added.

    The first that matches strikes; delays add to it. It can be changed at any time and from any thread. Each fault has
    a random sequence of its own, so the same requests in the same order fail in the same way.

    Args:
        faults: Faults to begin with.
        seed: Start of the random sequences.

    Attributes:
        fired: How often each kind has struck.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.fired: Counter[str] = Counter()
        self._seed = seed
        self._added = 0
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Put faults in force, after those that are."""
        with self._lock:
            for fault in faults:
                self._armed.append(_Armed(fault, random.Random(f"{self._seed}/{self._added}")))  # noqa: S311
                self._added += 1

    def clear(self) -> None:
        """End all faults. The random sequences start anew."""
        with self._lock:
            self._armed.clear()
            self._added = 0

    def in_force(self) -> list[dict[str, Any]]:
        """The faults as JSON, each with `fired`: how often it has struck."""
        with self._lock:
            return [{**attrs.asdict(armed.fault), "fired": armed.fired} for armed in self._armed]

    def for_request(
        self, on: On, references: Sequence[str] = (), names: Sequence[str] = ()
    ) -> tuple[float, Fault | None]:
        """How many seconds a request is delayed, and the fault that strikes it then, if one does.

        Args:
            on: What it asks for.
            references: External references of the request and its documents.
            names: Names of its documents.
        """
        delay, struck = 0.0, None
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.on != on or fault.moment == "document" or (struck and fault.moment != "delay"):
                    continue
                if not (_any_matches(fault.reference, references) and _any_matches(fault.name, names)):
                    continue
                if armed.strikes():
                    self.fired[fault.kind] += 1
                    if fault.moment == "delay":
                        delay += fault.delay(len(names), armed.chance)
                    else:
                        struck = fault
        return delay, struck

    def for_document(self, reference: str, name: str) -> Fault | None:
        """The fault that strikes a document, if one does."""
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                matches = fnmatchcase(reference, fault.reference) and fnmatchcase(name, fault.name)
                if fault.moment == "document" and matches and armed.strikes():
                    self.fired[fault.kind] += 1
                    return fault
        return None


def _any_matches(pattern: str, texts: Sequence[str]) -> bool:
    return pattern == "*" or any(fnmatchcase(text, pattern) for text in texts)
