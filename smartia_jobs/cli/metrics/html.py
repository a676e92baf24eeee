"""The numbers as one page for the clinic's owner, in Portuguese: no script, nothing to load."""

from collections.abc import Iterator
from datetime import time
from functools import cache

from jinja2 import Template

from smartia_jobs.cli.metrics.over_time import OUTCOMES, OverTime
from smartia_jobs.cli.metrics.wording import (
    PORTUGUESE,
    PORTUGUESE_IN_ADVANCE,
    duration,
    in_advance,
    portuguese_number,
    portuguese_reason,
    sentences,
)
from smartia_jobs.cli.page import page_template
from smartia_jobs.clinic.effect import Group, LeadTime
from smartia_jobs.clinic.period import Period
from smartia_jobs.clinic.times import to_wall
from smartia_jobs.clinic.told import TOGETHER, Reminded
from smartia_jobs.jobs.metrics import Metrics, Note
from smartia_jobs.kinds import portuguese_label
from smartia_jobs.outbox.statistics import Category
from smartia_jobs.store.answered import Answered
from smartia_jobs.store.effects import Effect

#: A row of the visits that no status has.
IN_ADVANCE = "cancelled_in_advance"
_STATUSES = {
    "total": "Total",
    "completed": "Realizadas",
    "no_show": "Faltas",
    "cancelled": "Canceladas",
    IN_ADVANCE: "das quais com antecedência, por resposta",
    "scheduled": "Ainda agendadas",
    "confirmed": "Ainda confirmadas",
    "unset": "Sem situação",
    "unresolved": "Passadas e ainda em aberto",
}
#: In words, the part, the whole, and the rate of the two.
_RATES = (
    ("Faltas, entre todas", "no_show", "total", "no_show_rate"),
    (
        "Faltas, entre realizadas e perdidas",
        "no_show",
        "attended_or_missed",
        "no_show_rate_of_attended_or_missed",
    ),
    ("Realizadas, entre todas", "completed", "total", "completion_rate"),
)
_MESSAGE_STATES = {
    "sent": "Aceitas pelo WhatsApp",
    "failed": "Recusadas ou sem telefone válido",
    "unknown": "Sem resposta (podem ter chegado)",
    "delivered": "Entregues",
    "read": "Lidas",
    "undelivered": "Aceitas, mas não entregues",
}
#: Which of them are parts of what WhatsApp accepted.
_RATES_OF_SENT = {"delivered": "delivered_rate", "read": "read_rate"}
_LEAD_TIMES = {
    LeadTime.SAME_DAY: "no mesmo dia",
    LeadTime.UP_TO_A_WEEK: "1 a 6 dias antes",
    LeadTime.UP_TO_A_MONTH: "7 a 29 dias antes",
    LeadTime.LONGER: "30 dias antes ou mais",
}
_REMINDED = {
    Reminded.NONE: "nenhum",
    Reminded.ANY: "algum, ao todo",
    Reminded.ONE: "um",
    Reminded.TWO_OR_MORE: "dois ou mais",
    Reminded.CONFIRMED_BY_ANSWER: "confirmou por resposta",
    Reminded.SAID_NO: "avisou que não viria",
    Reminded.CONFIRMED: "já confirmada",
    Reminded.UNKNOWN: "incerto",
}
_ANSWERED = {
    Answered.CONFIRMED: "confirmou",
    Answered.CANNOT_COME: "não poderá vir",
    Answered.ANOTHER_TIME: "quer outro horário",
    Answered.UNCLEAR: "a recepção precisa ler",
    Answered.OTHER: "outra coisa",
    Answered.NONE: "sem resposta",
    Answered.NOT_ASKED: "sem pergunta",
}
_PENDING = "ainda sem resposta, consulta por vir"
#: What was done about answers, in words.
_EFFECTS = {
    Effect.CONFIRMED: "consulta confirmada na SmartIA",
    Effect.CANCELLED: "consulta cancelada na SmartIA",
    Effect.LISTED: "para a recepção ver",
    Effect.OPTED_OUT: "não recebe mais mensagens",
    Effect.OPTED_IN: "volta a receber mensagens",
    Effect.COURTESY: "só um agradecimento",
    Effect.REPEATED: "repetia o que já valia",
    Effect.OVERTAKEN: "superada por outra mais nova",
    Effect.UNDONE: "desfeita por uma pessoa",
}
_CATEGORIES = {
    Category.UTILITY: "Utilidade",
    Category.MARKETING: "Marketing",
    Category.SERVICE: "Serviço (retorno a respostas)",
    Category.UNKNOWN: "Não se sabe",
}
CHARGES = (
    "A Meta cobra o que é entregue, conforme a categoria: a que o catálogo pede, ou a que a Meta"
    " disse depois. Os retornos a respostas são texto livre: desde outubro de 2026 ela cobra os que"
    " passam de 1.000 por mês e número, e os textos da própria SmartIA, que não estão aqui, também"
    " contam."
)
BY_ANSWER = (
    "O que o paciente tinha respondido antes da consulta; de várias respostas, vale a última."
    " Também aqui há associação, não prova: quem responde pode ser diferente de quem não responde."
)
_WEEKDAYS = ("segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo")
ASSOCIATION = (
    "Taxa de faltas conforme os lembretes que o WhatsApp aceitou e a antecedência da marcação;"
    " “já confirmada” quer dizer que a consulta já estava confirmada quando o lembrete saiu;"
    " “incerto”, que não se sabe se um dos lembretes chegou."
    " Compare só entre consultas marcadas com a mesma antecedência: quem marca para o mesmo dia"
    " quase nunca falta e não recebe lembrete."
    " Entram apenas consultas realizadas ou perdidas desde que há mensagens registradas. O"
    " intervalo contém a taxa verdadeira em 95 % dos casos. Isto é associação,"
    " não prova: quem recebeu lembrete pode ser diferente também em outras coisas."
)
APART = (
    " “Confirmou por resposta” e “avisou que não viria” são os que responderam isso antes da"
    " consulta; os outros não disseram nem um nem outro. Por isso compare “nenhum” com “algum, ao"
    " todo”, que reúne todos eles."
)


