"""The service's own data model, generated from its API definition.

Every class here takes and gives the field names of the definition with `to_dict` and `from_dict`; what an answer leaves
out is `UNSET`, and what the definition does not know is kept in `additional_properties`.
"""

from ._generated import models as _generated_models
from ._generated.models import *  # noqa: F403 - whatever the definition holds, by the generator's own list
from ._generated.types import UNSET, Unset

__all__ = ["UNSET", "Unset"]
__all__ += _generated_models.__all__
