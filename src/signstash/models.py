"""The data model of the service, generated from its API definition.

`to_dict` and `from_dict` use the field names of the definition. A field that a response does not contain is `UNSET`; a
field that the definition does not describe is in `additional_properties`.

.. include:: definition.md
"""

from typing import TYPE_CHECKING, Any

from ._generated.types import UNSET as UNSET, Unset as Unset

if TYPE_CHECKING:
    # Without __all__: type checkers then export what the definition holds, by the generator's own list.
    from ._generated.models import *  # noqa: F403
else:
    from ._generated import models as _models

    __all__ = [*_models.__all__, "UNSET", "Unset"]

    def __getattr__(name: str) -> Any:
        value = globals()[name] = getattr(_models, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
