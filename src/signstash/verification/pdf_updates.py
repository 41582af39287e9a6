"""Incremental updates of a PDF: whether they change what was signed or sent."""

from __future__ import annotations

import attrs
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader
from pyhanko.sign.diff_analysis import DEFAULT_DIFF_POLICY, ModificationLevel, SuspiciousModification
from pyhanko.sign.fields import FieldMDPSpec, MDPPerm

from .pdf_changes import Change, changed_fields, changes_between
from .report import Findings


@attrs.frozen(kw_only=True)
class ProtectedRevision:
    """A revision that later ones may change only in permitted ways: the one that was signed, or sent.

    Attributes:
        number: Its number.
        end: Its length in bytes.
        name: Its name in messages, such as "what was sent".
        event: What was done with it, such as "it was sent".
        violation: The problem if a later revision makes a change that is not permitted.
        permitted: The changes that a signature permits, or None if it does not say.
        fields: The form fields that it locks.
        may_be_filled_in: Whether the other fields may be filled in.
    """

    number: int
    end: int
    name: str
    event: str
    violation: str
    permitted: MDPPerm | None = None
    fields: FieldMDPSpec | None = None
    may_be_filled_in: bool = True


def newest(reader: PdfFileReader) -> HistoricalResolver:
    """The last revision."""
    return reader.get_historical_resolver(reader.xrefs.total_revisions - 1)


def judge_updates(reader: PdfFileReader, protected: ProtectedRevision, findings: Findings) -> None:
    """Judge each later revision."""
    old = reader.get_historical_resolver(protected.number)
    for number in range(protected.number + 1, reader.xrefs.total_revisions):
        new = reader.get_historical_resolver(number)
        _judge_update(old, new, protected, findings)
        old = new


def _judge_update(
    old: HistoricalResolver, new: HistoricalResolver, protected: ProtectedRevision, findings: Findings
) -> None:
    """Judge a revision by pyHanko's difference analysis, and by what it changes if the analysis does not clear it."""
    permitted = protected.permitted
    level = MDPPerm.ANNOTATE.value if permitted is None else permitted.value
    reason = ""
    try:
        if "/AcroForm" not in old.root:
            raise SuspiciousModification("it adds a form")  # pyHanko analyses forms that a signature is in
        result = DEFAULT_DIFF_POLICY.apply(old, new, protected.fields, permitted)
        if result.modification_level <= ModificationLevel.LTA_UPDATES:
            return
        if result.modification_level.value > level:
            reason = f"it is of level {result.modification_level.name}"
    except SuspiciousModification as error:
        reason = str(error).splitlines()[0]
    changes = changes_between(old, new, protected.end) if reason else changed_fields(new, protected.end)
    if Change.CONTENT in changes:
        findings.invalid(f"{protected.violation}: the pages' content differs")
    elif Change.OVERLAY in changes:
        findings.indeterminate(f"a field that shows something was added after {protected.event}, and is not signed")
    elif Change.ANNOTATION in changes and level < MDPPerm.ANNOTATE.value:
        findings.invalid(f"{protected.violation}: annotations differ")
    elif reason and (
        (changes & {Change.FORM, Change.SIGNATURE} and level < MDPPerm.FILL_FORMS.value) or "locked" in reason
    ):
        findings.invalid(f"{protected.violation}: form fields differ")
    elif Change.ANNOTATION in changes:
        findings.indeterminate(f"annotations were added or changed after {protected.event}; they can hide its content")
    elif Change.FORM in changes and not protected.may_be_filled_in:
        findings.indeterminate(f"form fields were changed after {protected.event}")
    elif reason and changes - {Change.VALIDATION_DATA, *({Change.SIGNATURE} if permitted is None else ())}:
        findings.indeterminate(f"a revision after {protected.name} makes changes that cannot be judged ({reason})")
