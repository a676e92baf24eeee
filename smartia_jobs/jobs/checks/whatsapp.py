"""WhatsApp: token, number, account, templates and clock, by what Meta answers."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from smartia_jobs.jobs.checks.finding import Finding, Level
from smartia_jobs.jobs.checks.standing import Standing
from smartia_jobs.settings import Settings
from smartia_jobs.whatsapp.account import (
    DAILY_LIMITS,
    NEEDED_SCOPES,
    WEBHOOK_LEVELS,
    Account,
    App,
    Number,
    Token,
)

_SOON = timedelta(days=14)
#: A clock that is off by this much sends reminders at the wrong time.
_SKEW_WORTH_A_LOOK = timedelta(seconds=60)
_SKEW_TOO_LARGE = timedelta(minutes=5)
_RENEWAL = (
    "make a new system-user token with both permissions in Meta's business settings, and put it"
    " into META_ACCESS_TOKEN"
)


def token(token: Token, settings: Settings, now: datetime) -> Finding:
    """Judge validity, expiry and permissions of the token."""
    if not token.is_valid:
        return Finding("token", Level.PROBLEM, "Meta does not accept it.", _RENEWAL)
    missing = [scope for scope in NEEDED_SCOPES if scope not in token.scopes]
    if missing:
        text = f"It lacks the permission {' and '.join(missing)}."
        return Finding("token", Level.PROBLEM, text, _RENEWAL)
    waba = settings.meta_waba_id
    elsewhere = [
        scope
        for scope in NEEDED_SCOPES
        if waba and scope in token.accounts and waba not in token.accounts[scope]
    ]
    if elsewhere:
        text = f"{' and '.join(elsewhere)} does not cover the account in META_WABA_ID."
        step = "assign the WhatsApp account to the token's system user, or correct META_WABA_ID"
        return Finding("token", Level.PROBLEM, text, step)
    if token.expires_at is None:
        return Finding("token", Level.OK, "Valid, with both permissions; it never expires.")
    until = token.expires_at.astimezone(settings.clinic_timezone)
    text = f"Valid until {until:%d %b %Y, %H:%M}."
    level = Level.WARNING if token.expires_at - now < _SOON else Level.OK
    return Finding("token", level, text, "a system-user token can be made that never expires")


def number(number: Number) -> Finding:
    """Judge the sender's number: name, status, quality and platform."""
    text = (
        f"{number.display or 'The number'} “{number.name}”: {number.status or 'status unknown'},"
        f" quality {number.quality}."
    )
    problems = tuple(_number_problems(number))
    if problems:
        step = "mend it in WhatsApp Manager (phone numbers)"
        return Finding("number", Level.PROBLEM, text, step, problems)
    warnings = tuple(_number_warnings(number))
    level = Level.WARNING if warnings else Level.OK
    return Finding("number", level, text, "see WhatsApp Manager" * bool(warnings), warnings)


def throughput(number: Number, settings: Settings) -> Finding:
    """Compare how fast the number may send with how fast we do."""
    rate = settings.send_rate * settings.task_count
    if number.rate is None:
        text = f"Meta does not say; SEND_RATE {rate:g}/s is allowed for every number up to 20."
        if rate > 20:
            step = "set SEND_RATE to 20, or see in WhatsApp Manager that the number may send more"
            return Finding("throughput", Level.WARNING, text, step)
        return Finding("throughput", Level.OK, text)
    text = f"It may send {number.rate} messages a second; SEND_RATE is {rate:g}."
    if rate > number.rate:
        step = f"set SEND_RATE to {number.rate} or less"
        return Finding("throughput", Level.PROBLEM, text, step)
    return Finding("throughput", Level.OK, text)


def daily_limit(number: Number, people: int | None) -> Finding:
    """Compare how many people a day may be written to with tomorrow's visits."""
    expected = "unknown" if people is None else f"{people} patients"
    if number.tier not in DAILY_LIMITS:
        told = f"Meta says {number.tier}" if number.tier else "Meta does not say"
        if number.tier == "UNTIERED":
            told = "Meta has put the account into no tier, and names no limit"
        text = f"{told}; tomorrow's visits: {expected}."
        return Finding("daily_limit", Level.OK, text)
    limit = DAILY_LIMITS[number.tier]
    if limit is None:
        text = f"None; tomorrow's visits: {expected}."
        return Finding("daily_limit", Level.OK, text)
    text = f"{limit} people in 24 hours; tomorrow's visits: {expected}."
    step = "verify the business in Meta's business settings: the limit then grows"
    if people is not None and people > limit:
        return Finding("daily_limit", Level.PROBLEM, text, step)
    if people is not None and people > limit * 0.8:
        return Finding("daily_limit", Level.WARNING, text, step)
    return Finding("daily_limit", Level.OK, text)


def account(account: Account, *, owns_number: bool) -> Finding:
    """Judge the account's health, and whether the number is one of its own."""
    text = f"“{account.name}”: health {account.health or 'unknown'}."
    if not owns_number:
        text = "The number in META_PHONE_NUMBER_ID is not one of the account in META_WABA_ID."
        return Finding("account", Level.PROBLEM, text, "correct one of the two ids")
    if account.health == "BLOCKED" or account.review == "REJECTED":
        step = "see the account's quality in Meta's business support and ask for a review"
        return Finding("account", Level.PROBLEM, text, step)
    if account.no_marketing:
        text = f"{text} Marketing templates are switched off: no invitation can be sent."
        step = (
            "set the account's field disable_marketing_messages_on_cloud_api to false through the"
            " Graph API"
        )
        return Finding("account", Level.PROBLEM, text, step)
    if account.health == "LIMITED":
        return Finding("account", Level.WARNING, text, "see WhatsApp Manager")
    return Finding("account", Level.OK, text)


