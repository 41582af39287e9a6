"""The service's own data model, generated from its API definition.

Every class here takes and gives the field names of the definition with `to_dict` and `from_dict`; what an answer leaves
out is `UNSET`, and what the definition does not know is kept in `additional_properties`.
"""

from typing import TYPE_CHECKING

from ._generated.types import UNSET as UNSET, Unset as Unset

if TYPE_CHECKING:
    # Without __all__: type checkers then export what the definition holds, by the generator's own list.
    from ._generated.models import *  # noqa: F403
else:
    from ._generated import models as _models

    __all__ = [*_models.__all__, "UNSET", "Unset"]
    __getattr__ = _models.__getattr__

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
