"""``smartia-jobs templates``: the catalogue beside what Meta has; ``submit`` and ``preview``."""

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from smartia_jobs.cli.context import (
    errors_as_status,
    listen_to_signals,
    print_json,
    read_settings,
)
from smartia_jobs.cli.options import EnvFile, Json
from smartia_jobs.errors import PRECEDENCE, ExitStatus
from smartia_jobs.kinds import KINDS

if TYPE_CHECKING:
    from smartia_jobs.jobs.checks.finding import Finding
    from smartia_jobs.jobs.checks.standing import Standing
    from smartia_jobs.jobs.templates import Submission
    from smartia_jobs.message import Answer
    from smartia_jobs.settings import Settings

app = typer.Typer(name="templates")

_KINDS = f"{', '.join(KINDS)} or a reminder of your own"


@app.callback(invoke_without_command=True)
def templates(context: typer.Context, *, json: Json = False, env_file: EnvFile = None) -> None:
    """Show each message of the catalogue beside Meta's template of that name.

    Status, category, quality and time to live, and where the approved text,
    variables or buttons differ from the catalogue's. Nothing is changed. The
    exit status is 0 whatever the templates' status (`check` judges that), 77
    when WhatsApp refuses the token or the account, 69 when it cannot be
    reached, 78 when a setting or the catalogue is wrong.

    Example: smartia-jobs templates

    Example: smartia-jobs templates submit 24h 2h
    """
    if context.invoked_subcommand is not None:
        return
    with errors_as_status("templates", as_json=json):
        from smartia_jobs.clock import SystemClock
        from smartia_jobs.jobs.templates import show_templates

        settings = _settings(env_file, "templates")
        standings = show_templates(settings, SystemClock())
        if json:
            _finish("templates", ExitStatus.OK, templates=[_as_json(one) for one in standings])
        from smartia_jobs.cli.findings_table import counted, print_findings

        findings = [_finding(one) for one in standings]
        print_findings("templates · the catalogue beside WhatsApp", findings, counted(findings))


