"""No phone, name, text or token in anything the program writes about a day on which much fails."""

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smartia_jobs.catalogue.definition import shipped_definitions
from smartia_jobs.sandbox.account import PHONE_NUMBER_ID
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox
from tests.support import Clinic, RunCli
from tests.support.leaks import Secrets, leaks
from tests.support.program import surroundings
from tests.support.terminal import run_on_terminal

_ROOT = Path(__file__).resolve().parents[2]
_ZONE = ZoneInfo("America/Sao_Paulo")
_TOKEN = "EAAGm0PX4ZCpsBAKsecret"
_APP_SECRET = "0123456789abcdef0123456789abcdef"
_CHAT = "Tenho uma dor no joelho esquerdo"

#: Name, phone as somebody typed it, and what WhatsApp answers.
_PATIENTS: tuple[tuple[str | None, str, Scripted], ...] = (
    ("Zuleica Quaresma", "5511987650001", Scripted()),
    ("Querubim Ávila", "(11) 98765-0002", Scripted(code=131026, details="+55 11 98765-0002")),
    ("Hermenegildo Sá", "+55 31 98765-0003", Scripted(code=131000, details="5531987650003")),
    ("Iolanda Vasques", "553187650004", Scripted(status=502, body="<p>+553187650004</p>")),
    ("Jacira Brandão", "021 98765 0005", Scripted(cut=True, accepted=True)),
    ("Xisto Camargo", "11.98765.0006", Scripted(status=200, body='{"to": "5511987650006"')),
    ("Wanda Figueira", "+5511987650007", Scripted(code=131050, details="Wanda Figueira")),
    ("Ymir Ptolomeu", "+44 7700 900123", Scripted(code=130497)),
    ("Teodoro Esteves", "98765-0008", Scripted()),
    (None, "5511987650009", Scripted(code=132018, details="(#132018) Zuleica Quaresma")),
    ("Ondina Falcão", "5511987650010", Scripted()),
)

_SECRETS = Secrets(
    names=[name for name, _, _ in _PATIENTS if name],
    phones=[phone for _, phone, _ in _PATIENTS],
    texts=[_CHAT],
    words=[_TOKEN, _APP_SECRET, "wamid."],
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(templates=shipped_definitions(clinic_name="Clínica Aurora")) as server:
        yield server


def settings(clinic: Clinic, sandbox: Sandbox) -> dict[str, str]:
    return {
        "DATABASE_URL": clinic.url,
        "STORED_TIMES": "wall",
        "META_ACCESS_TOKEN": _TOKEN,
        "META_APP_SECRET": _APP_SECRET,
        "META_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        "META_API_URL": sandbox.url,
        "LOG_LEVEL": "DEBUG",
    }


def book(clinic: Clinic, sandbox: Sandbox) -> None:
    """Book a visit for each patient, tomorrow at this hour; each has chatted with the clinic."""
    tomorrow = (datetime.now(_ZONE) + timedelta(hours=24)).replace(tzinfo=None, microsecond=0)
    for minute, (name, phone, answer) in enumerate(_PATIENTS):
        patient = clinic.add_patient(name, phone)
        clinic.add_interaction(clinic.add_conversation(patient), _CHAT)
        clinic.add_appointment(patient, tomorrow + timedelta(minutes=minute))
        sandbox.script(phone, answer)


def refuse_a_text(clinic: Clinic) -> None:
    """Let the database refuse the interaction of one message, quoting it where it can."""
    if clinic.dialect == "sqlite":
        clinic.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON interactions"
            " WHEN NEW.message_text LIKE '%Zuleica%' BEGIN"
            " SELECT RAISE(ABORT, 'Zuleica Quaresma, 5511987650001'); END"
        )
    else:
        clinic.execute(
            "ALTER TABLE interactions ADD CONSTRAINT refuse"
            " CHECK (message_text NOT LIKE '%Zuleica%')"
        )


def keep_busy(clinic: Clinic, sandbox: Sandbox) -> threading.Thread:
    """Hold the database for a while as soon as the first message has arrived."""
    begin = "BEGIN IMMEDIATE" if clinic.dialect == "sqlite" else "BEGIN"

    def hold() -> None:
        for _ in range(600):
            if sandbox.received:
                break
            time.sleep(0.02)
        clinic.execute(begin)
        if clinic.dialect == "postgresql":
            clinic.execute("LOCK TABLE smartia_outbox IN EXCLUSIVE MODE")
        time.sleep(1.5)
        clinic.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    return thread


def read_texts(clinic: Clinic) -> list[str]:
    rows = clinic.rows("SELECT message_text FROM interactions WHERE message_type = 'template'")
    return [row["message_text"] for row in rows]


def assert_private(output: str, clinic: Clinic, sandbox: Sandbox) -> None:
    received = sandbox.received
    texts = [one["text"] for one in received if one["text"]] + read_texts(clinic)
    ids = [one["wamid"] for one in received if one["wamid"]]
    assert texts
    assert ids
    more = Secrets(texts=texts, words=ids)
    assert leaks(output, _SECRETS) == []
    assert leaks(output, more) == []


