"""A job's report for a person: a table on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Iterator
from typing import Any

from smartia_jobs.cli.titled import print_titled
from smartia_jobs.report import Reason, Report, Result

#: What each skip means, in words for the clinic.
REASONS = {
    Reason.ALREADY_SENT: "already sent",
    Reason.ALREADY_TOLD: "told by another booking of the same visit",
    Reason.BEING_SENT_ELSEWHERE: "being sent by another run",
    Reason.HELD_UNKNOWN: "unknown from an earlier run, held",
    Reason.ALREADY_FAILED: "failed before, phone unchanged",
    Reason.QUIET_HOURS: "quiet hours",
    Reason.NO_SEND_DAY: "no messages on this day",
    Reason.SHORT_NOTICE: "booked at short notice",
    Reason.CONFIRMED: "confirmed already",
    Reason.BOOKED_LATELY: "booked not far ahead",
    Reason.SAID_NO: "said that they cannot come",
    Reason.NUMBER_DISPUTED: "said to be the wrong number",
    Reason.UNREACHABLE: "phone not reached lately",
    Reason.NOT_IN_ONLY_TO: "not in ONLY_TO",
    Reason.NO_STATUS: "no readable status",
    Reason.UNREADABLE_DATE: "date cannot be read",
    Reason.PATIENT_MISSING: "patient row is gone",
    Reason.NO_LONGER_OPEN: "no longer open",
    Reason.MOVED: "moved just now",
    Reason.TOO_LATE: "too late to be useful",
    Reason.REBOOKED: "already booked again",
    Reason.SEEN_AFTER_ALL: "seen that day after all",
    Reason.OPTED_OUT: "asked for no more messages",
    Reason.CANCELLED_BY_CHAT: "cancelled in SmartIA's chat",
    Reason.ALREADY_INVITED: "one invitation per person",
}

_HINTS = {
    Result.SENT: "WhatsApp accepted them",
    Result.FAILED: "WhatsApp refused them, or no usable phone",
    Result.RETRY: "not accepted; the next run tries again",
    Result.UNKNOWN: "may have arrived; held: smartia-jobs outbox",
    Result.WOULD_SEND: "a real run would send these",
    Result.LEFT: "not reached in this run",
}

#: What the figures of ``replies`` mean.
_FIGURES = {
    "marked": "visits whose patients did not come",
    "left open": "visits begun too long ago to be marked",
    "would mark": "a real run would mark these",
    "statuses": "that came in since the last run",
    "delivered": "messages that reached the phone",
    "read": "messages that were opened",
    "undelivered": "accepted, but did not arrive: smartia-jobs outbox",
    "settled": "messages that were unknown, and are known now",
    "reopened": "given up by WhatsApp itself; the next run sends them",
    "answers": "acted on",
    "confirmed": "whose visits are confirmed",
    "cancelled": "whose visit was cancelled: its slot is free",
    "listed": "for a person: smartia-jobs replies list",
    "opted out": "want no more messages",
    "opted in": "want messages again",
    "courtesy": "thanks and greetings",
    "repeated": "said what they had said before",
    "overtaken": "older than an answer that was acted on",
    "written back": "short texts in return",
}
_IGNORED = {
    "not_ours": "about no message of this database",
    "row_gone": "about a message that was purged",
    "earlier_try": "about a message that was sent again since",
    "another_message": "another message has that place now",
    "answer_no_reminder": "from phones that were not reminded lately",
    "answer_no_phone": "from a hidden phone, about no message of ours",
    "answer_not_ours": "a button of another program",
    "answer_not_written": "nothing that a patient wrote or tapped",
    "answer_own_number": "from the clinic's own number",
}

_ALWAYS = (Result.SENT, Result.FAILED)
#: Figures of replies that are shown even when they are 0.
_ALWAYS_INCOMING = ("statuses", "answers")


def print_report(report: Report) -> None:
    """Print a report on standard output."""
    if sys.stdout.isatty():
        _print_table(report)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _plain(report))


def _title(report: Report) -> str:
    dry = " (dry run)" if report.dry_run else ""
    return f"{report.job}{dry} · {report.now:%a %d %b %Y, %H:%M} · {report.timezone}"


def _looked_at(report: Report) -> str:
    if report.due or report.window is None:
        return "appointments looked at"
    begin, end = (f"{at:%a %d %b %H:%M}" for at in report.window)
    return f"no appointment from {begin} to {end}"


def _rows(report: Report) -> Iterator[tuple[str, int, str]]:
    if report.about_visits:
        yield "due", report.due, _looked_at(report)
    for result, hint in _HINTS.items():
        count = report.results[result]
        if count or (result in _ALWAYS and report.about_visits and not report.dry_run):
            if result is Result.SENT and report.messages != count:
                hint = f"in {report.messages} messages (one per person and day)"
            yield str(result).replace("_", " "), count, hint
    for name, count in report.extra.items():
        words = name.replace("_", " ")
        if count or report.about_visits or name in _ALWAYS_INCOMING:
            yield words, count, _FIGURES.get(words, "")
    for reason, count in (report.ignored or {}).items():
        yield "ignored", count, _IGNORED.get(reason, reason)
    for reason, count in sorted(report.skipped.items()):
        yield "skipped", count, REASONS.get(Reason(reason), reason)
    if report.missed:
        yield "missed", report.missed, "too late to remind; no earlier run reached them"
    if report.held_unknown:
        yield "held", report.held_unknown, "unknown from earlier runs: smartia-jobs outbox"


def _notes(report: Report) -> Iterator[str]:
    if report.stopped is not None:
        yield f"Stopped: {report.stopped.rstrip('.')}."
    if not report.dry_run:
        for one in report.unreached:
            yield f"Appointment {one.appointment_id} {one.result}: {one.reason}".rstrip(": ")
        if report.results[Result.FAILED] + report.results[Result.UNKNOWN] > len(report.unreached):
            yield "More of them: smartia-jobs outbox --state failed (or unknown)."
    yield from report.warnings
    yield f"Exit {int(report.exit_status)} after {report.duration_s:.1f} s, run {report.run_id}."


def _plain(report: Report) -> Iterator[str]:
    yield _title(report)
    for decision in report.decisions:
        yield "  ".join(str(cell) for cell in _decision(decision))
    for name, count, hint in _rows(report):
        yield f"{name:<12} {count:>5}  {hint}".rstrip()
    yield from _notes(report)


def _decision(decision: dict[str, Any]) -> tuple[str, str, str, str]:
    reason = decision["reason"] or ""
    words = REASONS.get(Reason(reason), reason) if reason in set(Reason) else reason
    what = str(decision["decision"]).replace("_", " ")
    if decision["together_with"] is not None:
        what = f"{what} in the message of #{decision['together_with']}"
    return (
        (decision["start"] or "?")[:16].replace("T", " "),
        "-" if decision["appointment_id"] is None else f"#{decision['appointment_id']}",
        decision["phone"] or "-",
        f"{what}: {words}" if words else what,
    )


_COLOURS = {"sent": "green", "would send": "green", "failed": "red", "unknown": "yellow"}


def _print_table(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if report.decisions:
        decisions = Table(box=box.ROUNDED)
        for heading in ("visit", "id", "phone", "decision"):
            decisions.add_column(heading, overflow="fold", no_wrap=heading != "decision")
        for decision in report.decisions:
            decisions.add_row(*_decision(decision))
        print_titled(console, _title(report), decisions)
    table = Table(box=box.ROUNDED, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for name, count, hint in _rows(report):
        table.add_row(name, str(count), hint, style=_COLOURS.get(name) if count else None)
    print_titled(console, _title(report), table)
    for note in _notes(report):
        console.print(note, markup=False)