@app.command()
def submit(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]...", help=f"{_KINDS}; all unless named."),
    ] = None,
    *,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Register the messages that Meta does not have yet.

    Meta then reviews each: that takes minutes, at most about a day. What
    exists is never edited or deleted: to change a text, give it a new name
    (…_v2) in MESSAGES_FILE and submit that. The exit status is 78 when Meta
    refuses one, or has another text under its name, and 69 when it gives no
    answer: then the rest is not tried, and submitting again adds it.

    Example: smartia-jobs templates submit

    Example: CLINIC_PHONE=+551133334444 smartia-jobs templates submit 24h
    """
    with errors_as_status("templates submit", as_json=json):
        from smartia_jobs.clock import SystemClock
        from smartia_jobs.jobs.templates import submit_templates

        settings = _settings(env_file, "templates submit")
        done = submit_templates(settings, SystemClock(), kinds=kinds or ())
        status = min((one.exit_status for one in done), key=PRECEDENCE.index, default=ExitStatus.OK)
        if json:
            _finish("templates submit", status, templates=[_submission_json(s) for s in done])
        from smartia_jobs.cli.findings_table import counted, print_findings

        findings = [_submission(one) for one in done]
        print_findings("templates submit", findings, f"{counted(findings)}. Exit {int(status)}.")
        raise typer.Exit(int(status))


@app.command()
def preview(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help=f"{_KINDS}; all unless named."),
    ] = None,
    *,
    send_to: Annotated[
        str | None,
        typer.Option(
            "--send-to",
            metavar="PHONE",
            help="Send this one message for real, to this phone: your own.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    env_file: EnvFile = None,
) -> None:
    """Show messages as a patient would read them, with example values.

    No database is touched, also not by --send-to. The exit status is 0 when
    WhatsApp accepted the message, 65 when it does not take this phone, 69 when
    it could not be reached, 75 when it should be tried again, 77 or 78 when it
    refuses token, number or template.

    Example: smartia-jobs templates preview

    Example: smartia-jobs templates preview 24h --send-to +5511987654321
    """
    if send_to is not None and kind is None:
        raise typer.BadParameter(f"needs one KIND ({_KINDS})", param_hint="--send-to")
    with errors_as_status("templates preview", as_json=json):
        from smartia_jobs.jobs.templates import preview_templates, send_preview

        settings = _settings(env_file, "templates preview")
        texts = preview_templates(settings, kind=kind)
        answer = None
        if send_to is not None and kind is not None:
            answer = send_preview(settings, kind=kind, phone=send_to)
        status = _status_of(answer)
        if json:
            previews = [{"kind": kind, "text": text} for kind, text in texts]
            sent = None if answer is None else _answer_json(answer)
            _finish("templates preview", status, previews=previews, sent=sent)
        _print_previews(texts)
        if answer is not None and send_to is not None:
            from smartia_jobs.phones import mask_phone

            typer.echo(f"To {mask_phone(send_to)}: {_outcome(answer)}")
        raise typer.Exit(int(status))


def _settings(env_file: Any, command: str) -> "Settings":
    from smartia_jobs.launch import start_logs
    from smartia_jobs.run import Stop

    settings = read_settings(env_file)
    start_logs(settings, command, "templates")
    listen_to_signals(Stop())
    return settings


def _finish(job: str, status: ExitStatus, **body: Any) -> NoReturn:
    print_json({"job": job, **body, "exit_code": int(status)})
    raise typer.Exit(int(status))


def _finding(standing: "Standing") -> "Finding":
    from smartia_jobs.jobs.checks.finding import Finding

    row = _as_json(standing)
    text = f"{row['name']} ({row['language']}): {row['status']}"
    if standing.registered is not None:
        text = (
            f"{text}, {row['category']}, quality {row['quality']},"
            f" time to live {_in_words(row['time_to_live_s'])}"
        )
    details = (*standing.problems, *standing.warnings)
    ours = standing.template
    wanted = f"wanted: {ours.category}, time to live {_in_words(row['wanted_time_to_live_s'])}"
    return Finding(ours.kind, standing.level, text, standing.next_step, (wanted, *details))


def _as_json(standing: "Standing") -> dict[str, Any]:
    ours, theirs = standing.template, standing.registered
    lives = theirs.time_to_live if theirs else None
    return {
        "kind": ours.kind,
        "name": ours.name,
        "language": ours.language,
        "status": standing.status,
        "level": str(standing.level),
        "wanted_category": ours.category,
        "category": theirs.category if theirs else None,
        "quality": theirs.quality if theirs else None,
        "rejected_reason": (theirs.rejected_reason or None) if theirs else None,
        "wanted_time_to_live_s": standing.wanted.get("message_send_ttl_seconds"),
        "time_to_live_s": int(lives.total_seconds()) if lives else None,
        "differences": list(standing.differences),
        "problems": list(standing.problems),
        "warnings": list(standing.warnings),
        "next_step": standing.next_step or None,
    }


def _in_words(seconds: int | None) -> str:
    from datetime import timedelta

    from smartia_jobs.jobs.time_to_live import in_words

    return in_words(None if seconds is None else timedelta(seconds=seconds))


def _submission(done: "Submission") -> "Finding":
    from smartia_jobs.jobs.checks.finding import Finding, Level

    level = Level.OK if done.exit_status is ExitStatus.OK else Level.PROBLEM
    if done.exit_status is ExitStatus.UNAVAILABLE:
        level = Level.UNREACHABLE
    return Finding(done.template.kind, level, done.text, done.next_step)


def _submission_json(done: "Submission") -> dict[str, Any]:
    return {
        "kind": done.template.kind,
        "name": done.template.name,
        "language": done.template.language,
        "result": str(done.result),
        "status": done.status or None,
        "text": done.text,
        "next_step": done.next_step or None,
    }


def _print_previews(texts: list[tuple[str, str]]) -> None:
    import sys

    if not sys.stdout.isatty():
        for kind, text in texts:
            typer.echo(f"{kind}:")
            typer.echo("".join(f"  | {line}\n" for line in text.splitlines()))
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    for kind, text in texts:
        Console().print(Panel(Text(text), title=Text(kind), width=64, border_style="green"))


def _status_of(answer: "Answer | None") -> ExitStatus:
    from smartia_jobs.message import Verdict

    if answer is None or answer.verdict is Verdict.SENT:
        return ExitStatus.OK
    if answer.stop is not None:
        return answer.stop
    if not answer.from_graph:
        return ExitStatus.UNAVAILABLE
    if answer.verdict in (Verdict.GIVE_UP, Verdict.BAD_REQUEST):
        return ExitStatus.UNREACHED
    return ExitStatus.RETRY


def _outcome(answer: "Answer") -> str:
    from smartia_jobs.message import Verdict

    if answer.verdict is Verdict.SENT:
        held = " and holds it for a quality check" if answer.in_quality_check else ""
        return f"WhatsApp accepted it{held}; look at the phone."
    code = f" (code {answer.code})" if answer.code is not None else ""
    return f"{answer.reason}{code}"


def _answer_json(answer: "Answer") -> dict[str, Any]:
    return {
        "verdict": str(answer.verdict),
        "reason": answer.reason or None,
        "code": answer.code,
        "held": answer.in_quality_check,
    }
