"""The reasons in words, for a table in English and for the reception in Portuguese."""

from collections.abc import Mapping

from smartia_jobs.clinic.rules.calls import Why
from smartia_jobs.jobs.calls import Call

ENGLISH_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAYS = ("seg", "ter", "qua", "qui", "sex", "sáb", "dom")
LONG_WEEKDAYS = (
    "segunda-feira",
    "terça-feira",
    "quarta-feira",
    "quinta-feira",
    "sexta-feira",
    "sábado",
    "domingo",
)

PORTUGUESE: Mapping[Why, str] = {
    Why.WANTS_TO_CANCEL: "Não poderá vir",
    Why.WANTS_TO_MOVE: "Quer outro horário",
    Why.CANCELLED_IN_CHAT: "Cancelou no chat",
    Why.UNCLEAR_ANSWER: "Resposta para ler",
    Why.SLOT_FREED: "Horário livre: cancelou",
    Why.ANSWER_UNDONE: "Resposta desfeita",
    Why.TOLD_OTHERWISE: "Avisado de horário que mudou",
    Why.NOT_REACHED: "Lembrete não chegou",
    Why.NO_USABLE_NUMBER: "Sem telefone válido",
    Why.NUMBER_DISPUTED: "Número de outra pessoa",
    Why.UNKNOWN: "Lembrete talvez não tenha chegado",
    Why.RETRY: "Lembrete ainda não saiu",
    Why.TOO_LATE: "Ficou sem lembrete",
    Why.ASKED_FOR_NO_MESSAGES: "Não quer mensagens",
    Why.TO_CLOSE: "Tinha dito que não viria",
    Why.MISSED_LAST_TIME: "Faltou da última vez",
    Why.BOOKED_LONG_AHEAD: "Marcou há muito tempo",
}
_WHAT: Mapping[Why, str] = {
    Why.WANTS_TO_CANCEL: "Falar com o paciente e cancelar a consulta no SmartIA.",
    Why.WANTS_TO_MOVE: "Oferecer outro horário e remarcar no SmartIA.",
    Why.CANCELLED_IN_CHAT: "Perguntar se a consulta caiu mesmo; se caiu, cancelar no SmartIA.",
    Why.UNCLEAR_ANSWER: "Ler a resposta no WhatsApp e responder ao paciente.",
    Why.SLOT_FREED: "Oferecer o horário a outra pessoa e apagar o evento da agenda.",
    Why.ANSWER_UNDONE: "Avisar o paciente de como a consulta ficou.",
    Why.TOLD_OTHERWISE: "Avisar o paciente do que mudou.",
    Why.NOT_REACHED: "Ligar e lembrar da consulta; se o número está errado, corrigir no SmartIA.",
    Why.NO_USABLE_NUMBER: "Descobrir o número certo e corrigir no SmartIA.",
    Why.NUMBER_DISPUTED: (
        "Descobrir o número certo por outro caminho e corrigir no SmartIA. Não falar da consulta"
        " com quem atende neste número."
    ),
    Why.UNKNOWN: "Ligar e lembrar da consulta: o lembrete pode não ter chegado.",
    Why.RETRY: "O lembrete ainda será enviado; se a consulta é logo, ligar.",
    Why.TOO_LATE: "Ligar e lembrar da consulta: nenhum lembrete sairá mais.",
    Why.ASKED_FOR_NO_MESSAGES: "Ligar e lembrar da consulta; não escrever.",
    Why.TO_CLOSE: "Fechar a consulta no SmartIA: o paciente tinha avisado.",
    Why.MISSED_LAST_TIME: "Ligar e perguntar se virá.",
    Why.BOOKED_LONG_AHEAD: "Ligar e perguntar se virá.",
}
#: What came instead of words, by WhatsApp's type of message.
_INSTEAD_OF_WORDS: Mapping[str, str] = {
    "audio": "mensagem de voz",
    "image": "foto",
    "sticker": "figurinha",
    "video": "vídeo",
    "document": "documento",
    "location": "localização",
    "contacts": "contato",
}


def english(why: Why) -> str:
    """Return a reason as a table calls it."""
    return why.replace("_", " ")


def what_to_do(call: Call) -> str:
    """Return in Portuguese what the reception should do."""
    what = _WHAT[call.why]
    if call.why is Why.SLOT_FREED and call.calendar_event_id:
        return f"{what} Evento: {call.calendar_event_id}."
    if call.why is Why.TOLD_OTHERWISE and call.changed is not None:
        if call.changed.given_away:
            return f"{what} O horário foi dado a outra pessoa."
        if call.changed.start is None:
            return f"{what} A consulta foi cancelada."
        weekday = WEEKDAYS[call.changed.start.weekday()]
        return f"{what} Agora: {weekday} {call.changed.start:%d/%m, %H:%M}."
    return what


def instead_of_words(call: Call) -> str | None:
    """Return what came instead of words; None: nothing, or it is not known."""
    instead = _INSTEAD_OF_WORDS.get(call.answer_type or "")
    return f"{instead}: está no WhatsApp" if instead else None
