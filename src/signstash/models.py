"""The data model of the service, generated from its API definition.

`to_dict` and `from_dict` use the field names of the definition. A field that a response does not contain is `UNSET`; a
field that the definition does not describe is in `additional_properties`.

.. include:: definition.md
"""

# Without __all__: type checkers then export what the definition holds, by the generator's own list.
from ._generated.models import *  # noqa: F403
from ._generated.types import UNSET as UNSET, Unset as Unset
