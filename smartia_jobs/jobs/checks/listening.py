"""What comes back from WhatsApp: whether statuses arrive, at whom, and Meta's notices."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from smartia_jobs.clinic.findings import SHOWN, newest_status_kept
from smartia_jobs.incoming import Notice
from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.run import Run
from smartia_jobs.store.listening import Arrivals, newest_notices, read_arrivals

#: The first status of a message comes within seconds; a phone may be off for a day.
_SILENCE = timedelta(days=1)
#: ``replies`` runs every few minutes.
_NOT_TAKEN_IN = timedelta(hours=1)
#: Older notices are out of date, or a run has run into them.
_ALARMING_FOR, _LISTED_FOR = timedelta(days=30), timedelta(days=90)
#: Rows of SmartIA's that are newer than this show that it receives statuses now.
_RECENTLY = timedelta(days=7)

_TEMPLATE, _CATEGORY = "message_template_status_update", "template_category_update"
#: Events that stop messages, or soon will, by the webhook's field.
_ALARMING = {
    _TEMPLATE: {
        "ARCHIVED",
        "DELETED",
        "DISABLED",
        "FLAGGED",
        "LIMIT_EXCEEDED",
        "LOCKED",
        "PAUSED",
        "PENDING_DELETION",
        "REJECTED",
    },
    # The new category: it costs more, and may not reach everybody.
    _CATEGORY: {"MARKETING"},
    "account_update": {"ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "DISABLED_UPDATE"},
}
_REINSTATED = "REINSTATE"


def arrivals(run: Run) -> Arrivals:
    """Ask our own tables when messages were accepted and statuses came."""
    with run.database.read() as connection:
        return read_arrivals(connection)


def statuses(run: Run, when: Arrivals) -> Finding:
    """Say whether a status of a message ever arrived, and whether they are taken in."""
    if when.status_at is None:
        text = "None ever came: what became of accepted messages is not known."
        if not is_silent(run, when):
            return Finding("statuses", Level.OK, text)
        text = "None ever came, nor any answer: nobody receives what patients tap and write."
        step = "connect a webhook (deploy/README.md, Who hears what comes back)"
        return Finding("statuses", Level.WARNING, text, step)
    text = f"The newest came on {_shown(when.status_at, run)}."
    if when.waiting_since is not None and run.now - when.waiting_since > _NOT_TAKEN_IN:
        text = f"{text} Not taken in yet: {when.waiting}, since {_shown(when.waiting_since, run)}."
        step = "schedule smartia-jobs replies every 5 to 10 minutes"
        return Finding("statuses", Level.WARNING, text, step)
    if when.accepted_at is not None and when.accepted_at - when.status_at > _SILENCE:
        text = (
            f"{text} Messages were accepted up to {_shown(when.accepted_at, run)}: silence since."
        )
        step = "see that the service behind the webhook runs, and run smartia-jobs check --online"
        return Finding("statuses", Level.WARNING, text, step)
    return Finding("statuses", Level.OK, text)


def is_silent(run: Run, when: Arrivals) -> bool:
    """Whether messages were accepted a while ago, and no status ever came."""
    said = when.accepted_at is not None and run.now - when.accepted_at > _NOT_TAKEN_IN
    return said and when.status_at is None


def smartia_hears(run: Run) -> Finding:
    """Find out whether SmartIA's API receives statuses too: its bot answers them."""
    with run.database.read() as connection:
        newest = newest_status_kept(connection)
    if newest is None:
        return Finding("smartia_hears", Level.OK, "SmartIA keeps no statuses of messages.")
    if newest.at is not None and run.now - newest.at > _RECENTLY:
        text = f"SmartIA's newest status of a message is of {_shown(newest.at, run)}."
        return Finding("smartia_hears", Level.OK, text)
    text = (
        "SmartIA receives this number's posts too: it keeps statuses of messages as if patients had"
        f" written them (interaction {newest.id}), and its chatbot may answer each."
    )
    step = (
        "let SmartIA's API leave statuses alone, or give it and smartia-jobs each a Meta app or a"
        " number of its own"
    )
    return Finding("smartia_hears", Level.WARNING, text, step)


def notices(run: Run) -> Finding:
    """List Meta's notices about templates and the account, the newest first."""
    with run.database.read() as connection:
        told = newest_notices(connection, since=run.now - _LISTED_FOR)
    if not told:
        return Finding("notices", Level.OK, "Meta has sent no notice of templates or account.")
    lines = [_line(one, run) for one in told[:SHOWN]]
    more = (f"and {len(told) - SHOWN} more",) if len(told) > SHOWN else ()
    alarming = list(_alarming(told, run.now))
    if not alarming:
        return Finding("notices", Level.OK, f"The newest: {lines[0]}.", details=(*lines, *more))
    what = "; ".join(_line(one, run) for one in alarming[:3])
    text = f"Of Meta's notices {len(alarming)} may stop messages: {what}."
    step = "see WhatsApp Manager (templates, account quality); templates: smartia-jobs templates"
    return Finding("notices", Level.WARNING, text, step, (*lines, *more))


def _alarming(told: Collection[Notice], now: datetime) -> Iterable[Notice]:
    """Yield notices that may stop messages, unless a later one on the same subject lifts them."""
    seen = set()
    for one in told:
        # Each event of the account is a subject of its own.
        thing = (one.field, one.subject or one.event)
        is_last = thing not in seen
        seen.add(thing)
        young = now - one.said_at <= _ALARMING_FOR
        lifted = one.event == "DISABLED_UPDATE" and one.detail == _REINSTATED
        if is_last and young and not lifted and one.event in _ALARMING.get(one.field, ()):
            yield one


def _line(one: Notice, run: Run) -> str:
    subject = f"{one.subject}: " if one.subject else "account: "
    category = "category " if one.field == _CATEGORY else ""
    detail = f" ({one.detail})" if one.detail else ""
    return f"{_shown(one.said_at, run)} {subject}{category}{one.event}{detail}"


def _shown(at: datetime, run: Run) -> str:
    return f"{at.astimezone(run.settings.clinic_timezone):%a %d %b %Y, %H:%M}"
