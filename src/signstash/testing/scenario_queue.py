"""Failures that a test prepared, and when they occur: in their order, each as often as given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import httpx

from ..models import SigningError
from .received import SentDocument


@attrs.frozen
class Failure:
    """How a request fails.

    Attributes:
        respond: Makes the response, or raises the exception that httpx raises without one.
        processed: Whether the request is processed nevertheless.
        ends_token: Whether the request's token becomes invalid.
    """

    respond: Callable[[httpx.Request], httpx.Response]
    processed: bool = False
    ends_token: bool = False


@attrs.frozen
class DocumentFailure:
    """How a document of an otherwise successful request fails.

    Attributes:
        sign_error: Its `signError`.
        document: External reference or name of the document, or None for every document.
    """

    sign_error: SigningError
    document: str | None = None

    def concerns(self, document: SentDocument) -> bool:
        """Whether a document fails in this way."""
        return self.document in (None, document.external_reference, document.name)


Effect = TypeVar("Effect")


@attrs.define
class _Scenario(Generic[Effect]):
    name: str
    effect: Effect
    times: int | None
    occurred: int = 0


@attrs.define
class ScenarioQueue(Generic[Effect]):
    """Scenarios in the order in which they were added. The first one that is not over occurs."""

    _scenarios: list[_Scenario[Effect]] = attrs.field(factory=list[_Scenario[Effect]], init=False)

    def add(self, name: str, effect: Effect, times: int | None) -> None:
        """Add a scenario at the end.

        Args:
            name: Its name in messages.
            effect: What it does.
            times: How often it occurs; None for always.

        Raises:
            ValueError: If `times` is not a positive integer or None.
        """
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ValueError(f"times is {times!r}. Give a positive integer, or None for every time.")
        self._scenarios.append(_Scenario(name, effect, times))

    def next(self, concerns: Callable[[Effect], bool] = lambda _: True) -> Effect | None:
        """Return the effect that occurs now, or None.

        Args:
            concerns: Whether an effect can occur here.
        """
        for scenario in self._scenarios:
            if scenario.occurred != scenario.times and concerns(scenario.effect):
                scenario.occurred += 1
                return scenario.effect
        return None

    def unused(self) -> list[str]:
        """Describe the scenarios that did not occur, or less often than given."""
        return [
            f"{scenario.name} did not occur."
            if not scenario.occurred
            else f"{scenario.name} occurred {scenario.occurred} of {scenario.times} times."
            for scenario in self._scenarios
            if not scenario.occurred or scenario.occurred < (scenario.times or 0)
        ]

    def clear(self) -> None:
        """Remove all scenarios."""
        self._scenarios.clear()
