"""One row for each line, as a spreadsheet set to Brazil opens it."""

import csv
import io

from smartia_jobs.cli.calls.lines import Line, Shown
from smartia_jobs.cli.calls.wording import PORTUGUESE, instead_of_words, what_to_do

#: By it a spreadsheet knows that the text is UTF-8.
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

HEADINGS = (
    "urgência",
    "quando",
    "motivo",
    "também",
    "o que fazer",
    "paciente",
    "telefone",
    "resposta",
    "consulta nº",
    "paciente nº",
    "resposta nº",
)

#: A cell that begins like this is computed, and may reach into other files or the network.
_COMPUTED = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def to_csv(shown: Shown) -> str:
    """Return a heading and one row for each line; what a patient wrote is never a formula."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter=";", lineterminator="\r\n")
    rows.writerow(HEADINGS)
    for line in shown.lines:
        rows.writerow(_as_text(cell) for cell in _cells(line))
    return _BYTE_ORDER_MARK + text.getvalue()


def _cells(line: Line) -> tuple[object, ...]:
    call = line.call
    return (
        call.why.urgency,
        f"{call.start:%d/%m/%Y %H:%M}" if call.start else "",
        PORTUGUESE[call.why],
        ", ".join(PORTUGUESE[why] for why in call.also),
        what_to_do(call),
        call.name or "",
        line.phone or "",
        call.text or instead_of_words(call) or "",
        call.appointment_id or "",
        call.patient_id or "",
        call.answer_id or "",
    )


def _as_text(cell: object) -> object:
    """Return a cell that a spreadsheet shows and does not compute.

    Source: OWASP, "CSV Injection" (2026-10): an apostrophe in front of such a cell.
    """
    if isinstance(cell, str) and cell.lstrip().startswith(_COMPUTED):
        return f"'{cell}"
    return cell