def to_html(metrics: Metrics) -> str:
    """Return a complete page with tables and charts."""
    period = metrics.figures.period
    notes = sentences(metrics, PORTUGUESE, date_form="%d/%m/%Y", number=portuguese_number)
    under_effect = (Note.SMALL_GROUPS, Note.VISITS_WITHOUT_LEAD_TIME)
    effect_notes = [notes.pop(note) for note in under_effect if note in notes]
    weekdays = list(zip(_WEEKDAYS, metrics.by_weekday, strict=True))
    hours = [(f"{hour:02d} h", counts) for hour, counts in metrics.by_hour.items()]
    rates, rates_by_answer = (
        [counts.no_show_rate_of_attended_or_missed or 0 for counts in shown]
        for shown in ([counts for _, counts in weekdays + hours], metrics.answered.values())
    )
    bounds = (group.interval for group in metrics.effect.groups)
    return _page().render(
        period=_days(period),
        zone=period.zone.key,
        cards=list(_cards(metrics)),
        notes=list(notes.values()),
        outcomes=OUTCOMES,
        in_advance=in_advance(metrics, PORTUGUESE_IN_ADVANCE, number=portuguese_number),
        cancelled_in_advance=(
            metrics.figures.cancelled_in_advance,
            metrics.previous.cancelled_in_advance,
        ),
        over_time=OverTime.of(metrics.by_day),
        statuses={
            name: words
            for name, words in _STATUSES.items()
            if name != IN_ADVANCE or metrics.figures.cancelled_in_advance is not None
        },
        answers=metrics.answers or {},
        answered={
            str(one): words for one, words in _ANSWERED.items() if one is not Answered.NOT_ASKED
        }
        | {"pending": _PENDING},
        answer_effects=[
            f"{portuguese_number(number)} × {_EFFECTS[Effect(effect)]}"
            for effect, number in metrics.answer_effects.items()
        ]
        if metrics.answers is not None
        else [],
        by_answer=[
            (_ANSWERED[one], counts) for one, counts in metrics.answered.items() if counts.total
        ]
        if _is_answered(metrics)
        else [],
        highest_rate_by_answer=max(rates_by_answer, default=0),
        about_answers=BY_ANSWER,
        categories=[
            (_CATEGORIES[one], counts, metrics.previous.categories[one])
            for one, counts in metrics.figures.categories.items()
        ]
        if any(counts.sent for counts in metrics.figures.categories.values())
        else [],
        charges=CHARGES,
        rates=_RATES,
        now=metrics.figures.appointments,
        before=metrics.previous.appointments,
        weekdays=weekdays,
        hours=hours,
        highest_rate=max(rates),
        kinds={kind: portuguese_label(kind) for kind in metrics.figures.messages},
        message_states=_MESSAGE_STATES,
        messages=metrics.figures.messages,
        messages_before=metrics.previous.messages,
        reengaged=metrics.reengagement,
        rates_of_sent=_RATES_OF_SENT,
        reasons=[portuguese_reason(found) for found in metrics.failure_reasons],
        undelivered_reasons=[portuguese_reason(found) for found in metrics.undelivered_reasons],
        effect=list(_effect(metrics.effect.groups)),
        highest_bound=max((high for _, high in filter(None, bounds)), default=1.0),
        effect_notes=[*effect_notes, ASSOCIATION + APART * bool(metrics.answered)],
    )


