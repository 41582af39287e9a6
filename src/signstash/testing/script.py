"""What goes wrong, and when: scenarios that strike one after the other, each as often as it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import httpx

from ..models import SigningError
from .requests import SentDocument


@attrs.frozen
class Failure:
    """How a request fails.

    Attributes:
        answer: Makes the answer that comes, or raises what httpx raises if none comes.
        processed: Whether the request is processed all the same.
        ends_token: Whether the token that it carries ends.
    """

    answer: Callable[[httpx.Request], httpx.Response]
    processed: bool = False
    ends_token: bool = False


@attrs.frozen
class DocumentFailure:
    """How a document fails in a request that is answered.

    Attributes:
        sign_error: The `signError` that it gets.
        document: External reference or name of the document, or None for each.
    """

    sign_error: SigningError
    document: str | None = None

    def concerns(self, document: SentDocument) -> bool:
        """Whether it is about this document."""
        return self.document in (None, document.external_reference, document.name)


Effect = TypeVar("Effect")


@attrs.define
class _Scenario(Generic[Effect]):
    name: str
    effect: Effect
    left: int | None
    struck: bool = False


@attrs.define
class Script(Generic[Effect]):
    """Script in the order in which they were added. The first one that is not over strikes."""

    _scenarios: list[_Scenario[Effect]] = attrs.field(factory=list[_Scenario[Effect]], init=False)

    def add(self, name: str, effect: Effect, times: int | None) -> None:
        """Add one at the end.

        Args:
            name: What it is called, for messages.
            effect: What it does.
            times: How often it strikes; None for ever.

        Raises:
            ValueError: If `times` is no number above 0.
        """
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ValueError(f"times is {times!r}. Give a whole number above 0, or None for every time.")
        self._scenarios.append(_Scenario(name, effect, times))

    def strike(self, concerned: Callable[[Effect], bool] = lambda _: True) -> Effect | None:
        """What strikes now, or None.

        Args:
            concerned: Tells whether something can strike here.
        """
        for scenario in self._scenarios:
            if scenario.left != 0 and concerned(scenario.effect):
                scenario.struck = True
                scenario.left = None if scenario.left is None else scenario.left - 1
                return scenario.effect
        return None

    def unused(self) -> list[str]:
        """What is left of those that struck never, or less often than they were told to."""
        return [
            f"{scenario.name} was to take place {scenario.left} times more"
            if scenario.struck
            else f"{scenario.name} never took place"
            for scenario in self._scenarios
            if scenario.left or not scenario.struck
        ]

    def clear(self) -> None:
        """Forget all."""
        self._scenarios.clear()
