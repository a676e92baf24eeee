"""What a reader must know before trusting a figure, in sentences."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from smartia_jobs.clinic.effect import ENOUGH_VISITS
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.outbox.statistics import FailureReason

#: A note in words; where it counts visits, for one and for any other number.
Words = str | tuple[str, str]

ENGLISH: Mapping[Note, Words] = {
    Note.UNTIL_IN_FUTURE: "--until lies ahead: the period ends now.",
    Note.UNRESOLVED_VISITS: (
        "{unresolved} of {total} visits is over and still open in SmartIA; while it is,"
        " each rate may be wrong by that share.",
        "{unresolved} of {total} visits are over and still open in SmartIA; while they are,"
        " each rate may be wrong by that share.",
    ),
    Note.UNREADABLE_DATES: (
        "{unreadable} visit is in no count: its date is stored as one that does not exist.",
        "{unreadable} visits are in no count: their date is stored as one that does not exist.",
    ),
    Note.DATES_OUT_OF_REACH: (
        "{out_of_reach} open visit, of whatever day, is in no count and gets no message: its date"
        " is not written as YYYY-MM-DD HH:MM; see smartia-jobs check.",
        "{out_of_reach} open visits, of whatever day, are in no count and get no message: their"
        " date is not written as YYYY-MM-DD HH:MM; see smartia-jobs check.",
    ),
    Note.NO_OUTBOX: "This database has no table of messages yet: none was sent from it.",
    Note.NO_MESSAGES_RECORDED: "No message whose outcome is known is on record for this period.",
    Note.MESSAGES_INCOMPLETE: (
        "Messages are on record only since {since} (begun then, or purged): those of earlier"
        " days are not counted, and earlier visits not compared."
    ),
    Note.PREVIOUS_MESSAGES_INCOMPLETE: (
        "Messages are on record only since {since}: the period before is not complete."
    ),
    Note.NO_STATUS_HEARD: (
        "What became of accepted messages is not known: no delivery status of WhatsApp's was ever"
        " heard (smartia-jobs check says what would hear them)."
    ),
    Note.STATUSES_INCOMPLETE: (
        "Delivery statuses are heard only since {heard}: of earlier messages nobody knows whether"
        " they arrived, so each rate of delivered and read is too low."
    ),
    Note.NO_ANSWER_HEARD: (
        "What patients answered is not known: no answer was ever heard (smartia-jobs check says"
        " what would hear them)."
    ),
    Note.ANSWERS_INCOMPLETE: (
        "Answers are known only since {answered}: earlier messages and visits are in no count of"
        " answers, and stand in the table of reminders as if nobody had answered."
    ),
    Note.PREVIOUS_ANSWERS_INCOMPLETE: (
        "Answers are known only since {answered}: the period before is not complete."
    ),
    Note.ANSWERS_WAITING: (
        "{waiting} answer was read by no run yet and is in no count: start smartia-jobs replies.",
        "{waiting} answers were read by no run yet and are in no count: start smartia-jobs"
        " replies.",
    ),
    Note.TEMPLATES_UNKNOWN: (
        "{templates} message was sent by a template that the catalogue has no longer: whether it"
        " asked, and what Meta charges it as, is not known.",
        "{templates} messages were sent by templates that the catalogue has no longer: whether"
        " they asked, and what Meta charges them as, is not known.",
    ),
    Note.SMALL_GROUPS: (
        "* fewer than {enough} visits: too few to compare, as the wide interval shows."
    ),
    Note.VISITS_WITHOUT_LEAD_TIME: (
        "{left_out} visit is in no row: when it was booked is not recorded, or was later.",
        "{left_out} visits are in no row: when they were booked is not recorded, or was later.",
    ),
}

PORTUGUESE: Mapping[Note, Words] = {
    Note.UNTIL_IN_FUTURE: "A data final pedida ainda não chegou: o período termina agora.",
    Note.UNRESOLVED_VISITS: (
        "{unresolved} de {total} consultas já passou e continua aberta na SmartIA; enquanto"
        " ninguém a fechar, cada taxa pode estar errada nessa proporção.",
        "{unresolved} de {total} consultas já passaram e continuam abertas na SmartIA; enquanto"
        " ninguém as fechar, cada taxa pode estar errada nessa proporção.",
    ),
    Note.UNREADABLE_DATES: (
        "{unreadable} consulta não é contada: a data gravada não existe no calendário.",
        "{unreadable} consultas não são contadas: a data gravada não existe no calendário.",
    ),
    Note.DATES_OUT_OF_REACH: (
        "{out_of_reach} consulta aberta, de qualquer dia, não é contada nem recebe mensagem: a data"
        " não está escrita como AAAA-MM-DD HH:MM (smartia-jobs check).",
        "{out_of_reach} consultas abertas, de qualquer dia, não são contadas nem recebem mensagem:"
        " a data não está escrita como AAAA-MM-DD HH:MM (smartia-jobs check).",
    ),
    Note.NO_OUTBOX: (
        "Este banco de dados ainda não tem a tabela de mensagens: nenhuma foi enviada por ele."
    ),
    Note.NO_MESSAGES_RECORDED: "Não há mensagem com resultado conhecido registrada neste período.",
    Note.MESSAGES_INCOMPLETE: (
        "As mensagens só estão registradas desde {since} (início do uso ou limpeza): as de dias"
        " anteriores não são contadas, e as consultas anteriores não são comparadas."
    ),
    Note.PREVIOUS_MESSAGES_INCOMPLETE: (
        "As mensagens só estão registradas desde {since}: o período anterior está incompleto."
    ),
    Note.NO_STATUS_HEARD: (
        "Não se sabe se as mensagens aceitas chegaram: nunca se recebeu do WhatsApp a situação de"
        " uma mensagem (smartia-jobs check diz o que falta)."
    ),
    Note.STATUSES_INCOMPLETE: (
        "A situação das mensagens só é recebida do WhatsApp desde {heard}: das anteriores não se"
        " sabe se chegaram, e por isso as taxas de entregues e lidas estão baixas demais."
    ),
    Note.NO_ANSWER_HEARD: (
        "Não se sabe o que os pacientes responderam: nunca se recebeu uma resposta"
        " (smartia-jobs check diz o que falta)."
    ),
    Note.ANSWERS_INCOMPLETE: (
        "As respostas só são conhecidas desde {answered}: mensagens e consultas anteriores não"
        " entram em nenhuma conta de respostas, e na tabela dos lembretes ficam como se ninguém"
        " tivesse respondido."
    ),
    Note.PREVIOUS_ANSWERS_INCOMPLETE: (
        "As respostas só são conhecidas desde {answered}: o período anterior está incompleto."
    ),
    Note.ANSWERS_WAITING: (
        "{waiting} resposta ainda não foi lida e não entra em nenhuma conta (smartia-jobs"
        " replies).",
        "{waiting} respostas ainda não foram lidas e não entram em nenhuma conta (smartia-jobs"
        " replies).",
    ),
    Note.TEMPLATES_UNKNOWN: (
        "{templates} mensagem saiu com um modelo que já não está no catálogo: não se sabe se"
        " perguntava, nem em que categoria a Meta a cobra.",
        "{templates} mensagens saíram com modelos que já não estão no catálogo: não se sabe se"
        " perguntavam, nem em que categoria a Meta as cobra.",
    ),
    Note.SMALL_GROUPS: (
        "* menos de {enough} consultas: poucas para comparar, como mostra o intervalo largo."
    ),
    Note.VISITS_WITHOUT_LEAD_TIME: (
        "{left_out} consulta não está em nenhuma linha: a data da marcação não foi registrada"
        " ou é posterior à consulta.",
        "{left_out} consultas não estão em nenhuma linha: a data da marcação não foi registrada"
        " ou é posterior à consulta.",
    ),
}

#: How many visits were cancelled in advance by an answer, beside no-shows; for one, and any other.
ENGLISH_IN_ADVANCE: Words = (
    "{cancelled} visit was cancelled in advance, beside no-shows: {missed}. Its patient answered"
    " before it that they could not come or wanted another time, so that it could be given to"
    " somebody else: a success, and no no-show.",
    "{cancelled} visits were cancelled in advance, beside no-shows: {missed}. Their patients"
    " answered before them that they could not come or wanted another time, so that it could be"
    " given to somebody else: a success, and no no-show.",
)
PORTUGUESE_IN_ADVANCE: Words = (
    "{cancelled} consulta foi cancelada com antecedência, por uma resposta; faltas: {missed}. O"
    " paciente avisou antes que não viria ou que queria outro horário, e a vaga pôde ser de outra"
    " pessoa: isso é um acerto, não uma falta.",
    "{cancelled} consultas foram canceladas com antecedência, por uma resposta; faltas: {missed}."
    " Os pacientes avisaram antes que não viriam ou que queriam outro horário, e a vaga pôde ser"
    " de outra pessoa: isso é um acerto, não uma falta.",
)

_SERVER = "O WhatsApp não conseguiu entregar, por um problema dele"
_SPEED = "Mensagens demais em pouco tempo"
_ACCOUNT = "A Meta restringiu a conta ou o número da clínica"
_TEMPLATE = "A Meta pausou ou desativou este texto"
#: Why WhatsApp refuses one patient, or gives a message up that it had accepted, by Meta's code.
_PORTUGUESE_CODES: Mapping[int | None, str] = {
    **dict.fromkeys((1, 131000, 131016, 131057), _SERVER),
    **dict.fromkeys((130429, 131056), _SPEED),
    **dict.fromkeys((131031, 131048, 131064), _ACCOUNT),
    **dict.fromkeys((132015, 132016), _TEMPLATE),
    131037: "O nome da clínica no WhatsApp ainda não foi aprovado",
    131042: "A Meta não consegue cobrar a conta da clínica",
    133010: "O número da clínica não está registrado no WhatsApp",
    130403: "A clínica bloqueou essa pessoa no WhatsApp",
    130472: "O WhatsApp não envia marketing a essa pessoa durante um teste",
    130497: "Esta conta não pode escrever a pessoas daquele país",
    131021: "É o número da própria clínica",
    131026: "O WhatsApp não consegue entregar nesse número: talvez ele não tenha WhatsApp",
    131047: "O WhatsApp não aceita agora mensagem livre para essa pessoa",
    131049: "O WhatsApp reteve esta mensagem de marketing",
    131050: "Essa pessoa não quer marketing desta clínica",
    131062: "Esse tipo de mensagem não pode ir a esse tipo de destinatário",
    137000: "No WhatsApp, esse número passou a ser de outra pessoa",
}

#: What is wrong with a phone number as the clinic wrote it, by the recorded words.
_PORTUGUESE_WORDS: Mapping[str, str] = {
    "WhatsApp did not deliver it; the reason was not told.": "O WhatsApp não disse por quê",
    "WhatsApp did not deliver it, for a reason this program does not know.": (
        "Por um motivo que este programa não conhece"
    ),
    "No phone number is recorded.": "Não há telefone cadastrado",
    "The phone field must hold one phone number and nothing else.": (
        "O campo do telefone deve ter um só número e nada mais"
    ),
    "The number is incomplete: write it with its area code.": "O número está sem o DDD",
    "The mobile number lacks the ninth digit after its area code.": (
        "Falta o nono dígito no celular, depois do DDD"
    ),
    "No person can have this number: check country code, area code and digits.": (
        "Esse número não existe: confira código do país, DDD e dígitos"
    ),
    "No person can have this number in the clinic's country: check area code and digits;"
    " a number from abroad needs + and its country code in front.": (
        "Esse número não existe no país da clínica: confira DDD e dígitos; um número de fora"
        " precisa de + e do código do país na frente"
    ),
}


def english_reason(found: FailureReason) -> str:
    """Return why messages failed, with the code where there is one."""
    code = f" (code {found.code})" if found.code is not None else ""
    return found.reason.rstrip(".") + code


def duration(wait: timedelta | None) -> str:
    """Return a duration in hours and minutes, in either language; empty for none."""
    if wait is None:
        return ""
    hours, minutes = divmod(round(wait / timedelta(minutes=1)), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def portuguese_number(number: int) -> str:
    """Return a number as it is written in Brazil."""
    return f"{number:,}".replace(",", ".")


def portuguese_reason(found: FailureReason) -> str:
    """Return how many messages failed and why; in the recorded words where there are no others."""
    reason = _PORTUGUESE_CODES.get(found.code) or _PORTUGUESE_WORDS.get(found.reason)
    code = f" (código {found.code})" if found.code is not None else ""
    return f"{portuguese_number(found.messages)} × {reason or found.reason.rstrip('.')}{code}"


def sentences(
    metrics: Metrics,
    words: Mapping[Note, Words],
    *,
    date_form: str,
    number: Callable[[int], str] = str,
) -> dict[Note, str]:
    """Return the notes of the metrics in one language, in their order.

    Args:
        metrics: whose notes.
        words: ``ENGLISH`` or ``PORTUGUESE``.
        date_form: how a day is written, as for ``strftime``.
        number: how a number is written.
    """
    visits, zone = metrics.figures.appointments, metrics.figures.period.zone
    counts = {
        Note.UNRESOLVED_VISITS: visits.unresolved,
        Note.UNREADABLE_DATES: metrics.unreadable,
        Note.DATES_OUT_OF_REACH: metrics.out_of_reach,
        Note.VISITS_WITHOUT_LEAD_TIME: metrics.effect.left_out,
        Note.ANSWERS_WAITING: metrics.answers_waiting,
        Note.TEMPLATES_UNKNOWN: metrics.templates_unknown,
    }
    since, heard, answered = (
        at and at.astimezone(zone).strftime(date_form)
        for at in (metrics.messages_since, metrics.heard_since, metrics.answers_since)
    )
    figures = {
        "unresolved": number(visits.unresolved),
        "total": number(visits.total),
        "unreadable": number(metrics.unreadable),
        "out_of_reach": number(metrics.out_of_reach),
        "left_out": number(metrics.effect.left_out),
        "enough": ENOUGH_VISITS,
        "since": since,
        "heard": heard,
        "answered": answered,
        "waiting": number(metrics.answers_waiting),
        "templates": number(metrics.templates_unknown),
    }
    return {
        note: _for_so_many(words[note], counts.get(note, 0)).format_map(figures)
        for note in metrics.notes
    }


def in_advance(metrics: Metrics, words: Words, *, number: Callable[[int], str] = str) -> str | None:
    """Return how many visits were cancelled in advance; None: none, or it is not known.

    Args:
        metrics: whose visits.
        words: ``ENGLISH_IN_ADVANCE`` or ``PORTUGUESE_IN_ADVANCE``.
        number: how a number is written.
    """
    cancelled = metrics.figures.cancelled_in_advance
    if not cancelled:
        return None
    missed = number(metrics.figures.appointments.no_show)
    return _for_so_many(words, cancelled).format(cancelled=number(cancelled), missed=missed)


def _for_so_many(words: Words, count: int) -> str:
    one, many = (words, words) if isinstance(words, str) else words
    return one if count == 1 else many