@pytest.mark.parametrize(
    ("engine", "log_format"), [("sqlite_clinic", "text"), ("postgres_clinic", "json")]
)
def test_a_day_of_many_faults_is_told_without_a_word_about_anybody(
    run_cli: RunCli,
    sandbox: Sandbox,
    request: pytest.FixtureRequest,
    engine: str,
    log_format: str,
) -> None:
    clinic: Clinic = request.getfixturevalue(engine)
    book(clinic, sandbox)
    env = settings(clinic, sandbox) | {"LOG_FORMAT": log_format}
    run_cli("2h", env=env)  # makes our tables
    refuse_a_text(clinic)
    busy = keep_busy(clinic, sandbox)

    first = run_cli("24h", "--json", env=env)
    busy.join()
    second = run_cli("24h", env=env)

    counts = first.json
    assert min(counts["sent"], counts["failed"], counts["unknown"]) > 0
    assert first.stderr.count("action") >= len(_PATIENTS) - 2
    assert first.stderr.count("WARNING") >= 2  # the busy database, the refused interaction
    assert "run_finished" in first.stderr
    for result in (first, second):
        assert_private(result.stdout + result.stderr, clinic, sandbox)


def test_commands_that_show_patients_mask_them(
    run_cli: RunCli, sqlite_clinic: Clinic, sandbox: Sandbox
) -> None:
    book(sqlite_clinic, sandbox)
    env = settings(sqlite_clinic, sandbox)

    shown = [run_cli("24h", "--dry-run", *more, env=env) for more in ((), ("--json",))]

    assert all(result.exit_code == 0 for result in shown)
    assert "****" in shown[0].stdout
    assert leaks("".join(r.stdout + r.stderr for r in shown), _SECRETS) == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"META_ACCESS_TOKEN": ""}, 78),
        ({"META_ACCESS_TOKEN": f"{_TOKEN} \x07"}, 78),
        ({"ONLY_TO": "5511987650001, Zuleica Quaresma"}, 78),
        ({"DATABASE_URL": f"postgresql://smartia:{_TOKEN}@127.0.0.1:1/smartia"}, 69),
    ],
)
def test_a_wrong_setting_is_named_without_its_personal_value(
    run_cli: RunCli,
    sandbox: Sandbox,
    sqlite_clinic: Clinic,
    fault: dict[str, str],
    status: int,
) -> None:
    env = settings(sqlite_clinic, sandbox)

    result = run_cli("24h", "--json", env=env | fault)

    assert result.exit_code == status
    (name,) = fault
    assert name in result.stderr
    assert leaks(result.stdout + result.stderr, _SECRETS) == []


def test_a_terminal_shows_no_more(sqlite_clinic: Clinic, sandbox: Sandbox, tmp_path: Path) -> None:
    book(sqlite_clinic, sandbox)
    refuse_a_text(sqlite_clinic)
    env = settings(sqlite_clinic, sandbox)

    result = run_on_terminal("24h", env=env, cwd=tmp_path, stdout_too=True, columns=400)

    assert "action=message" in result.screen
    assert_private(result.screen, sqlite_clinic, sandbox)


#: What patients write, and whether a database refuses to act on it.
_WRITTEN = (
    ("Não posso, estou com febre e catapora", "text"),
    ("sim", "text"),
    ("não vou poder", "text"),
    ("SAIR", "text"),
    ("número errado", "text"),
)


def hear(clinic: Clinic, sandbox: Sandbox) -> None:
    """Let patients answer, one of them on a visit that the database does not let be changed."""
    now = datetime.now(ZoneInfo("UTC"))
    at = now if clinic.dialect == "postgresql" else f"{now:%Y-%m-%d %H:%M:%S.%f}"
    told = [one for one in sandbox.received if one["accepted"]]
    answers: list[tuple[str, str, str | None, str | None]] = [
        (text, kind, None, None) for text, kind in _WRITTEN
    ]
    (payload,) = (text for text in told[0]["payloads"].values() if text.startswith("confirm"))
    answers.append(("Confirmar presença", "button", payload, told[0]["wamid"]))
    for number, (text, kind, button, context) in enumerate(answers):
        clinic.execute(
            "INSERT INTO smartia_answers (message_id, source, phone, type, text, payload,"
            " context_id, said_at, received_at) VALUES (:id, 'webhook', :phone, :kind, :text,"
            " :payload, :context, :at, :at)",
            id=f"wamid.IN{number}",
            phone=told[0]["wa_id"] if context else told[number % len(told)]["wa_id"],
            kind=kind,
            text=text,
            payload=button,
            context=context,
            at=at,
        )
    refused = int(
        clinic.value(
            "SELECT min(appointment_id) FROM smartia_outbox WHERE message_id = :id",
            id=told[0]["wamid"],
        )
    )
    if clinic.dialect == "sqlite":
        clinic.execute(
            f"CREATE TRIGGER keep BEFORE UPDATE ON appointments WHEN NEW.id = {refused} BEGIN"
            " SELECT RAISE(ABORT, 'Zuleica Quaresma, 5511987650001'); END"
        )
    else:
        clinic.execute(
            "ALTER TABLE appointments ADD CONSTRAINT keep"
            f" CHECK (id <> {refused} OR status <> 'CONFIRMED')"
        )


