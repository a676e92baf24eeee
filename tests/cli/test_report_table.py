"""What a person reads of a run: a table that fits, plain lines in a pipe, whom to look after."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.cli.report_table import REASONS, print_report
from smartia_jobs.report import MOST_NAMED, Outcome, Reason, Report, Result


@pytest.fixture
def report() -> Report:
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return Report("24h", "20261123T120000Z-0a1b2c3d", moment, "America/Sao_Paulo")


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == set(Reason)


def test_a_patient_who_was_not_reached_is_named_by_appointment_and_reason(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.add(Outcome(346, Result.FAILED, "The number is incomplete."))

    print_report(report)

    assert "Appointment 346 failed: The number is incomplete." in capsys.readouterr().out


def test_nothing_due_says_between_which_hours_it_looked(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    report.window = (
        datetime(2026, 11, 23, 15, tzinfo=zone),
        datetime(2026, 11, 24, 21, tzinfo=zone),
    )

    print_report(report)

    assert "no appointment from Mon 23 Nov 15:00 to Tue 24 Nov 21:00" in capsys.readouterr().out
    assert report.as_json()["window"] == {
        "from": "2026-11-23T15:00:00-03:00",
        "until": "2026-11-24T21:00:00-03:00",
    }


def test_a_visit_that_is_told_with_another_says_with_which(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.dry_run = True
    report.add(Outcome(7, Result.WOULD_SEND))
    report.add(Outcome(8, Result.WOULD_SEND, together_with=7))

    print_report(report)

    first, second = capsys.readouterr().out.splitlines()[1:3]
    assert first.endswith("would send")
    assert second.endswith("would send in the message of #7")


def test_of_many_only_the_first_are_named(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(500):
        report.add(Outcome(number, Result.UNKNOWN, "No answer came."))

    print_report(report)

    printed = capsys.readouterr().out
    assert printed.count("Appointment") == MOST_NAMED
    assert "smartia-jobs outbox" in printed


def test_a_report_in_a_pipe_is_plain_and_narrow(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    for reason in Reason:
        report.add(Outcome(1, Result.SKIPPED, reason))
    for result in Result:
        if result is not Result.SKIPPED:
            report.add(Outcome(2, result))
    report.missed = report.held_unknown = 3

    print_report(report)

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line or "│" in line for line in lines)
