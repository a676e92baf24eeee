"""Meta's error codes as a table: what each means for a message, at once or later.

Every reason is our own sentence, fit for logs and, where a person must act, says what to do;
Meta's own texts may hold personal data.

Source: Meta, "Error codes" of the WhatsApp Business Platform, as of 2026-09-11
(developers.facebook.com, documentation/business-messaging/whatsapp/support/error-codes), with
the older codes of the Graph API guide. What to do about each code is this program's choice.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from smartia_jobs.errors import ExitStatus
from smartia_jobs.message import Answer, Verdict


def _refused(reason: str) -> Answer:
    return Answer(Verdict.STOP, reason, stop=ExitStatus.REFUSED)


def _configuration(reason: str) -> Answer:
    return Answer(Verdict.STOP, reason, stop=ExitStatus.CONFIGURATION)


def _patient(reason: str, *, opt_out: bool = False) -> Answer:
    return Answer(Verdict.GIVE_UP, reason, opt_out=opt_out)


def _bad(reason: str) -> Answer:
    return Answer(Verdict.BAD_REQUEST, reason)


def _retry(reason: str) -> Answer:
    return Answer(Verdict.RETRY, reason)


def _throttled(reason: str, wait_s: float | None = None) -> Answer:
    return Answer(Verdict.SLOW_DOWN, reason, wait_s=wait_s)


_TOKEN = _refused(
    "WhatsApp does not accept the access token (expired, revoked or mistyped): make a new"
    " system-user token in Meta's business settings and put it into META_ACCESS_TOKEN."
)
_PERMISSION = _refused(
    "The access token lacks a permission: in Meta's business settings assign app and WhatsApp"
    " account to the system user, and make a new token with whatsapp_business_messaging and"
    " whatsapp_business_management."
)
SENDER = _refused(
    "WhatsApp knows no such sender for this token: check META_PHONE_NUMBER_ID (the id, not the"
    " phone number), and that the WhatsApp account is assigned to the token's system user."
)
PROOF = _refused(
    "Meta wants a proof of the app secret, or the one sent is wrong: put the secret of the app"
    " that made the token into META_APP_SECRET."
)
_LOCKED = _refused(
    "Meta has restricted or locked this WhatsApp account: see its account quality in Meta's"
    " business support and ask for a review."
)
_REGISTRATION = _refused(
    "The sender's number is not properly registered for the Cloud API: register it (again) in"
    " WhatsApp Manager."
)
_QUOTA = _throttled("Meta's quota of calls for the app or the account is used up.", 60.0)
_CUSTOM_LIMIT = _throttled("Meta's limit for this type of call is reached.")
_MAINTENANCE = _throttled("Meta is working on this account; it takes about a minute.", 60.0)
_MEDIA = _bad("WhatsApp refused the type or the media of this message.")
_FLOW = _configuration("The template's Flow is blocked or throttled: see WhatsApp Manager.")
_ONLY_MARKETING = _configuration(
    "This way of sending takes only marketing templates: check the template's category."
)

#: Meta's error codes, each with what it means for the message that was tried.
ANSWERS: Mapping[int, Answer] = MappingProxyType(
    {
        # The token, the account, the sender's number: nothing else can succeed.
        0: _TOKEN,
        3: _PERMISSION,
        5: _refused(
            "Meta takes no calls from this machine's address: add it to the app's list of"
            " allowed servers (app settings, advanced)."
        ),
        10: _PERMISSION,
        33: SENDER,
        102: _TOKEN,
        104: _TOKEN,
        190: _TOKEN,
        **dict.fromkeys(range(200, 300), _PERMISSION),
        368: _LOCKED,
        803: SENDER,
        131005: _PERMISSION,
        131031: _LOCKED,
        131037: _refused(
            "The sender's number has no approved display name: set one in WhatsApp Manager and"
            " wait for its approval. A number that Meta lends (+1 555) needs one as well."
        ),
        131042: _refused(
            "Meta cannot bill this WhatsApp account: update its payment method in Meta's billing"
            " settings."
        ),
        131045: _REGISTRATION,
        131048: _refused(
            "Meta has restricted the sender's number because of its quality or because too many"
            " people were written to: see its quality and messaging limit in WhatsApp Manager."
        ),
        131064: _refused(
            "Meta limits this account for a while, because templates were put into the wrong"
            " category: correct the categories and run again later."
        ),
        133000: _REGISTRATION,
        133005: _REGISTRATION,
        133006: _REGISTRATION,
        133008: _REGISTRATION,
        133009: _REGISTRATION,
        133010: _REGISTRATION,
        133015: _REGISTRATION,
        133016: _REGISTRATION,
        134011: _refused("Terms of payment wait to be accepted: accept them in WhatsApp Manager."),
        # The server: refused now, may be taken in a moment.
        1: _retry("WhatsApp refused without saying why."),
        2: _retry("WhatsApp is down or overloaded."),
        131000: _retry("WhatsApp failed without saying why."),
        131016: _retry("A service of WhatsApp is overloaded."),
        133004: _retry("A server of WhatsApp is down for a moment."),
        # Speed: of everyone, or to one recipient.
        4: _QUOTA,
        17: _CUSTOM_LIMIT,
        32: _CUSTOM_LIMIT,
        341: _CUSTOM_LIMIT,
        613: _CUSTOM_LIMIT,
        80007: _QUOTA,
        80008: _QUOTA,
        130429: _throttled("More messages a second than this number may send."),
        131057: _MAINTENANCE,
        2494100: _MAINTENANCE,
        131056: Answer(
            Verdict.SLOW_DOWN_RECIPIENT, "Too many messages to this recipient in a short time."
        ),
        # The recipient: final for this patient.
        130403: _patient("The clinic has blocked this person on WhatsApp."),
        130472: _patient("WhatsApp sends this person no marketing during a trial."),
        130497: _patient("This account may not write to people in that country."),
        131021: _patient("This is the clinic's own number."),
        131026: _patient("WhatsApp cannot deliver to this number: perhaps it has no WhatsApp."),
        131047: _patient("WhatsApp takes no free message to this person now."),
        131049: _patient("WhatsApp withheld this marketing message; not again within a day."),
        131050: _patient("This person wants no marketing from this clinic.", opt_out=True),
        131062: _patient("A message of this type cannot go to a recipient of this type."),
        137000: _patient("WhatsApp's record of who has this number has changed."),
        # The address: no call of this version can succeed.
        2500: _configuration(
            "WhatsApp knows no such path or version: check META_API_VERSION (such as v25.0) and"
            " META_API_URL."
        ),
        # The template: no message of it can succeed.
        131055: _ONLY_MARKETING,
        131058: _configuration(
            "Only Meta's test numbers may send hello_world: use another template."
        ),
        131063: _configuration(
            "Marketing templates are switched off for this account on the Cloud API: set its"
            " field disable_marketing_messages_on_cloud_api to false through the Graph API."
        ),
        132000: _configuration(
            "The template at Meta has another number of variables than the one here: compare"
            " them with `smartia-jobs templates`."
        ),
        132001: _configuration(
            "Meta has no approved template of this name in this language: submit it with"
            " `smartia-jobs templates submit`, or wait for its approval."
        ),
        132007: _configuration("The template breaks a policy of WhatsApp: change its text."),
        132015: _configuration(
            "Meta has paused the template for poor quality: see WhatsApp Manager; it must be"
            " active again before the next run."
        ),
        132016: _configuration(
            "Meta has disabled the template for good: submit another under a new name."
        ),
        132068: _FLOW,
        132069: _FLOW,
        134100: _ONLY_MARKETING,
        134101: _configuration(
            "Meta is still setting the template up: check it in WhatsApp Manager."
        ),
        134102: _configuration(
            "The template cannot be used this way: check it in WhatsApp Manager."
        ),
        # The request: final for this message, and a mistake here or in a setting if it goes on.
        100: _bad("WhatsApp found a field of the request unknown, missing or too long."),
        131008: _bad("WhatsApp misses a value in the request."),
        131009: _bad("WhatsApp does not accept a value in the request."),
        131030: _bad(
            "The sender is one of Meta's test numbers and the recipient is not on its list: add"
            " the recipient in Meta's app dashboard, or use the clinic's real number."
        ),
        131051: _MEDIA,
        131052: _MEDIA,
        131053: _MEDIA,
        132005: _bad("The text with its values filled in is too long."),
        132008: _bad("WhatsApp does not accept the value of a variable."),
        132012: _bad("A variable has another form than the template at Meta wants."),
        132018: _bad("WhatsApp does not accept the value of a variable or a button."),
        135000: _bad("WhatsApp could not read the request."),
    }
)

#: Meta gave up for reasons that are not this patient's: its own servers and limits, the account,
#: a template that it paused. The same message may arrive when it is sent again.
_METAS_OWN = frozenset(
    {
        1, 131000, 131016, 130429, 131056, 131057,
        132015, 132016,
        131031, 131037, 131042, 131048, 131064, 133010,
    }
)  # fmt: skip


def explain_failure(code: int | None) -> Answer:
    """Say why an accepted message did not arrive, and whether it may be sent again.

    Args:
        code: Meta's, as the status has it; None: none was given, as SmartIA keeps none.

    Returns:
        ``RETRY`` where Meta gave up for reasons of its own, else ``GIVE_UP``.
    """
    if code is None:
        return Answer(Verdict.GIVE_UP, "WhatsApp did not deliver it; the reason was not told.")
    known = ANSWERS.get(code)
    if known is None:
        reason = "WhatsApp did not deliver it, for a reason this program does not know."
        return Answer(Verdict.GIVE_UP, reason, code=code)
    verdict = Verdict.RETRY if code in _METAS_OWN else Verdict.GIVE_UP
    return replace(known, verdict=verdict, code=code, stop=None, wait_s=None)