@pytest.mark.parametrize("engine", ["sqlite_clinic", "postgres_clinic"])
def test_what_patients_answer_is_acted_on_without_a_word_about_anybody(
    run_cli: RunCli, sandbox: Sandbox, request: pytest.FixtureRequest, engine: str
) -> None:
    clinic: Clinic = request.getfixturevalue(engine)
    book(clinic, sandbox)
    env = settings(clinic, sandbox)
    run_cli("24h", env=env)
    hear(clinic, sandbox)
    said = Secrets(texts=["estou com febre e catapora"], words=["catapora", "wamid.IN"])

    shown = [
        run_cli(*command, env=env)
        for command in (
            ("replies", "--dry-run"),
            ("replies", "--dry-run", "--json"),
            ("replies", "--json"),
            ("replies",),
            ("replies", "list"),
            ("replies", "list", "--json"),
            ("replies", "settle", "1"),
            ("replies", "undo", "2", "3"),
            ("outbox", "--state", "failed"),
        )
    ]

    counts = shown[2].json
    assert counts["answers"] >= len(_WRITTEN)
    assert counts["listed"] > 0
    assert "an answer could not be acted on" in shown[2].stderr
    assert "****" in shown[4].stdout
    for result in shown:
        assert_private(result.stdout + result.stderr, clinic, sandbox)
        assert leaks(result.stdout + result.stderr, said) == []


def test_what_patients_write_is_shown_on_a_terminal_alone(
    run_cli: RunCli, sqlite_clinic: Clinic
) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url}

    for command in (("replies", "list"), ("replies", "--dry-run")):
        assert run_cli(*command, "--show-texts", env=env).exit_code == 2
    assert run_cli("replies", "--show-texts", env=env).exit_code == 2


#: Errors that nobody foresaw, with a patient in their words: where messages are written, in the
#: thread that sends them, and where the database is read.
_BUGS = {
    "writing": (
        "import smartia_jobs.catalogue.render as module\n"
        "def bug(template, visits, **_):\n"
        "    raise ValueError(f'{visits[0].patient_name}, {visits[0].phone}')\n"
        "module.write_message = bug\n"
    ),
    "sending": (
        "import smartia_jobs.whatsapp.client as module\n"
        "send = module.Client.send\n"
        "def bug(self, phone, message, **more):\n"
        "    if phone.wire.endswith('0002'):\n"
        "        raise KeyError(phone.wire, message.text) from ValueError(phone.canonical)\n"
        "    return send(self, phone, message, **more)\n"
        "module.Client.send = bug\n"
    ),
    "reading": (
        "import smartia_jobs.clinic.appointments as module\n"
        "def bug(self, row):\n"
        "    raise TypeError(f'{row}')\n"
        "module.Appointments._appointment = bug\n"
    ),
}


@pytest.mark.parametrize(
    ("where", "log_format"), [("writing", "json"), ("sending", "json"), ("reading", "text")]
)
def test_a_bug_is_told_by_its_place_and_kind_alone(
    sqlite_clinic: Clinic, sandbox: Sandbox, tmp_path: Path, where: str, log_format: str
) -> None:
    book(sqlite_clinic, sandbox)
    env = settings(sqlite_clinic, sandbox)
    program = (
        f"import sys\n{_BUGS[where]}"
        "from smartia_jobs.cli import main\n"
        "sys.argv[1:] = ['24h', '--json']\n"
        "sys.exit(main())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**surroundings(env), "LOG_FORMAT": log_format},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )

    assert "Traceback" in done.stderr
    assert leaks(done.stdout + done.stderr, _SECRETS) == []


@pytest.mark.parametrize(
    "output",
    [
        "patient QUERUBIM",
        '{"message":"\\u00c1vila"}',
        "to +55 (11) 9 8765-0002",
        "to 1187650002",
        "55-11-98765.0002",
        "id wamid.HBgN" + base64.b64encode(b"\x18\x0d5511987650002\x15\x02").decode(),
        "id " + base64.urlsafe_b64encode(b"a5511987650002??>").decode(),
        "id x" + base64.b64encode(b"ab5511987650002").decode(),
        json.dumps({"text": "… tenho uma dor no joelho esquerdo"}),
        f"Bearer {_TOKEN}",
    ],
)
def test_the_search_finds(output: str) -> None:
    assert leaks(output, _SECRETS) != []


def test_the_search_lets_masked_phones_and_counts_pass() -> None:
    output = '{"phone": "+55 11 9****-0002", "run_id": "20261123T010719Z-027e0687", "due": 11}'

    assert leaks(output, _SECRETS) == []