def webhook(
    number: Number,
    apps: Sequence[App] | None,
    *,
    app_id: str,
    silent: bool,
    is_meant: bool,
) -> Finding:
    """Say whether Meta posts statuses to a webhook, and to which.

    Args:
        number: with the addresses that Meta knows.
        apps: those subscribed to the account; None: META_WABA_ID is not set.
        app_id: the token's; empty when it is not known.
        silent: messages were accepted a while ago, and no status ever came.
        is_meant: ``serve`` is set up for what Meta posts.
    """
    ours = [app for app in apps or () if app_id in ("", app.id)]
    address = _address(number, ours)
    where = f"The address in force is {address}" if address else "No address is in force"
    if is_meant and not address:
        text = f"{where}, and META_VERIFY_TOKEN and META_APP_SECRET are set for a webhook."
        step = (
            "give Meta the address of smartia-jobs serve with /webhook at its end, and the word"
            " (README: What WhatsApp says); without a webhook remove META_VERIFY_TOKEN"
        )
        return Finding("webhook", Level.WARNING, text, step)
    if apps is None:
        text = f"{where}; who is subscribed to the account is not known without META_WABA_ID."
        return Finding("webhook", Level.OK, text)
    named = ", ".join(f"{app.name or 'an app'} ({app.id})" for app in apps) or "none"
    if not ours:
        text = f"{where}; the token's app is not subscribed to the account (subscribed: {named})."
        if not address:
            return Finding("webhook", Level.OK, text)
        step = (
            "subscribe it, or no status arrives: POST /META_WABA_ID/subscribed_apps, with this"
            " token and no body"
        )
        return Finding("webhook", Level.WARNING, text, step)
    text = f"{where}; subscribed to the account: {named}."
    if address and silent:
        step = "see that the app is live, the field messages is ticked, and the address answers"
        text = f"{text} Messages were accepted, and yet no status ever came."
        return Finding("webhook", Level.WARNING, text, step)
    return Finding("webhook", Level.OK, text)


def _address(number: Number, ours: Sequence[App]) -> str:
    """Return the address in force, and who set it; empty: none."""
    known = dict(number.webhooks)
    for app in ours:
        if app.override:
            known.setdefault(WEBHOOK_LEVELS[1], app.override)
    for level, whose in _LEVELS.items():
        if level in known:
            return f"{_bare(known[level])} ({whose})"
    return ""


_LEVELS = dict(
    zip(WEBHOOK_LEVELS, ("this number's", "the account's", "the app's own"), strict=True)
)


def _bare(address: str) -> str:
    """Return an address without the parts that may be secret."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "one that cannot be read"
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}{query}"


def template(standing: Standing) -> Finding:
    """Say how one kind of message compares with Meta's template."""
    ours = standing.template
    text = f"{ours.name} ({ours.language}): {standing.status}, {_category(standing)}."
    details = (*standing.problems, *standing.warnings)
    return Finding(f"template_{ours.kind}", standing.level, text, standing.next_step, details)


def clock(skew: timedelta | None) -> Finding:
    """Compare this machine's clock with Meta's."""
    if skew is None:
        step = "see that this machine sets its clock by the network (NTP)"
        return Finding("clock", Level.WARNING, "No answer gave the time.", step)
    seconds = round(abs(skew).total_seconds())
    text = f"{seconds} s {'behind' if skew > timedelta() else 'ahead of'} WhatsApp's."
    step = "let the machine set its clock by the network (NTP)"
    if abs(skew) > _SKEW_TOO_LARGE:
        return Finding("clock", Level.PROBLEM, text, step)
    if abs(skew) > _SKEW_WORTH_A_LOOK:
        return Finding("clock", Level.WARNING, text, step)
    return Finding("clock", Level.OK, "The same as WhatsApp's.")


def _category(standing: Standing) -> str:
    wanted = standing.template.category
    found = standing.registered.category if standing.registered else wanted
    return found if found == wanted else f"{found} instead of {wanted}"


def _number_problems(number: Number) -> Iterator[str]:
    if number.status and number.status != "CONNECTED":
        yield f"Its status is {number.status}; only CONNECTED sends."
    if number.health == "BLOCKED":
        yield "Its health is BLOCKED: Meta takes no messages from it."
    if number.platform and number.platform != "CLOUD_API":
        yield f"It is on {number.platform}, not on the Cloud API: register it there."
    if number.name_status in ("DECLINED", "EXPIRED"):
        yield f"Its display name is {number.name_status}: choose another."


def _number_warnings(number: Number) -> Iterator[str]:
    if number.quality == "RED":
        yield "Its quality is RED: too many patients block or report it; Meta may restrict it."
    if number.health == "LIMITED":
        yield "Its health is LIMITED: Meta may take fewer messages from it."
    if number.mode == "SANDBOX":
        yield "It is one of Meta's test numbers: only phones on its list can be written to."
    if number.name_status in ("PENDING_REVIEW", "NONE"):
        yield f"Its display name is {number.name_status}."
