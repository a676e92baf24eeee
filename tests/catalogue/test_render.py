"""Writing messages: names, dates, times and the promise that no odd value costs a message."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.contact import contact
from smartia_jobs.catalogue.loading import Catalogue, MessageTemplate, load_catalogue
from smartia_jobs.catalogue.names import clean, first_name, shorten
from smartia_jobs.catalogue.render import (
    example_message,
    preview_text,
    write_message,
    write_word_back,
)
from smartia_jobs.catalogue.variables import LONGEST, PLACEHOLDER, fill, length
from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings import Settings

SHIPPED = load_catalogue(None)


def visit(start: str, *, name: str | None = "Marina Souza", id: int = 1) -> Appointment:
    return Appointment(
        id=id,
        patient_id=7,
        status=AppointmentStatus.SCHEDULED,
        start_at=None,
        start=datetime.fromisoformat(start),
        patient_name=name,
    )


def custom(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "messages.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue(path)


def test_a_reminder_reads_well() -> None:
    message = write_message(
        SHIPPED["24h"], [visit("2026-11-23T14:30")], clinic_name="Clínica Aurora"
    )

    assert message.text == (
        "Olá, Marina!\n\n"
        "Passando para lembrar que você tem horário marcado:\n\n"
        "Data: segunda-feira, 23 de novembro\n"
        "Horário: 14:30\n"
        "Local: Clínica Aurora\n\n"
        "Você confirma a sua presença? É só tocar em um dos botões abaixo.\n\n"
        "Para mudar o horário, fale com a gente pelos nossos canais de atendimento. Até breve!"
    )
    assert (message.kind, message.template) == ("24h", "smartia_lembrete_24h_v2")
    assert (message.language, message.named, message.payloads) == ("pt_BR", True, {})
    assert list(message.parameters.items()) == [
        ("paciente", "Marina"),
        ("data", "segunda-feira, 23 de novembro"),
        ("hora", "14:30"),
        ("clinica", "Clínica Aurora"),
        ("contato", "pelos nossos canais de atendimento"),
    ]
    assert message.meanings == {0: "confirm", 1: "cancel"}


def test_who_confirmed_already_is_not_asked_by_the_shipped_reminder() -> None:
    confirmed = replace(visit("2026-11-23T14:30"), status=AppointmentStatus.CONFIRMED)
    phone = contact("+551133334444", "BR")

    message = write_message(SHIPPED["24h"], [confirmed], clinic_name="Aurora", contact=phone)

    assert message.template == "smartia_lembrete_24h_confirmado_v2"
    assert message.meanings == {0: "cancel"}
    assert message.text == (
        "Olá, Marina!\n\n"
        "Passando só para lembrar do seu horário, que já está confirmado:\n\n"
        "Data: segunda-feira, 23 de novembro\n"
        "Horário: 14:30\n"
        "Local: Aurora\n\n"
        "Se surgir um imprevisto, toque no botão abaixo ou fale com a gente pelo telefone"
        " (11) 3333-4444. Até breve!"
    )


@pytest.mark.parametrize(
    ("clinic_phone", "country", "told"),
    [
        ("+551133334444", "BR", "pelo telefone (11) 3333-4444"),
        ("11 98765-4321", "BR", "pelo telefone (11) 98765-4321"),
        ("0800 123 4567", "BR", "pelo telefone 0800 123 4567"),
        ("+351213456789", "PT", "pelo telefone 21 345 6789"),
        ("+351213456789", "BR", "pelo telefone +351 21 345 6789"),
        (None, "BR", "pelos nossos canais de atendimento"),
        ("recepção", "BR", "pelos nossos canais de atendimento"),
    ],
)
def test_the_clinics_phone_is_written_as_its_patients_know_it(
    clinic_phone: str | None, country: str, told: str
) -> None:
    assert contact(clinic_phone, country) == told


def test_how_to_reach_the_clinic_fits_where_the_shipped_texts_say_it() -> None:
    texts = [template.body for template in SHIPPED.templates.values()]

    assert sum("{{contato}}" in text for text in texts) == 4
    assert all(
        text.count("fale com a gente {{contato}}. Até") == text.count("{{contato}}")
        for text in texts
    )


def test_an_invitation_accuses_nobody_and_fits_every_clinic() -> None:
    texts = [
        write_message(SHIPPED["no_show"], [visit("2026-11-23T14:30")], clinic_name=clinic).text
        for clinic in ("sua clínica", "Clínica Aurora", "Consultório do Dr. Silva")
    ]

    assert texts[0] == (
        "Olá, Marina!\n\n"
        "Se o seu horário de segunda-feira, 23 de novembro, não deu certo, tudo bem: "
        "imprevistos acontecem.\n\n"
        "Quando quiser um novo horário, é só entrar em contato: "
        "sua clínica terá prazer em receber você!"
    )
    assert "Consultório do Dr. Silva terá prazer em receber você!" in texts[2]


@pytest.mark.parametrize("kind", ["24h", "2h", "no_show"])
@pytest.mark.parametrize("name", [None, "", "   ", "None", "\u200b", "5511987654321"])
def test_a_patient_without_a_name_is_greeted_all_the_same(kind: str, name: str | None) -> None:
    message = write_message(
        SHIPPED[kind], [visit("2026-11-23T14:30", name=name)], clinic_name="Clínica Aurora"
    )

    assert message.text.startswith("Olá, esperamos que você esteja bem!\n\n")


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        (["2026-11-23T09:00"], "9:00"),
        (["2026-11-23T09:00", "2026-11-23T15:00"], "9:00 e 15:00"),
        (["2026-11-23T09:00", "2026-11-23T11:00", "2026-11-23T15:00"], "9:00, 11:00 e 15:00"),
        (["2026-11-23T09:00", "2026-11-23T09:00"], "9:00"),
        (["2026-11-23T00:05"], "0:05"),
    ],
)
def test_visits_of_one_day_are_told_as_a_list(starts: list[str], told: str) -> None:
    message = write_message(
        SHIPPED["2h"], [visit(start) for start in starts], clinic_name="Clínica Aurora"
    )

    assert message.parameters["hora"] == told
    assert f"Horário: {told}\n" in message.text


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2026-02-28T09:00", "sábado, 28 de fevereiro"),
        ("2028-02-29T09:00", "terça-feira, 29 de fevereiro"),
        ("2026-03-01T09:00", "domingo, 1 de março"),
        ("2026-12-31T09:00", "quinta-feira, 31 de dezembro"),
        ("2027-01-01T09:00", "sexta-feira, 1 de janeiro"),
    ],
)
def test_days_are_written_in_words(start: str, told: str) -> None:
    message = write_message(SHIPPED["24h"], [visit(start)], clinic_name="Clínica Aurora")

    assert message.parameters["data"] == told


def test_a_message_is_written_in_the_language_of_its_template(tmp_path: Path) -> None:
    template = custom(
        tmp_path,
        """
        [24h]
        name = "reminder_v1"
        language = "en_US"
        category = "UTILITY"
        body = "Hi {{paciente}}! Your visit is on {{data}}, {{hora}}. See you at {{clinica}}, then!"
        without_name = "there"
        """,
    )["24h"]

    texts = [
        write_message(
            template,
            [visit("2026-11-23T09:00", name=name), visit("2026-11-23T14:30", name=name)],
            clinic_name="Aurora Clinic",
        ).text
        for name in ("Marina Souza", None)
    ]

    assert texts == [
        f"Hi {who}! Your visit is on Monday, November 23, 9:00 AM and 2:30 PM. "
        "See you at Aurora Clinic, then!"
        for who in ("Marina", "there")
    ]


def test_positional_parameters_are_given_by_number(tmp_path: Path) -> None:
    template = custom(
        tmp_path,
        """
        [2h]
        name = "lembrete_v3"
        language = "pt_BR"
        category = "UTILITY"
        parameter_format = "positional"
        variables = ["hora", "dia_da_semana"]
        body = "Lembramos do seu horário marcado ({{2}}, às {{1}}). Até breve!"
        """,
    )["2h"]

    message = write_message(template, [visit("2026-11-23T09:00")], clinic_name="Clínica Aurora")

    assert not message.named
    assert list(message.parameters.items()) == [("1", "9:00"), ("2", "segunda-feira")]
    assert message.text == "Lembramos do seu horário marcado (segunda-feira, às 9:00). Até breve!"


def test_a_quick_reply_says_what_it_means_or_tells_the_clinics_bot_which_appointment(
    tmp_path: Path,
) -> None:
    template = custom(
        tmp_path,
        """
        [24h]
        name = "lembrete_v3"
        language = "pt_BR"
        category = "UTILITY"
        body = "Lembramos do seu horário marcado: {{data}}. Você vem?"
        [[24h.buttons]]
        type = "quick_reply"
        text = "Talvez"
        [[24h.buttons]]
        type = "quick_reply"
        text = "Confirmar"
        payload = "confirmar:{{id}}"
        [[24h.buttons]]
        type = "quick_reply"
        text = "Não receber mais"
        means = "stop"
        """,
    )["24h"]

    message = write_message(
        template,
        [visit("2026-11-23T09:00", id=42), visit("2026-11-23T15:00", id=43)],
        clinic_name="x",
    )

    assert message.payloads == {1: "confirmar:42"}
    assert message.meanings == {2: "stop"}


@pytest.mark.parametrize(
    ("statuses", "name"),
    [
        ("SCHEDULED", "lembrete_v3"),
        ("CONFIRMED", "confirmado_v3"),
        ("CONFIRMED CONFIRMED", "confirmado_v3"),
        ("CONFIRMED SCHEDULED", "lembrete_v3"),
    ],
)
def test_who_confirmed_every_visit_of_a_message_gets_the_text_for_that(
    tmp_path: Path, statuses: str, name: str
) -> None:
    text = """
        [24h]
        name = "lembrete_v3"
        language = "pt_BR"
        category = "UTILITY"
        body = "Lembramos do seu horário marcado: {{data}}. Você vem?"
        buttons = [{type = "quick_reply", text = "Sim", means = "confirm"}]
    """
    confirmed = """
        [24h.confirmed]
        name = "confirmado_v3"
        body = "Lembramos do seu horário, que está confirmado: {{data}}. Até breve!"
        buttons = [{type = "quick_reply", text = "Não poderei ir", means = "cancel"}]
    """
    visits = [
        replace(visit("2026-11-23T09:00"), status=AppointmentStatus(status))
        for status in statuses.split()
    ]

    message = write_message(custom(tmp_path, text + confirmed)["24h"], visits, clinic_name="x")
    without = write_message(custom(tmp_path, text)["24h"], visits, clinic_name="x")

    assert (message.kind, message.template) == ("24h", name)
    assert message.meanings == {0: "cancel" if name == "confirmado_v3" else "confirm"}
    assert without.template == "lembrete_v3"


@pytest.mark.parametrize(
    ("stored", "greeted"),
    [
        ("Marina Souza", "Marina"),
        ("MARIA DA SILVA", "Maria"),
        ("maria", "Maria"),
        ("  joão\u00a0pedro ", "João"),
        ("ÂNGELA", "Ângela"),
        ("A\u0301lvaro Reis", "Álvaro"),
        ("Dr. João", "João"),
        ("DRA. ANA LIMA", "Ana"),
        ("Dona Sra. Benedita", "Benedita"),
        ("ana-clara", "Ana-Clara"),
        ("D'ÁVILA", "D'Ávila"),
        ("McGregor Dias", "McGregor"),
        ("Ana (mãe)", "Ana"),
        ("Maria 2", "Maria"),
        ("\u202eMaria\u202c", "Maria"),
        ("Ma\u200bria", "Maria"),
        ("Maria\nSilva", "Maria"),
        ("𝓜𝓪𝓻𝓲𝓪 Souza", "Maria"),
        ("Ольга", "Ольга"),
        ("李 小龙", "李"),
        (None, None),
        ("", None),
        (" \t\u00a0\u2028", None),
        ("None", None),
        ("NULL", None),
        ("sem nome", None),
        ("Dr.", None),
        ("Silva, Maria", None),
        ("J. Silva", None),
        ("J Silva", None),
        ("maria@exemplo.com", None),
        ("+55 11 98765-4321", None),
        ("11987654321", None),
        ("Maria/João", None),
        ("{{paciente}}", None),
        ("❤ Maria", None),
        ("-", None),
        ("'Ana", None),
        ("\u3164", None),
        ("A" * 41, None),
    ],
)
def test_a_first_name_is_found_or_left_out(stored: str | None, greeted: str | None) -> None:
    assert first_name(stored) == greeted


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (" a \t b\r\n\u00a0\u2028c\u3000d\x85e ", "a b c d e"),
        ("a\u200b\u200e\ufeff\x00b", "ab"),
        ("{{data}}", "((data))"),
        ("Clínica São José nº 1º", "Clínica São José nº 1º"),
        ("\ud800", ""),
    ],
)
def test_a_value_is_cleaned_as_meta_demands(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "longest", "shortened"),
    [
        ("nove horas", 10, "nove horas"),
        ("nove horas e meia", 12, "nove horas…"),
        ("nove horas e meia", 11, "nove horas…"),
        ("nove horas e meia", 10, "nove…"),
        ("anticonstitucional", 10, "anticonst…"),
        ("9:00, 10:00, 11:00", 13, "9:00, 10:00…"),
        ("😀😀😀😀😀😀", 10, "😀😀😀😀…"),
    ],
)
def test_a_long_value_is_cut_at_a_word_and_says_so(text: str, longest: int, shortened: str) -> None:
    assert shorten(text, longest) == shortened


def test_a_clinic_name_cannot_name_a_variable() -> None:
    message = write_message(
        SHIPPED["24h"], [visit("2026-11-23T09:00")], clinic_name="{{hora}} \\1 & Filhos"
    )

    assert "Local: ((hora)) \\1 & Filhos\n" in message.text


def test_a_value_is_never_filled_in_again() -> None:
    assert fill("a {{x}} b {{y}} c {{x}}", {"x": "{{y}}", "y": "2"}) == "a {{y}} b 2 c {{y}}"


def test_thirty_visits_in_a_day_still_fit() -> None:
    visits = [visit(f"2026-11-23T{8 + n // 4:02}:{n % 4 * 15:02}") for n in range(30)]

    message = write_message(SHIPPED["24h"], visits, clinic_name="Clínica Aurora")

    assert message.parameters["hora"] == ("8:00, 8:15, 8:30, 8:45, 9:00, 9:15, 9:30, 9:45, 10:00…")


def test_no_message_is_written_without_a_time() -> None:
    nowhen = Appointment(id=1, patient_id=1, status=None, start_at=None, start=None)

    for visits in ([], [nowhen]):
        with pytest.raises(ValueError, match="when it is"):
            write_message(SHIPPED["24h"], visits, clinic_name="Clínica Aurora")


def full_body(characters: int) -> str:
    """Return a body that has this many characters when every value is at its longest."""
    variables = (
        "Olá, {{paciente}}! {{data}} e {{dia_da_semana}} às {{hora}} em {{clinica}}, {{contato}} "
    )
    fixed = len(PLACEHOLDER.sub("", variables)) + sum(LONGEST.values())
    return variables + ("palavra " * 200)[: characters - fixed - 1] + "!"


def full_section(characters: int) -> str:
    return f"""
        [24h]
        name = "longo_v1"
        language = "pt_BR"
        category = "UTILITY"
        body = "{full_body(characters)}"
        without_name = "{"😀" * 30}"
    """


def test_the_longest_allowed_body_holds_the_longest_values(tmp_path: Path) -> None:
    template = custom(tmp_path, full_section(1024))["24h"]
    visits = [visit(f"2026-11-25T{10 + n // 4}:{n % 4 * 15:02}", name=None) for n in range(30)]

    message = write_message(template, visits, clinic_name="Ω" * 500, contact="Ω" * 500)

    assert 960 < length(message.text) <= 1024
    with pytest.raises(ConfigurationError, match="can reach 1025 characters"):
        custom(tmp_path, full_section(1025))


names = st.one_of(
    st.none(),
    st.text(max_size=200),
    st.text(st.characters(categories=["Zs", "Cc", "Cf", "Lo", "Lu", "Mn", "Nd"]), max_size=2000),
    st.sampled_from(["None", "{{hora}}", "a" * 5000, "\u0301" * 300, "ﷺ" * 50, "ß" * 40]),
)


@given(
    name=names,
    clinic_name=st.text(max_size=300),
    kind=st.sampled_from(["24h", "2h", "no_show"]),
    starts=st.lists(
        st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2040-01-01")),
        min_size=1,
        max_size=40,
    ),
)
def test_whatever_the_database_holds_the_message_can_be_sent(
    name: str | None, clinic_name: str, kind: str, starts: list[datetime]
) -> None:
    visits = [visit(start.isoformat(), name=name) for start in starts]

    message = write_message(SHIPPED[kind], visits, clinic_name=clinic_name)

    for value in message.parameters.values():
        assert value == " ".join(value.split()) != ""
        assert not set(value) & set("{}\n\r\t\u200b\u202e")
        value.encode()
    assert message.parameters["paciente"] != "None"
    assert length(message.text) == len(message.text.encode("utf-16-le")) // 2 <= 1024
    assert all(value in message.text for value in message.parameters.values())


@given(st.text(max_size=100), st.integers(min_value=2, max_value=50))
def test_shortening_never_exceeds_its_limit_nor_empties_a_text(text: str, longest: int) -> None:
    cleaned = clean(text)

    shortened = shorten(cleaned, longest)

    assert length(shortened) <= longest
    assert bool(shortened) == bool(cleaned)


def preview(template: MessageTemplate, clinic_phone: str | None) -> str:
    message = example_message(template, clinic_name="Clínica Aurora")
    return preview_text(template, message, clinic_phone=clinic_phone)


def test_a_preview_shows_the_call_button_when_the_clinic_has_a_phone() -> None:
    text = example_message(SHIPPED["no_show"], clinic_name="Clínica Aurora").text

    assert preview(SHIPPED["no_show"], None) == text
    assert preview(SHIPPED["no_show"], "+551130000000") == f"{text}\n\n[ Ligar para nós ]"


def test_a_preview_shows_footer_and_buttons_in_their_order(tmp_path: Path) -> None:
    template = custom(
        tmp_path,
        """
        [24h]
        name = "lembrete_v3"
        language = "pt_BR"
        category = "UTILITY"
        body = "Lembramos do seu horário marcado: {{data}}. Você vem?"
        footer = "Mensagem automática"
        call_button = "Ligar"
        buttons = [{type = "quick_reply", text = "Sim"}, {type = "quick_reply", text = "Não"}]
        """,
    )["24h"]

    assert preview(template, "+551130000000") == (
        "Lembramos do seu horário marcado: segunda-feira, 23 de novembro. Você vem?\n\n"
        "Mensagem automática\n\n"
        "[ Sim ]\n[ Não ]\n[ Ligar ]"
    )


# -- words back ---------------------------------------------------------------------------------

AURORA = Settings(clinic_name="Clínica Aurora", clinic_phone="+551133334444")


def test_a_word_back_says_what_is_so_now() -> None:
    visits = [visit("2026-11-23T15:00"), visit("2026-11-23T09:00")]

    assert write_word_back(SHIPPED, "confirmed", visits, AURORA) == (
        "Que bom, Marina! A sua presença está confirmada: segunda-feira, 23 de novembro,"
        " às 9:00 e 15:00. Até breve!"
    )
    assert write_word_back(SHIPPED, "cancelled", visits[1:], AURORA) == (
        "Tudo bem, Marina. O seu horário de segunda-feira, 23 de novembro, às 9:00, foi cancelado."
        " Para marcar outro, fale com a gente pelo telefone (11) 3333-4444."
    )


@pytest.mark.parametrize("visits", [[], [visit("2026-11-23T09:00")]])
def test_what_is_told_of_no_visit_needs_none(visits: list[Appointment]) -> None:
    assert write_word_back(SHIPPED, "passed_on", visits, Settings()) == (
        "Recebemos a sua resposta, e a recepção vai falar com você. Se for urgente, fale com a"
        " gente pelos nossos canais de atendimento."
    )
    assert write_word_back(SHIPPED, "stopped", visits, AURORA) == (
        "Tudo bem: você não vai mais receber mensagens como essas. Se você tem um horário marcado,"
        " ele continua marcado. Para mudar ou desmarcar, fale com a gente pelo telefone"
        " (11) 3333-4444."
    )


@pytest.mark.parametrize("which", ["confirmed", "cancelled"])
def test_what_is_told_of_a_visit_needs_one_and_its_time(which: str) -> None:
    for visits in ([], [replace(visit("2026-11-23T09:00"), start=None)]):
        with pytest.raises(ValueError, match="when it is"):
            write_word_back(SHIPPED, which, visits, AURORA)


@pytest.mark.parametrize("others", ["Rui Souza", "None", None])
def test_a_word_back_names_nobody_where_it_is_about_two_people(others: str | None) -> None:
    visits = [visit("2026-11-23T09:00"), visit("2026-11-23T15:00", name=others)]

    text = write_word_back(SHIPPED, "confirmed", visits, AURORA)

    assert text.startswith("Que bom, recebemos a sua resposta! A sua presença")


@given(
    name=names,
    clinic_name=st.text(max_size=300),
    clinic_phone=st.one_of(st.none(), st.text(max_size=40)),
    which=st.sampled_from(["confirmed", "cancelled", "passed_on", "stopped"]),
    starts=st.lists(
        st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2040-01-01")),
        min_size=1,
        max_size=40,
    ),
)
def test_whatever_the_database_holds_a_word_back_can_be_sent(
    name: str | None,
    clinic_name: str,
    clinic_phone: str | None,
    which: str,
    starts: list[datetime],
) -> None:
    visits = [visit(start.isoformat(), name=name) for start in starts]
    settings = Settings(clinic_name=clinic_name, clinic_phone=clinic_phone)

    text = write_word_back(SHIPPED, which, visits, settings)

    assert text == " ".join(text.split()) != ""
    assert not set(text) & set("{}\n\r\t\u200b\u202e")
    assert "None" not in text
    assert length(text) == len(text.encode("utf-16-le")) // 2 <= 1024
