"""What a revision of a PDF changes, for revisions that pyHanko's difference analysis does not accept."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Final

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import HistoricalResolver

from .pdf_document import TIMESTAMP
from .report import NotJudgedError


class Change(Enum):
    """A kind of change between two revisions."""

    VALIDATION_DATA = auto()
    """Data for validation, document timestamps and metadata: no change of the document (ISO 32000-2, 12.8.4.3)."""
    SIGNATURE = auto()
    """A new signature, or a field for one that shows nothing."""
    OVERLAY = auto()
    """A field for a signature that shows something, but is not signed."""
    FORM = auto()
    """Values or appearance of form fields."""
    ANNOTATION = auto()
    """Annotations."""
    CONTENT = auto()
    """What a page shows, or which pages there are."""
    OTHER = auto()
    """Anything else in the document catalog."""


_CLEARED: Final = {"/DSS", "/Extensions", "/Version", "/Metadata", "/Type"}
"""Entries of the catalog that hold validation data and metadata."""
_INHERITED: Final = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")
_FIELD_VALUES: Final = ("/V", "/AS", "/AP", "/I", "/MK", "/DA", "/M")
_MAX_OBJECTS: Final = 200_000


def changes_between(old: HistoricalResolver, new: HistoricalResolver, end: int) -> set[Change]:
    """The kinds of changes from one revision to another.

    Args:
        old: The earlier revision.
        new: The later revision.
        end: End of the bytes that the earlier revisions' signatures cover; new signatures cover more.
    """
    found: set[Change] = set()
    _Comparison(old, new, end, found).catalogs()
    return found


def changed_fields(revision: HistoricalResolver, end: int) -> set[Change]:
    """The kinds of changes that a revision makes to form fields, for one that changes nothing else.

    Args:
        revision: The revision.
        end: As for `changes_between`.
    """
    changed = revision.explicit_refs_in_revision()
    comparison = _Comparison(revision, revision, end, set())
    found: set[Change] = set()
    form = _entry(revision.root, "/AcroForm") or {}
    pending = list(_items(_entry(form, "/Fields") or []))
    for reference in pending:
        field = _resolve(reference, revision)
        if not isinstance(reference, generic.IndirectObject) or reference.reference in changed:
            found.add(comparison.kind_of_new(field))
        if len(pending) > _MAX_OBJECTS:
            raise NotJudgedError(f"its form is judged up to {_MAX_OBJECTS} fields")
        pending += _items(_entry(field, "/Kids") or [])
    return found


class _Comparison:
    """Compares what can be reached from the catalogs of two revisions."""

    def __init__(self, old: HistoricalResolver, new: HistoricalResolver, end: int, found: set[Change]) -> None:
        self._old = old
        self._new = new
        self._end = end
        self._found = found
        self._seen: set[tuple[Any, Any]] = set()
        self._is_equal_below = False

    def catalogs(self) -> None:
        old, new = self._old.root, self._new.root
        self._pages(old, new)
        for key in old.keys() | new.keys():
            if key in _CLEARED:
                if key in old and key not in new:
                    self._found.add(Change.OTHER)
            elif key == "/Perms" and key not in old:
                self._found.add(Change.SIGNATURE)
            elif key == "/AcroForm":
                self._form(_entry(old, key), _entry(new, key))
            elif key != "/Pages" and not self._same(_raw(old, key), _raw(new, key)):
                self._found.add(Change.OTHER)

    def _pages(self, old_root: Any, new_root: Any) -> None:
        old, new = list(_pages_below(old_root["/Pages"], {})), list(_pages_below(new_root["/Pages"], {}))
        if len(old) != len(new):
            self._found.add(Change.CONTENT)
            return
        # Pages are compared here only, whatever else refers to them.
        self._seen.update((a, b) for (a, _, _), (b, _, _) in zip(old, new, strict=True))
        self._is_equal_below = self._changes_at_most({page for page, _, _ in old})
        for (_, old_page, old_inherited), (_, new_page, new_inherited) in zip(old, new, strict=True):
            if not all(
                self._same(_raw(old_page, key) or old_inherited.get(key), _raw(new_page, key) or new_inherited.get(key))
                for key in (old_page.keys() | new_page.keys() | set(_INHERITED)) - {"/Annots", "/Parent"}
            ):
                self._found.add(Change.CONTENT)
            self._annotations(_entry(old_page, "/Annots") or [], _entry(new_page, "/Annots") or [])

    def _changes_at_most(self, pages: set[Any]) -> bool:
        """Whether the revision overwrites nothing but pages and the catalog, so that references stay equal."""
        if self._old.reader is not self._new.reader or self._new.refs_freed_in_revision():
            return False
        kept = {*pages, (self._old.root_ref.idnum, self._old.root_ref.generation)}
        return all(
            (item.idnum, item.generation) in kept
            or self._new.reader.xrefs.get_introducing_revision(item) > self._old.revision
            for item in self._new.explicit_refs_in_revision()
        )

    def _annotations(self, old: Any, new: Any) -> None:
        remaining = list(_items(new))
        for reference in _items(old):
            if reference not in remaining:
                self._found.add(Change.ANNOTATION)
                continue
            remaining.remove(reference)
            self._annotation(_resolve(reference, self._old), _resolve(reference, self._new))
        form = _entry(self._new.root, "/AcroForm") or {}
        fields = list(_items(_entry(form, "/Fields") or []))
        for reference in remaining:
            added = _resolve(reference, self._new)
            is_field = reference in fields or _raw(added, "/Parent") in fields
            self._found.add(self.kind_of_new(added) if is_field else Change.ANNOTATION)

    def _annotation(self, old: Any, new: Any) -> None:
        """Compare an annotation, or a form field."""
        is_field = any(key in old for key in ("/FT", "/Kids", "/T", "/Parent"))
        is_unsigned = _inherited(old, "/FT") == "/Sig" and _inherited(old, "/V") is None
        for key in (old.keys() | new.keys()) - {"/P", "/Parent", "/Kids"}:
            if self._same(_raw(old, key), _raw(new, key)):
                continue
            if is_unsigned:
                self._found.add(self.kind_of_new(new))
            else:
                self._found.add(Change.FORM if is_field and key in _FIELD_VALUES else Change.ANNOTATION)

    def _form(self, old: Any, new: Any) -> None:
        is_new = not old
        old, new = old or generic.DictionaryObject(), new or generic.DictionaryObject()
        for key in (old.keys() | new.keys()) - {"/SigFlags", "/Fields"}:
            if key in ("/DR", "/DA") and key not in old:  # for the appearance of signatures
                continue
            if key == "/XFA" if is_new else not self._same(_raw(old, key), _raw(new, key)):
                self._found.add(Change.OTHER if key == "/XFA" else Change.FORM)
        self._fields(_entry(old, "/Fields") or [], _entry(new, "/Fields") or [], 0)

    def _fields(self, old: Any, new: Any, depth: int) -> None:
        remaining = list(_items(new))
        for reference in _items(old):
            if reference not in remaining:
                self._found.add(Change.FORM)
                continue
            remaining.remove(reference)
            before, after = _resolve(reference, self._old), _resolve(reference, self._new)
            self._annotation(before, after)
            if depth < 50:
                self._fields(_entry(before, "/Kids") or [], _entry(after, "/Kids") or [], depth + 1)
        for reference in remaining:
            self._found.add(self.kind_of_new(_resolve(reference, self._new)))

    def kind_of_new(self, added: Any) -> Change:
        """What a new annotation or field is."""
        if not isinstance(added, generic.DictionaryObject):
            return Change.OTHER
        if _inherited(added, "/FT") == "/Sig":
            if _is_timestamp(added):
                return Change.VALIDATION_DATA
            covered = [int(number) for number in _entry(_inherited(added, "/V") or {}, "/ByteRange") or ()]
            return Change.OVERLAY if _shows(added) and sum(covered[2:]) <= self._end else Change.SIGNATURE
        return Change.FORM if _entry(added, "/Subtype") == "/Widget" or "/FT" in added else Change.ANNOTATION

    def _same(self, old: Any, new: Any) -> bool:
        """Whether two values, with all that they refer to, are equal."""
        pending = [(old, new)]
        while pending:
            old, new = pending.pop()
            if isinstance(old, generic.IndirectObject) and isinstance(new, generic.IndirectObject):
                pair = ((old.idnum, old.generation), (new.idnum, new.generation))
                if pair in self._seen or (self._is_equal_below and pair[0] == pair[1]):
                    continue
                if len(self._seen) >= _MAX_OBJECTS:
                    raise NotJudgedError(f"its revisions are compared up to {_MAX_OBJECTS} objects")
                self._seen.add(pair)
            old, new = _resolve(old, self._old), _resolve(new, self._new)
            if isinstance(old, generic.DictionaryObject) and isinstance(new, generic.DictionaryObject):
                skipped = {"/Parent", "/P", "/Length"}
                if getattr(old, "encoded_data", None) != getattr(new, "encoded_data", None):
                    # Encryption and other filters make the same data look different.
                    if not (isinstance(old, generic.StreamObject) and isinstance(new, generic.StreamObject)):
                        return False
                    if old.data != new.data:
                        return False
                    skipped |= {"/Filter", "/DecodeParms"}
                keys = (old.keys() | new.keys()) - skipped
                pending += [(_raw(old, key), _raw(new, key)) for key in keys]
            elif isinstance(old, generic.ArrayObject) and isinstance(new, generic.ArrayObject):
                if len(old) != len(new):
                    return False
                pending += zip(_items(old), _items(new), strict=True)
            elif _bytes(old) != _bytes(new):
                return False
        return True


def _pages_below(node: Any, inherited: dict[str, Any], depth: int = 0) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """The pages below a node of the page tree: reference, page, and what it inherits."""
    inherited = inherited | {key: _raw(node, key) for key in _INHERITED if key in node}
    for reference in _items(node["/Kids"]):
        kid: Any = reference.get_object() if isinstance(reference, generic.IndirectObject) else reference
        if "/Kids" in kid and depth < 50:
            yield from _pages_below(kid, inherited, depth + 1)
        else:
            key = (reference.idnum, reference.generation) if isinstance(reference, generic.IndirectObject) else id(kid)
            yield key, kid, inherited


def _is_timestamp(field: Any) -> bool:
    """Whether a field is a document timestamp that shows nothing."""
    value = _inherited(field, "/V")
    if not isinstance(value, generic.DictionaryObject) or _entry(value, "/SubFilter") != TIMESTAMP:
        return False
    return _entry(field, "/Subtype") in (None, "/Widget") and _is_empty(_entry(field, "/Rect"))


def _shows(field: Any) -> bool:
    """Whether the appearance of a field draws something."""
    appearance: Any = _entry(_entry(field, "/AP") or {}, "/N")
    if appearance is None or _is_empty(_entry(field, "/Rect")):
        return False
    return not isinstance(appearance, generic.StreamObject) or bool(appearance.data.strip())


def _is_empty(box: Any) -> bool:
    left, bottom, right, top = box or (0, 0, 0, 0)
    return bool(left == right or bottom == top)


def _inherited(field: Any, key: str) -> Any:
    return _entry(field, key) if key in field or "/Parent" not in field else _entry(field["/Parent"], key)


def _raw(holder: Any, key: str) -> Any:
    if key == "/Contents" and "/ByteRange" in holder:  # never encrypted (ISO 32000-1, 7.6.1)
        return holder.raw_get(key, decrypt=generic.EncryptedObjAccess.RAW)
    return holder.raw_get(key) if key in holder else None


def _entry(holder: Any, key: str) -> Any:
    return holder[key] if key in holder else None  # noqa: SIM401 - `get` does not resolve references


def _items(array: Any) -> Iterator[Any]:
    for index in range(len(array)):
        yield array.raw_get(index) if isinstance(array, generic.ArrayObject) else array[index]


def _resolve(value: Any, revision: HistoricalResolver) -> Any:
    return revision.get_object(value.reference) if isinstance(value, generic.IndirectObject) else value


def _bytes(value: Any) -> Any:
    return getattr(value, "original_bytes", value)
