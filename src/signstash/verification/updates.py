"""Incremental updates of a PDF: whether a signature, or what was sent, allows them."""

from __future__ import annotations

import attrs
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader
from pyhanko.sign.diff_analysis import DEFAULT_DIFF_POLICY, ModificationLevel, SuspiciousModification
from pyhanko.sign.fields import FieldMDPSpec, MDPPerm

from .report import Findings
from .revisions import Change, changed_fields, changes_between


@attrs.frozen(kw_only=True)
class Covered:
    """What later revisions may not change: what is signed, or what was sent.

    Attributes:
        revision: The number of its last revision.
        end: Its length in bytes.
        name: What it is called in messages.
        after: The event after which revisions are later.
        refusal: What is said of a change that it does not allow.
        permitted: What a signature permits, if it says so.
        fields: The form fields that it locks.
        may_be_filled_in: Whether the other fields may be filled in.
    """

    revision: int
    end: int
    name: str
    after: str
    refusal: str
    permitted: MDPPerm | None = None
    fields: FieldMDPSpec | None = None
    may_be_filled_in: bool = True


def newest(reader: PdfFileReader) -> HistoricalResolver:
    """The last revision."""
    return reader.get_historical_resolver(reader.xrefs.total_revisions - 1)


def judge_updates(reader: PdfFileReader, covered: Covered, findings: Findings) -> None:
    """Judge each later revision."""
    old = reader.get_historical_resolver(covered.revision)
    for number in range(covered.revision + 1, reader.xrefs.total_revisions):
        new = reader.get_historical_resolver(number)
        _judge_update(old, new, covered, findings)
        old = new


def _judge_update(old: HistoricalResolver, new: HistoricalResolver, covered: Covered, findings: Findings) -> None:
    """Judge a revision by pyHanko's difference analysis, and what that does not clear by what it changes."""
    permitted = covered.permitted
    level = MDPPerm.ANNOTATE.value if permitted is None else permitted.value
    reason = ""
    try:
        if "/AcroForm" not in old.root:
            raise SuspiciousModification("it adds a form")  # pyHanko analyses forms that a signature is in
        result = DEFAULT_DIFF_POLICY.apply(old, new, covered.fields, permitted)
        if result.modification_level <= ModificationLevel.LTA_UPDATES:
            return
        if result.modification_level.value > level:
            reason = f"it is of level {result.modification_level.name}"
    except SuspiciousModification as error:
        reason = str(error).splitlines()[0]
    changes = changes_between(old, new, covered.end) if reason else changed_fields(new, covered.end)
    if Change.CONTENT in changes:
        findings.invalid(f"{covered.refusal}: the pages' content differs")
    elif Change.OVERLAY in changes:
        findings.indeterminate(f"a field that shows something was added after {covered.after}, and is not signed")
    elif Change.ANNOTATION in changes and level < MDPPerm.ANNOTATE.value:
        findings.invalid(f"{covered.refusal}: annotations differ")
    elif reason and (
        (changes & {Change.FORM, Change.SIGNATURE} and level < MDPPerm.FILL_FORMS.value) or "locked" in reason
    ):
        findings.invalid(f"{covered.refusal}: form fields differ")
    elif Change.ANNOTATION in changes:
        findings.indeterminate(f"annotations were added or changed after {covered.after}; they can hide its content")
    elif Change.FORM in changes and not covered.may_be_filled_in:
        findings.indeterminate(f"form fields were changed after {covered.after}")
    elif reason and changes - {Change.VALIDATION_DATA, *({Change.SIGNATURE} if permitted is None else ())}:
        findings.indeterminate(f"a revision after {covered.name} makes changes that cannot be judged ({reason})")
