"""The one exception of the scripts in this folder."""


class GenerationError(Exception):
    """A step failed; the message says which, why, and what to do."""
