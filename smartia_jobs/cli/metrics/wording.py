"""What a reader must know before trusting a figure, in sentences."""

from collections.abc import Callable, Mapping

from smartia_jobs.clinic.effect import ENOUGH_VISITS
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.outbox.statistics import FailureReason

ENGLISH: Mapping[Note, str] = {
    Note.UNTIL_IN_FUTURE: "--until lies ahead: the period ends now.",
    Note.UNRESOLVED_VISITS: (
        "{unresolved} of {total} visits are over and still open in SmartIA; while they are,"
        " each rate may be wrong by that share."
    ),
    Note.UNREADABLE_DATES: (
        "{unreadable} visits are in no count: their date is stored as one that does not exist."
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
    Note.DELIVERY_NOT_PULLED: (
        "Delivered and read are not known: no delivery status was ever fetched from WhatsApp."
    ),
    Note.SMALL_GROUPS: (
        "* fewer than {enough} visits: too few to compare, as the wide interval shows."
    ),
    Note.VISITS_WITHOUT_LEAD_TIME: (
        "{left_out} visits are in no row: when they were booked is not recorded, or was later."
    ),
}

PORTUGUESE: Mapping[Note, str] = {
    Note.UNTIL_IN_FUTURE: "A data final pedida ainda não chegou: o período termina agora.",
    Note.UNRESOLVED_VISITS: (
        "{unresolved} de {total} consultas já passaram e continuam abertas no SmartIA; enquanto"
        " ninguém as fechar, cada taxa pode estar errada nessa proporção."
    ),
    Note.UNREADABLE_DATES: (
        "{unreadable} consultas não são contadas: a data gravada não existe no calendário."
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
    Note.DELIVERY_NOT_PULLED: (
        "Entregues e lidas não são conhecidas: a situação de entrega nunca foi buscada no WhatsApp."
    ),
    Note.SMALL_GROUPS: (
        "* menos de {enough} consultas: poucas para comparar, como mostra o intervalo largo."
    ),
    Note.VISITS_WITHOUT_LEAD_TIME: (
        "{left_out} consultas não estão em nenhuma linha: a data da marcação não foi registrada"
        " ou é posterior à consulta."
    ),
}

#: WhatsApp's refusals of one patient, by Meta's code.
_PORTUGUESE_CODES: Mapping[int | None, str] = {
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
    words: Mapping[Note, str],
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
    since, visits = metrics.messages_since, metrics.figures.appointments
    figures = {
        "unresolved": number(visits.unresolved),
        "total": number(visits.total),
        "unreadable": number(metrics.unreadable),
        "left_out": number(metrics.effect.left_out),
        "enough": ENOUGH_VISITS,
        "since": since and since.astimezone(metrics.figures.period.zone).strftime(date_form),
    }
    return {note: words[note].format_map(figures) for note in metrics.notes}