def _cards(metrics: Metrics) -> Iterator[tuple[str, str, str]]:
    """Yield what stands at the top: in words, the figure, and what it is of or was before."""
    now, before = metrics.figures.appointments, metrics.previous.appointments
    sent, sent_before = (
        sum(counts.sent for counts in figures.messages.values())
        for figures in (metrics.figures, metrics.previous)
    )
    missed = now.no_show_rate_of_attended_or_missed
    missed_before = before.no_show_rate_of_attended_or_missed
    yield "Consultas", _number(now.total), _compared(_change(now.total, before.total))
    yield (
        "Faltas, entre realizadas e perdidas",
        _percent(missed),
        _compared(_points(missed, missed_before)),
    )
    yield (
        "Realizadas, entre todas",
        _percent(now.completion_rate),
        _compared(_points(now.completion_rate, before.completion_rate)),
    )
    change = _compared(_change(sent, sent_before))
    yield "Mensagens aceitas pelo WhatsApp", _number(sent), change
    if metrics.answers is None:
        return
    asked = sum(counts.asked for counts in metrics.answers.values())
    confirmed = sum(counts.confirmed for counts in metrics.answers.values())
    of_asked = f"{_number(confirmed)} de {_number(asked)} mensagens que perguntam"
    yield "Confirmaram por resposta", _percent(confirmed / asked if asked else None), of_asked
    in_advance, in_advance_before = (
        figures.cancelled_in_advance for figures in (metrics.figures, metrics.previous)
    )
    change = _compared(_change(in_advance, in_advance_before))
    yield "Canceladas com antecedência, por resposta", _number(in_advance), change


def _compared(change: str) -> str:
    """Return a change in words; a dash: there is nothing to compare with."""
    return "sem comparação" if change == "–" else f"{change} ante o período anterior"


def _is_answered(metrics: Metrics) -> bool:
    """Return whether any visit of the period was answered about, or should have been."""
    asked = (one for one in Answered if one is not Answered.NOT_ASKED)
    return any(metrics.answered[one].total for one in asked if one in metrics.answered)


def _effect(groups: tuple[Group, ...]) -> Iterator[tuple[str, list[tuple[str, bool, Group]]]]:
    """Yield each lead time in words with its groups that have visits; nothing without groups.

    Each group has its words, and whether it is a part of the one above that has them all.
    """
    found = {(group.lead_time, group.reminded): group for group in groups}
    for lead_time, words in _LEAD_TIMES.items() if groups else ():
        is_apart = (lead_time, Reminded.ANY) in found
        row = [
            (had, is_apart and reminded in TOGETHER, found[lead_time, reminded])
            for reminded, had in _REMINDED.items()
            if (lead_time, reminded) in found
        ]
        yield words, [one for one in row if one[2].visits]


@cache
def _page() -> Template:
    return page_template(
        "smartia_jobs.cli.metrics",
        {
            "number": _number,
            "percent": _percent,
            "interval": _interval,
            "duration": duration,
            "label": portuguese_label,
            "change": _change,
            "points": _points,
            "of_scale": _of_scale,
        },
    )


def _days(period: Period) -> str:
    """Return the days of a period in words, and until when its last day counts."""
    days, ends = list(period.local_days()), to_wall(period.to_at, period.zone)
    words = f"{days[0]:%d/%m/%Y} a {days[-1]:%d/%m/%Y}"
    return words if ends.time() == time() else f"{words}, {ends:%H:%M}"


def _number(number: int | None) -> str:
    """Return a number, or a dash for what is not known."""
    return "–" if number is None else portuguese_number(number)


def _percent(fraction: float | None, digits: int = 1) -> str:
    if fraction is None:
        return "–"
    return f"{100 * fraction:.{digits}f} %".replace(".", ",")


def _interval(interval: tuple[float, float]) -> str:
    low, high = (f"{100 * bound:.0f}" for bound in interval)
    return f"{low}–{high} %"


def _change(now: int | None, before: int | None) -> str:
    if now is None or before is None:
        return "–"
    return f"{now - before:+,}".replace(",", ".").replace("-", "−") if now != before else "0"


def _points(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return "–"
    return f"{100 * (now - before):+.1f} p.p.".replace(".", ",", 1).replace("-", "−")


def _of_scale(number: float, whole: float) -> str:
    """Return a length as a percentage of the whole, which may be nothing."""
    return f"{100 * number / whole:.2f}" if whole else "0"
