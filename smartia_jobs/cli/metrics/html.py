"""The numbers as one page for the clinic's owner, in Portuguese: no script, nothing to load."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from smartia_jobs.cli.metrics import charts
from smartia_jobs.cli.metrics.page_style import STYLE
from smartia_jobs.cli.metrics.wording import PORTUGUESE, portuguese_reason, sentences
from smartia_jobs.clinic.effect import Group, LeadTime, Reminded
from smartia_jobs.clinic.statistics import StatusCounts, rate
from smartia_jobs.jobs.metrics import Metrics, Note

_STATUSES = {
    "total": "Total",
    "completed": "Realizadas",
    "no_show": "Faltas",
    "cancelled": "Canceladas",
    "scheduled": "Ainda agendadas",
    "confirmed": "Ainda confirmadas",
    "unset": "Sem situação",
}
_KINDS = {
    "24h": "lembrete de 24&nbsp;h",
    "2h": "lembrete de 2&nbsp;h",
    "no_show": "convite após falta",
}
_MESSAGE_STATES = {
    "sent": "Aceitas pelo WhatsApp",
    "failed": "Recusadas ou sem telefone válido",
    "unknown": "Sem resposta (podem ter chegado)",
    "delivered": "Entregues",
    "read": "Lidas",
}
_LEAD_TIMES = {
    LeadTime.SAME_DAY: "no mesmo dia",
    LeadTime.UP_TO_A_WEEK: "1 a 6 dias",
    LeadTime.UP_TO_A_MONTH: "7 a 29 dias",
    LeadTime.LONGER: "30 dias ou mais",
}
_REMINDED = {
    Reminded.NONE: "nenhum",
    Reminded.ONE: "um",
    Reminded.TWO: "dois",
    Reminded.CONFIRMED: "confirmada",
    Reminded.UNKNOWN: "incerto",
}
_WEEKDAYS = ("segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo")
_OUTCOMES = ("realizadas", "faltas", "canceladas", "em aberto")
ASSOCIATION = (
    "Taxa de faltas conforme os lembretes que o WhatsApp aceitou e a antecedência da marcação;"
    " “confirmada” quer dizer que a consulta já estava confirmada quando o lembrete saiu;"
    " “incerto”, que não se sabe se um dos lembretes chegou."
    " Compare dentro da mesma linha: quem marca para o mesmo dia quase nunca falta e não recebe"
    " lembrete, por isso a comparação só vale entre consultas marcadas com a mesma antecedência."
    " Entram apenas consultas realizadas ou perdidas desde que há mensagens registradas. O"
    " intervalo entre colchetes contém a taxa verdadeira em 95 % dos casos. Isto é associação,"
    " não prova: quem recebeu lembrete pode ser diferente também em outras coisas."
)


def to_html(metrics: Metrics) -> str:
    """Return a complete page with tables and charts.

    Raises:
        ConfigurationError: the plotting library is not installed.
    """
    charts.require_plotting()
    notes = sentences(metrics, PORTUGUESE, date_form="%d/%m/%Y")
    under_effect = [
        notes.pop(note)
        for note in (Note.SMALL_GROUPS, Note.VISITS_WITHOUT_LEAD_TIME)
        if note in notes
    ]
    period = metrics.figures.period
    begins, ends = (at.astimezone(period.zone) for at in (period.from_at, period.to_at))
    parts = [
        "<header><h1>Consultas e lembretes</h1>",
        f"<p>De {begins:%d/%m/%Y, %H:%M} a {ends:%d/%m/%Y, %H:%M} ({escape(period.zone.key)})</p>",
        "</header>",
        *_cards(metrics),
        *_list("Antes de confiar nos números", notes.values()),
        *_visits(metrics),
        *_when(metrics),
        *_messages(metrics),
        *_effect(metrics, under_effect),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="pt-BR">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Consultas e lembretes, {begins:%d/%m/%Y} a {ends:%d/%m/%Y}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _cards(metrics: Metrics) -> Iterator[str]:
    now, before = metrics.figures.appointments, metrics.previous.appointments
    sent, sent_before = (
        sum(counts.sent for counts in figures.messages.values())
        for figures in (metrics.figures, metrics.previous)
    )
    cards = [
        ("Consultas", _number(now.total), _change(now.total, before.total)),
        (
            "Faltas, entre realizadas e perdidas",
            _percent(now.no_show_rate_of_attended_or_missed),
            _points(
                now.no_show_rate_of_attended_or_missed, before.no_show_rate_of_attended_or_missed
            ),
        ),
        (
            "Realizadas, entre todas",
            _percent(now.completion_rate),
            _points(now.completion_rate, before.completion_rate),
        ),
        ("Mensagens aceitas pelo WhatsApp", _number(sent), _change(sent, sent_before)),
    ]
    yield '<section class="cards">'
    for label, figure, change in cards:
        yield (
            f"<div><span>{label}</span><strong>{figure}</strong>"
            f"<small>{change} ante o período anterior</small></div>"
        )
    yield "</section>"


def _visits(metrics: Metrics) -> Iterator[str]:
    now, before = metrics.figures.appointments, metrics.previous.appointments
    counts = {**_STATUSES, "unresolved": "Passadas e ainda em aberto"}
    rows = [
        (words, _number(getattr(now, name)), _number(getattr(before, name)),
         _change(getattr(now, name), getattr(before, name)))
        for name, words in counts.items()
    ]  # fmt: skip
    rows += [
        (words, _of(*new), _of(*old), _points(rate(*new), rate(*old)))
        for words, part, whole in (
            ("Faltas, entre todas", "no_show", "total"),
            ("Faltas, entre realizadas e perdidas", "no_show", "attended_or_missed"),
            ("Realizadas, entre todas", "completed", "total"),
        )
        for new, old in [[(getattr(c, part), getattr(c, whole)) for c in (now, before)]]
    ]
    drawing = charts.visits_over_time(metrics.by_day, _OUTCOMES, "Consultas ao longo do período")
    table = _table(("", "neste período", "no anterior", "mudança"), rows)
    weekly = "<p>Cada barra é uma semana.</p>" if len(metrics.by_day) > charts.MOST_DAYS else ""
    yield from _section("Consultas", drawing, table, weekly)


def _when(metrics: Metrics) -> Iterator[str]:
    weekdays = dict(zip(_WEEKDAYS, metrics.by_weekday, strict=True))
    hours = {f"{hour:02d} h": counts for hour, counts in metrics.by_hour.items()}
    for title, what, counted in (
        ("Faltas por dia da semana", "dia", weekdays),
        ("Faltas por hora", "hora", hours),
    ):
        if counted:
            drawing = charts.missed_by(counted, title)
            table = _table((what, "consultas", "faltas", "taxa"), _rate_rows(counted.items()))
            yield from _section(title, drawing, table)


def _rate_rows(counted: Iterable[tuple[str, StatusCounts]]) -> Iterator[Sequence[str]]:
    for label, counts in counted:
        missed = _percent(counts.no_show_rate_of_attended_or_missed)
        yield label, _number(counts.total), _number(counts.no_show), missed


def _messages(metrics: Metrics) -> Iterator[str]:
    now, before = metrics.figures.messages, metrics.previous.messages
    rows = [
        (words, *(_known(getattr(counts, name)) for counts in now.values()))
        for name, words in _MESSAGE_STATES.items()
    ]
    changes = (_change(counts.sent, before[kind].sent) for kind, counts in now.items())
    rows.append(("Aceitas: mudança ante o período anterior", *changes))
    invited, back = metrics.reengagement.invited, metrics.reengagement.booked_again
    came_back = f"<p>Pacientes convidados que remarcaram em 30 dias: {back} de {invited}.</p>"
    yield from _section(
        "Mensagens",
        _table(("", *_KINDS.values()), rows),
        came_back if invited else "",
        *_list("Por que falharam", map(portuguese_reason, metrics.failure_reasons)),
    )


def _effect(metrics: Metrics, notes: Iterable[str]) -> Iterator[str]:
    groups = metrics.effect.groups
    if not groups:
        return
    by_lead_time = {
        words: [group for group in groups if group.lead_time is lead_time]
        for lead_time, words in _LEAD_TIMES.items()
    }
    drawing = charts.effect_of_reminders(
        by_lead_time, list(_REMINDED.values()), "Taxa de faltas conforme os lembretes"
    )
    headings = [words.replace("confirmada", "confir&shy;mada") for words in _REMINDED.values()]
    table = _table(
        ("marcada com", *headings),
        [(words, *map(_cell, row)) for words, row in by_lead_time.items()],
    )
    remarks = "".join(f"<p>{escape(note)}</p>" for note in (*notes, ASSOCIATION))
    yield from _section("Os lembretes ajudam?", drawing, table, remarks)


def _cell(group: Group) -> str:
    if group.interval is None:
        return "–"
    low, high = (f"{100 * bound:.0f}" for bound in group.interval)
    star = "*" if group.is_small else ""
    return (
        f"{_percent(group.no_show_rate)}{star}<br><small>[{low}–{high}]<br>"
        f"{_number(group.no_show)}/<wbr>{_number(group.visits)}</small>"
    )


def _section(title: str, *parts: str) -> Iterator[str]:
    yield f"<section><h2>{title}</h2>"
    yield from parts
    yield "</section>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first cell of a row is its heading. Cells are HTML already."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _list(title: str, lines: Iterable[str]) -> Iterator[str]:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if items:
        yield f'<div class="remarks"><h3>{title}</h3><ul>{items}</ul></div>'


def _number(number: int) -> str:
    return f"{number:,}".replace(",", ".")


def _known(number: int | None) -> str:
    return "–" if number is None else _number(number)


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f} %".replace(".", ",")


def _of(part: int, whole: int) -> str:
    if not whole:
        return "–"
    return f"{_percent(rate(part, whole))} <small>({_number(part)}/<wbr>{_number(whole)})</small>"


def _change(now: int, before: int) -> str:
    return f"{now - before:+,}".replace(",", ".").replace("-", "−") if now != before else "0"


def _points(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return "–"
    return f"{100 * (now - before):+.1f} p.p.".replace(".", ",", 1).replace("-", "−")
