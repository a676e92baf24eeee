"""Reading the catalogue: what ships, what a clinic writes, and everything that is refused."""

import subprocess
import sys
import tomllib
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

import smartia_jobs
from smartia_jobs.catalogue.loading import Button, load_catalogue
from smartia_jobs.errors import ConfigurationError, ExitStatus
from smartia_jobs.kinds import KINDS, Conditions, ReminderKind
from smartia_jobs.timing import ReminderTimes

PACKAGE = Path(smartia_jobs.__file__).parent

#: The sections that ship.
SHIPPED = ("72h", "24h", "24h.confirmed", "2h", "no_show")

GOOD = {
    "name": '"lembrete_v1"',
    "language": '"pt_BR"',
    "category": '"UTILITY"',
    "body": '"Olá, {{paciente}}! Lembramos do seu horário marcado: {{data}}, até breve!"',
    "without_name": '"boas-vindas"',
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mensagens.toml"
    path.write_text(text, encoding="utf-8")
    return path


def section(head: str = "24h", **changes: str | None) -> str:
    """Return a good section of TOML with some of its lines changed or left out (None)."""
    lines = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return "\n".join([f"[{head}]", *(f"{key} = {value}" for key, value in lines.items())]) + "\n"


def refused(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(path)
    assert caught.value.exit_status is ExitStatus.CONFIGURATION
    return caught.value.problems


def test_the_shipped_catalogue_has_every_kind() -> None:
    templates = load_catalogue(None).templates

    assert tuple(templates) == SHIPPED
    assert {t.language for t in templates.values()} == {"pt_BR"}
    assert all(t.named for t in templates.values())
    assert {kind: t.category for kind, t in templates.items()} == {
        **dict.fromkeys(SHIPPED, "UTILITY"),
        "no_show": "MARKETING",
    }


def test_the_shipped_reminders_ask_by_two_quick_replies_and_whom_they_ask_only_once() -> None:
    catalogue = load_catalogue(None)
    confirm = Button("quick_reply", "Confirmar presença", means="confirm")
    cancel = Button("quick_reply", "Não poderei ir", means="cancel")

    assert {kind: t.buttons for kind, t in catalogue.templates.items()} == {
        "72h": (confirm, cancel),
        "24h": (confirm, cancel),
        "24h.confirmed": (cancel,),
        "2h": (),
        "no_show": (),
    }
    assert {kind: t.body.count("?") for kind, t in catalogue.templates.items()} == {
        "72h": 1,
        "24h": 1,
        "24h.confirmed": 0,
        "2h": 0,
        "no_show": 0,
    }
    assert [kind for kind, t in catalogue.templates.items() if t.call_button] == ["no_show"]


def test_no_shipped_reminder_outlives_its_use() -> None:
    catalogue = load_catalogue(None)

    assert catalogue["72h"].time_to_live == timedelta(hours=12)
    assert catalogue["24h"].time_to_live == timedelta(hours=6)
    assert catalogue["2h"].time_to_live == timedelta(minutes=45)
    assert catalogue["no_show"].time_to_live is None


def test_shipped_texts_name_no_day_or_distance_that_can_be_wrong() -> None:
    for template in load_catalogue(None).templates.values():
        words = template.body.casefold()

        assert not any(wrong in words for wrong in ("amanhã", "hoje", "2 horas", "faltou", "médic"))


def test_kinds_that_a_clinic_leaves_out_are_the_shipped_ones(tmp_path: Path) -> None:
    catalogue = load_catalogue(written(tmp_path, section("2h")))

    assert catalogue["2h"].name == "lembrete_v1"
    assert catalogue["2h"].call_button is None
    assert catalogue["24h"] == load_catalogue(None)["24h"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mensagens.toml"
    path.write_bytes(("\ufeff" + section()).replace("\n", "\r\n").encode())

    assert load_catalogue(path)["24h"].name == "lembrete_v1"


def test_everything_a_clinic_can_set_is_read(tmp_path: Path) -> None:
    text = section(footer='"Clínica Aurora"', call_button='"Ligar"', time_to_live_seconds="3600")
    buttons = """
        [[24h.buttons]]
        type = "quick_reply"
        text = "Confirmar"
        payload = "confirmar:{{id}}"
        [[24h.buttons]]
        type = "quick_reply"
        text = "Remarcar"
        means = "move"
        [[24h.buttons]]
        type = "url"
        text = "Como chegar"
        url = "https://clinica.example/mapa"
    """

    template = load_catalogue(written(tmp_path, text + buttons))["24h"]

    assert template.footer == "Clínica Aurora"
    assert template.call_button == "Ligar"
    assert template.time_to_live == timedelta(hours=1)
    assert template.parameters == {"paciente": "paciente", "data": "data"}
    assert template.buttons == (
        Button("quick_reply", "Confirmar", payload="confirmar:{{id}}"),
        Button("quick_reply", "Remarcar", means="move"),
        Button("url", "Como chegar", url="https://clinica.example/mapa"),
    )


CONFIRMED = {
    "name": '"lembrete_confirmado_v1"',
    "body": '"Olá, {{paciente}}! Até {{data}}, às {{hora}}: esperamos por você com alegria."',
    "buttons": '[{type = "quick_reply", text = "Não poderei ir", means = "cancel"}]',
}


def confirmed(head: str = "24h", **changes: str | None) -> str:
    """Return a good section for who confirmed already, changed as told."""
    return section(f"{head}.confirmed", **{**dict.fromkeys(GOOD), **CONFIRMED, **changes})


@pytest.mark.parametrize("head", ["24h", "5d"])
def test_a_reminder_may_have_a_text_of_its_own_for_who_confirmed_already(
    tmp_path: Path, head: str
) -> None:
    usual = section(head, **(OWN if head == "5d" else {}), time_to_live_seconds="3600")

    catalogue = load_catalogue(written(tmp_path, usual + confirmed(head)))

    text = catalogue[f"{head}.confirmed"]
    assert catalogue[head].confirmed == text
    assert text.name == "lembrete_confirmado_v1"
    assert text.buttons == (Button("quick_reply", "Não poderei ir", means="cancel"),)
    assert text.parameters == {"paciente": "paciente", "data": "data", "hora": "hora"}
    assert text.time_to_live == timedelta(hours=1)
    assert (text.language, text.category, text.without_name) == ("pt_BR", "UTILITY", "boas-vindas")
    assert text.reminder == catalogue.reminders[head]
    assert f"{head}.confirmed" not in catalogue.reminders


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, "name: is missing"),
        ({"body": None}, "body: is missing"),
        ({"body": '"Olá!"', "footer": '""'}, "footer: is empty"),
        ({"category": '"MARKETING"'}, "category: is that of its reminder; leave it out here"),
        ({"lead_hours": "5"}, "lead_hours: is that of its reminder; leave it out here"),
        ({"boddy": '"x"'}, "boddy: is unknown; did you mean body?"),
        ({"buttons": '[{type = "quick_reply", text = "Não", means = "no"}]'},
         "button 1: means: 'no' is none of"),
        ({"body": '"Até {{quando}}, e será um prazer receber você."'},
         "unknown variable {{quando}}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_that_text_is_told_by_its_section(
    tmp_path: Path, changes: dict[str, str | None], problem: str
) -> None:
    (found,) = refused(written(tmp_path, section() + confirmed("24h", **changes)))

    assert found.startswith(f"mensagens.toml [24h.confirmed]: {problem}")


def test_a_text_for_who_confirmed_needs_a_reminder_and_a_section(tmp_path: Path) -> None:
    invitation = section("no_show") + confirmed("no_show")

    assert refused(written(tmp_path, invitation)) == (
        "mensagens.toml [no_show]: confirmed: is only for reminders",
    )
    assert refused(written(tmp_path, section(confirmed='"Olá"'))) == (
        "mensagens.toml [24h]: confirmed: must be a section of its own, begun by [kind.confirmed]",
    )


def test_the_same_text_with_other_buttons_needs_another_name(tmp_path: Path) -> None:
    body, name = GOOD["body"], GOOD["name"]

    (problem,) = refused(written(tmp_path, section() + confirmed(body=body, name=name)))

    assert "[24h] and [24h.confirmed] have the same name lembrete_v1" in problem


def test_minus_one_is_metas_word_for_its_default_of_thirty_days(tmp_path: Path) -> None:
    path = written(tmp_path, section(time_to_live_seconds="-1"))

    assert load_catalogue(path)["24h"].time_to_live is None


def test_a_positional_template_says_what_its_numbers_stand_for(tmp_path: Path) -> None:
    body = '"Olá, {{1}}! Lembramos do seu horário marcado às {{3}} de {{2}}, até breve e obrigado!"'
    text = section(
        parameter_format='"positional"', variables='["paciente", "data", "hora"]', body=body
    )

    template = load_catalogue(written(tmp_path, text))["24h"]

    assert not template.named
    assert template.parameters == {"1": "paciente", "2": "data", "3": "hora"}


def test_one_template_may_serve_two_kinds(tmp_path: Path) -> None:
    catalogue = load_catalogue(written(tmp_path, section("24h") + section("2h")))

    assert catalogue["24h"].body == catalogue["2h"].body


LONG_WORDS = "palavra " * 120
REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "a name with capitals": ({"name": '"Lembrete V1"'}, "name: 'Lembrete V1' may only have a-z"),
    "an empty name": ({"name": '""'}, "name: '' may only have"),
    "a name too long": ({"name": f'"{"a" * 513}"'}, "at most 512"),
    "a name that is no text": ({"name": "24"}, "name: must be a text in quotes"),
    "no name": ({"name": None}, "name: is missing"),
    "a hyphen in the language": ({"language": '"pt-BR"'}, "write it like pt_BR"),
    "a language in words": ({"language": '"portugues"'}, "language: 'portugues' is no code"),
    "a language nobody speaks": ({"language": '"xx_YY"'}, "dates cannot be written in 'xx_YY'"),
    "no language": ({"language": None}, "language: is missing"),
    "an old category": ({"category": '"TRANSACTIONAL"'}, "is none of UTILITY, MARKETING"),
    "no category": ({"category": None}, "category: is missing"),
    "no body": ({"body": None}, "body: is missing"),
    "a blank body": ({"body": '"   "'}, "body: is empty"),
    "a body too long": ({"body": f'"{"a " * 600}fim"'}, "body: has 1203 characters"),
    "a body too long when filled in": (
        {"body": f'"Olá, {{{{paciente}}}}, {LONG_WORDS} até breve"'},
        "can reach 1037 characters when long names are filled in; Meta takes 1024: shorten it by",
    ),
    "a variable first": (
        {"body": '"{{paciente}}, lembramos do seu horário marcado"'},
        "begins or ends with a variable",
    ),
    "a variable last": (
        {"body": '"Lembramos do seu horário marcado: {{data}}\\n"'},
        "begins or ends with a variable",
    ),
    "two variables side by side": (
        {"body": '"Lembramos do seu horário marcado: {{data}} {{hora}}, até breve!"'},
        "two variables with nothing between",
    ),
    "too few words": (
        {"body": '"Olá, {{paciente}}! Dia {{data}}, obrigado."'},
        "has 3 words of its own for 2 variables",
    ),
    "five spaces in a row": (
        {"body": '"Olá, {{paciente}}!     Até breve, com carinho"'},
        "more than 4 spaces",
    ),
    "a variable of Python's": (
        {"body": '"Olá, {paciente}, lembramos do seu horário"'},
        "has a single brace",
    ),
    "an unknown variable": (
        {"body": '"Olá, {{nome}}, lembramos do seu horário"'},
        "unknown variable {{nome}}; there are paciente, clinica, data",
    ),
    "a variable with spaces inside": (
        {"body": '"Olá, {{ paciente }}, lembramos do seu horário"'},
        "unknown variable {{ paciente }}",
    ),
    "a number in a named template": (
        {"body": '"Olá, {{1}}, lembramos do seu horário"'},
        'numbers need parameter_format = "positional"',
    ),
    "a parameter format that is none": (
        {"parameter_format": '"numbered"'},
        "is none of named, positional",
    ),
    "variables in a named template": (
        {"variables": '["paciente"]'},
        'variables: is only for parameter_format = "positional"',
    ),
    "numbers with a gap": (
        {
            "parameter_format": '"positional"',
            "variables": '["paciente", "data"]',
            "body": '"Olá, {{1}}, lembramos do seu horário de {{3}}, até breve!"',
        },
        "without a gap",
    ),
    "numbers without variables": (
        {
            "parameter_format": '"positional"',
            "body": '"Olá, {{1}}, lembramos do seu horário"',
        },
        "the body has 1, variables has 0",
    ),
    "an unknown positional variable": (
        {
            "parameter_format": '"positional"',
            "variables": '["telefone"]',
            "body": '"Olá, {{1}}, lembramos do seu horário"',
        },
        "unknown variable {{telefone}}",
    ),
    "variables that are no texts": ({"variables": "[1, 2]"}, "variables: must be a list of names"),
    "nothing in place of a name": ({"without_name": None}, "without_name: is missing"),
    "a blank in place of a name": ({"without_name": '"\\u200b "'}, "without_name: is empty"),
    "a long stand-in": ({"without_name": f'"{"a" * 61}"'}, "without_name: has 61 characters"),
    "a long footer": ({"footer": f'"{"a" * 61}"'}, "footer: has 61 characters; at most 60"),
    "a footer with a variable": ({"footer": '"de {{clinica}}"'}, "footer: must be one line"),
    "a footer of two lines": ({"footer": '"uma\\nduas"'}, "footer: must be one line"),
    "an empty footer": ({"footer": '""'}, "footer: is empty; leave it out"),
    "a long call button": ({"call_button": f'"{"a" * 26}"'}, "call_button: has 26 characters"),
    "a reminder that lives too long": (
        {"time_to_live_seconds": "43201"},
        "43201 is not possible for UTILITY; 30 to 43200",
    ),
    "a reminder that lives too short": ({"time_to_live_seconds": "29"}, "29 is not possible"),
    "an invitation that lives too short": (
        {"time_to_live_seconds": "43199", "category": '"MARKETING"'},
        "43199 is not possible for MARKETING; 43200 to 2592000, or leave it out",
    ),
    "thirty days in Meta's word for an invitation": (
        {"time_to_live_seconds": "-1", "category": '"MARKETING"'},
        "-1 is not possible for MARKETING",
    ),
    "a time that is no whole number": (
        {"time_to_live_seconds": "3600.0"},
        "must be a whole number",
    ),
    "a time that is true": ({"time_to_live_seconds": "true"}, "must be a whole number"),
    "a misspelt key": ({"foter": '"x"'}, "foter: is unknown; did you mean footer?"),
    "a key from elsewhere": ({"xyz": '"x"'}, "xyz: is unknown"),
    "buttons that are no sections": ({"buttons": '["Confirmar"]'}, "buttons: must be sections"),
    "a button without a type": ({"buttons": '[{text = "Sim"}]'}, "button 1: type: must be one of"),
    "a button of a strange type": (
        {"buttons": '[{type = ["url"], text = "Sim"}]'},
        "button 1: type: must be one of quick_reply, url",
    ),
    "a button without a label": (
        {"buttons": '[{type = "quick_reply"}]'},
        "button 1: text: is missing",
    ),
    "a long label": (
        {"buttons": f'[{{type = "quick_reply", text = "{"a" * 26}"}}]'},
        "button 1: text: has 26 characters; at most 25",
    ),
    "a label that is no text": (
        {"buttons": '[{type = "quick_reply", text = 1}]'},
        "button 1: text: must be a text in quotes",
    ),
    "how to reach the clinic in another language": (
        {"language": '"en_US"', "body": '"Hi! See you on {{data}}, or call us {{contato}}. Bye!"'},
        "body: {{contato}} is Portuguese; in en_US write the phone itself into the text",
    ),
    "a url in a quick reply": (
        {"buttons": '[{type = "quick_reply", text = "Sim", url = "https://x.example"}]'},
        "button 1: url: is unknown; a quick_reply button has means, payload, text",
    ),
    "a meaning that nothing reads": (
        {"buttons": '[{type = "quick_reply", text = "Talvez", means = "maybe"}]'},
        "button 1: means: 'maybe' is none of confirm, cancel, move, stop",
    ),
    "a meaning in a link": (
        {"buttons": '[{type = "url", text = "Ver", url = "https://x.example", means = "move"}]'},
        "button 1: means: is unknown; a url button has text, url",
    ),
    "a tap that two programs read": (
        {"buttons": '[{type = "quick_reply", text = "Sim", means = "confirm", payload = "sim"}]'},
        "button 1: payload: is for a bot of your own, means for this program",
    ),
    "a url with a variable": (
        {"buttons": '[{type = "url", text = "Ver", url = "https://x.example/{{1}}"}]'},
        "button 1: url: must be a fixed http(s) address",
    ),
    "a long payload": (
        {"buttons": f'[{{type = "quick_reply", text = "Sim", payload = "{"a" * 120}{{{{id}}}}"}}]'},
        "button 1: payload: has 140 characters; at most 128",
    ),
    "quick replies apart": (
        {
            "buttons": '[{type = "quick_reply", text = "Sim"}, {type = "url", text = "Ver",'
            ' url = "https://x.example"}, {type = "quick_reply", text = "Não"}]'
        },
        "quick replies must stand together",
    ),
    "quick replies between a link and the call button": (
        {
            "call_button": '"Ligar"',
            "buttons": '[{type = "url", text = "Ver", url = "https://x.example"},'
            ' {type = "quick_reply", text = "Sim"}]',
        },
        "quick replies must stand together",
    ),
    "three links": (
        {
            "buttons": "["
            + ", ".join(
                f'{{type = "url", text = "{n}", url = "https://x.example"}}' for n in range(3)
            )
            + "]"
        },
        "Meta takes two url buttons",
    ),
    "eleven buttons with the call button": (
        {
            "call_button": '"Ligar"',
            "buttons": "["
            + ", ".join(f'{{type = "quick_reply", text = "{n}"}}' for n in range(10))
            + "]",
        },
        "there are 11 with the call button; Meta takes 10",
    ),
    "one label twice": (
        {"call_button": '"Sim"', "buttons": '[{type = "quick_reply", text = "Sim"}]'},
        "two have the same label",
    ),
}


@pytest.mark.parametrize(("changes", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_a_section_is_refused_by_file_and_kind_and_reason_alone(
    tmp_path: Path, changes: dict[str, str | None], problem: str
) -> None:
    found = refused(written(tmp_path, section("24h", **changes)))

    assert any(problem in each for each in found)
    assert all(each.startswith("mensagens.toml [24h]: ") for each in found)


def test_all_problems_of_all_kinds_are_told_at_once(tmp_path: Path) -> None:
    text = section("24h", name='"X"', footer='""', foo="1") + section("2h", language=None)

    found = refused(written(tmp_path, text + "[36h]\nname = 'y'\n"))

    assert len(found) == 5
    assert [each.split(":")[0] for each in found] == [
        "mensagens.toml [24h]",
        "mensagens.toml [24h]",
        "mensagens.toml [24h]",
        "mensagens.toml [2h]",
        "mensagens.toml [36h]",
    ]
    assert "there are 72h, 24h, 2h, no_show" in found[-1]


def test_a_kind_must_be_a_section(tmp_path: Path) -> None:
    assert refused(written(tmp_path, '24h = "Olá"')) == (
        "mensagens.toml [24h]: must be a section, begun by [24h]",
    )


def test_two_texts_cannot_have_one_name(tmp_path: Path) -> None:
    name = f'"{load_catalogue(None)["2h"].name}"'

    (problem,) = refused(written(tmp_path, section("24h", name=name)))

    assert "[24h] and [2h] have the same name smartia_lembrete_2h_v2" in problem


def test_what_is_not_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    (problem,) = refused(written(tmp_path, "[24h\n"))

    assert problem.startswith("mensagens.toml: is not TOML: ")
    assert "line 1" in problem


def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "mensagens.toml"
    path.write_bytes(section().encode("latin-1"))

    assert refused(path) == ("mensagens.toml: is not UTF-8 text; save it as UTF-8",)


@pytest.mark.parametrize("name", ["nada.toml", "."])
def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    (problem,) = refused(tmp_path / name)

    assert problem.startswith(f"MESSAGES_FILE: {tmp_path / name} cannot be read (")


def test_the_shipped_catalogue_is_part_of_the_package() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["smartia_jobs"]

    packaged = {path for glob in globs for path in PACKAGE.glob(glob)}

    assert PACKAGE / "catalogue" / "default.pt_BR.toml" in packaged


def test_the_shipped_catalogue_is_found_where_the_package_is_no_folder(tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in [*PACKAGE.glob("*.py"), *(PACKAGE / "catalogue").iterdir()]:
            if path.is_file():
                packed.write(path, path.relative_to(PACKAGE.parent))
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "from smartia_jobs.catalogue import loading\n"
        f"assert loading.__file__.startswith({str(archive)!r})\n"
        "print(*loading.load_catalogue(None).templates)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert done.stdout.split() == list(SHIPPED)


def test_the_shipped_catalogue_is_read_without_babel() -> None:
    program = (
        "import sys\n"
        "from smartia_jobs.catalogue import render, loading, definition\n"
        "loading.load_catalogue(None)\n"
        "print('babel' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"


# -- what answers are answered with -------------------------------------------------------------


def test_a_word_back_that_a_clinic_leaves_out_is_the_shipped_one(tmp_path: Path) -> None:
    text = '[words_back]\nconfirmed = " Até {{data}}, {{paciente}}! "\nwithout_name = "até lá"\n'

    words = load_catalogue(written(tmp_path, text)).words_back

    shipped = load_catalogue(None).words_back
    assert (words.texts["confirmed"], words.without_name) == (
        "Até {{data}}, {{paciente}}!",
        "até lá",
    )
    assert {**words.texts, "confirmed": ""} == {**shipped.texts, "confirmed": ""}
    assert words.language == shipped.language == "pt_BR"
    assert set(shipped.texts) == {"confirmed", "cancelled", "passed_on", "stopped"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('confirmd = "x"', "confirmd: is unknown; did you mean confirmed?"),
        ("confirmed = 1", "confirmed: must be a text in quotes"),
        ('stopped = " "', "stopped: is empty"),
        ('stopped = "Até {{data}}"',
         "stopped: {{data}} cannot stand here; there are paciente, clinica, contato"),
        ('passed_on = "Até {{hora}}"',
         "passed_on: {{hora}} cannot stand here; there are paciente, clinica, contato"),
        ('confirmed = "Até {{quando}}"', "confirmed: {{quando}} cannot stand here; there are"),
        ('confirmed = "Até {data}"', "confirmed: has a single brace"),
        (f'confirmed = "{"a" * 970}{{{{data}}}}ééééé"',
         "confirmed: can reach 1025 characters when long names are filled in; 1024 fit"),
        ('without_name = ""', "without_name: is empty"),
        ('language = "pt-BR"', "language: 'pt-BR' is no code of Meta's"),
        ('name = "x"', "name: is unknown"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_word_back_is_told_by_its_section(
    tmp_path: Path, line: str, problem: str
) -> None:
    (found,) = refused(written(tmp_path, f"[words_back]\n{line}\n"))

    assert found.startswith(f"mensagens.toml [words_back]: {problem}")


def test_words_back_in_another_language_are_all_the_clinics_own(tmp_path: Path) -> None:
    text = (
        '[words_back]\nlanguage = "en_US"\nconfirmed = "See you on {{data}}!"\n'
        'cancelled = "Cancelled. Ring us {{contato}}."\nwithout_name = "hello"\nstopped = "Done."\n'
    )

    assert refused(written(tmp_path, text)) == (
        "mensagens.toml [words_back]: passed_on: is missing, and the shipped one is Portuguese",
        "mensagens.toml [words_back]: cancelled: {{contato}} is Portuguese; in en_US write the"
        " phone itself into the text",
    )


def test_words_back_must_be_a_section(tmp_path: Path) -> None:
    assert refused(written(tmp_path, 'words_back = "Olá"')) == (
        "mensagens.toml [words_back]: must be a section, begun by [words_back]",
    )


# -- which visits a reminder leaves alone -------------------------------------------------------


def test_what_a_section_does_not_say_of_its_visits_is_as_shipped(tmp_path: Path) -> None:
    text = section("72h", booked_days_ahead="3") + section("24h", name='"b"', followed_by='"2h"')

    reminders = load_catalogue(written(tmp_path, text)).reminders

    assert reminders["72h"].conditions == Conditions(True, 3, "24h")
    assert reminders["24h"].conditions == Conditions(followed_by="2h")
    assert reminders["2h"].conditions == Conditions()


def test_a_section_may_do_without_the_conditions_that_are_shipped(tmp_path: Path) -> None:
    text = section("72h", only_unconfirmed="false", booked_days_ahead="0", followed_by='""')

    reminders = load_catalogue(written(tmp_path, text)).reminders

    assert reminders["72h"].conditions == Conditions()


@pytest.mark.parametrize(
    ("head", "changes", "problem"),
    [
        ("72h", {"only_unconfirmed": "1"}, "only_unconfirmed: must be true or false"),
        ("72h", {"booked_days_ahead": "true"}, "booked_days_ahead: must be a whole number of days"),
        ("72h", {"booked_days_ahead": "-1"}, "booked_days_ahead: must be from 0 to 365 days"),
        ("72h", {"booked_days_ahead": "366"}, "booked_days_ahead: must be from 0 to 365 days"),
        ("72h", {"followed_by": "24"}, "followed_by: must be a text in quotes"),
        ("72h", {"followed_by": '"no_show"'},
         "followed_by: must be a reminder nearer to the visit; there are: 24h, 2h"),
        ("24h", {"followed_by": '"72h"'},
         "followed_by: must be a reminder nearer to the visit; there are: 2h"),
        ("2h", {"followed_by": '"2h"'},
         "followed_by: must be a reminder nearer to the visit; there are: none"),
        ("no_show", {"only_unconfirmed": "true"}, "only_unconfirmed: is only for reminders"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_hold_is_refused(
    tmp_path: Path, head: str, changes: dict[str, str], problem: str
) -> None:
    assert refused(written(tmp_path, section(head, **changes))) == (
        f"mensagens.toml [{head}]: {problem}",
    )


# -- reminders of the clinic's own --------------------------------------------------------------

OWN = {"name": '"smartia_lembrete_5d_v1"', "lead_hours": "120", "every_hours": "24",
       "latest_hours": "72.5"}  # fmt: skip


def test_a_section_that_says_when_it_is_due_is_a_further_reminder(tmp_path: Path) -> None:
    text = section("5d", **OWN, followed_by='"72h"') + section("a_week-before", **OWN)

    catalogue = load_catalogue(written(tmp_path, text))

    hour = timedelta(hours=1)
    times = ReminderTimes(120 * hour, cadence=24 * hour, latest=72.5 * hour)
    own = ReminderKind("5d", times, conditions=Conditions(followed_by="72h"), own=True)
    assert [*catalogue.templates] == [*SHIPPED, "5d", "a_week-before"]
    assert catalogue.reminders["5d"] == catalogue["5d"].reminder == own
    assert own.command == "remind 5d"


@pytest.mark.parametrize(
    ("head", "changes", "problem"),
    [
        ("5d", {"lead_hours": None}, "lead_hours: is missing"),
        ("5d", {"every_hours": None}, "every_hours: is missing"),
        ("5d", {"latest_hours": None}, "latest_hours: is missing"),
        ("5d", {"lead_hours": '"120"'}, "lead_hours: must be a number of hours"),
        ("5d", {"lead_hours": "true"}, "lead_hours: must be a number of hours"),
        ("5d", {"lead_hours": "337"}, "lead_hours: must be from 0.1 to 336 hours"),
        ("5d", {"lead_hours": "nan"}, "lead_hours: must be from 0.1 to 336 hours"),
        ("5d", {"every_hours": "inf"}, "every_hours: must be from 0.01 to 168 hours"),
        ("5d", {"latest_hours": "0"}, "latest_hours: must be from 0.01 to 336 hours"),
        ("5d", {"lead_hours": "12"},
         "every_hours: must be less than twice lead_hours, or no run would remind some visits"),
        ("5d", {"latest_hours": "108.5"},
         "latest_hours: can be at most 108, or no run would remind some visits"),
        ("5d", {"followed_by": '"6d"'},
         "followed_by: must be a reminder nearer to the visit; there are: 72h, 24h, 2h"),
        ("5D", {}, "the name of a reminder may only have a-z, 0-9, _ and -, at most 20 characters"),
        ("a23456789012345678901", {},
         "the name of a reminder may only have a-z, 0-9, _ and -, at most 20 characters"),
        ("24h", {}, "lead_hours: is only for reminders of your own; set REMINDER_24H_LEAD_HOURS"
                    " instead"),
        ("no_show", {}, "lead_hours: is only for reminders of your own"),
    ],
)  # fmt: skip
def test_a_reminder_that_cannot_be_is_refused(
    tmp_path: Path, head: str, changes: dict[str, str | None], problem: str
) -> None:
    found = refused(written(tmp_path, section(head, **{**OWN, **changes})))

    assert found[0] == f"mensagens.toml [{head}]: {problem}"
    assert len(found) == (3 if head in KINDS else 1)


def test_a_name_of_a_reminder_may_have_twenty_characters(tmp_path: Path) -> None:
    text = section("a2345678901234567-_0", **OWN)

    assert "a2345678901234567-_0" in load_catalogue(written(tmp_path, text)).templates
