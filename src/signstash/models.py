"""The service's own data model, generated from its API definition.

Every class here takes and gives the field names of the definition with `to_dict` and `from_dict`; what an answer leaves
out is `UNSET`, and what the definition does not know is kept in `additional_properties`.
"""

# Without __all__: type checkers then export what the definition holds, by the generator's own list.
from ._generated.models import *  # noqa: F403
from ._generated.types import UNSET as UNSET, Unset as Unset
