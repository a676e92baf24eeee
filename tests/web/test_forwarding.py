"""What SmartIA's API is sent of what our webhook receives: what is not for us, once."""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support import Clinic
from tests.support.program import surroundings
from tests.web.meta import SECRET, encoded, message, post, signature, status, value, written
from tests.web.test_webhook import PRIVATE, Serve, Webhook, migrate
from tests.web.test_webhook import serve as serve
from tests.whatsapp.loopback import (
    Loopback,
    Talk,
    after_request,
    answer,
    answering,
    be_silent,
    hang_up,
    loopback,
    saying,
    trickling,
)

#: How a name is looked up while a file is there: not at all, as by a name server that hangs.
HANGING = """
import pathlib, sys, time

def hang(event, arguments):
    while event == "socket.getaddrinfo" and arguments[0] == "localhost" and file.exists():
        time.sleep(0.01)

file = pathlib.Path(__file__).with_name("hanging")
sys.addaudithook(hang)
"""
#: How long a stand-in that says nothing stays there.
SILENCE_S = 10
#: As SmartIA's API answers whatever it is given.
TAKEN = answering(answer(b'{"received":true,"processed":1,"provider":"meta"}'))
PHONE = "5511987654321"


@dataclass(frozen=True, slots=True)
class Smartia:
    """SmartIA's API: it takes whatever it is given, and its chatbot answers most of it."""

    server: Loopback

    @property
    def url(self) -> str:
        return f"{self.server.url}/webhook/meta"

    @property
    def heard(self) -> list[dict[str, Any]]:
        """The statuses and messages it was passed, each post validly signed."""
        found = []
        for request in self.server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            assert f"X-Hub-Signature-256: {signature(body)}".encode() in head
            for entry in json.loads(body)["entry"]:
                for change in entry["changes"]:
                    pieces = change["value"]
                    found += pieces.get("statuses", []) + pieces.get("messages", [])
        return found

    @property
    def written_to(self) -> set[str]:
        """With whom its chatbot begins a dialogue: it takes a status for a message, too."""
        talks = [piece for piece in self.heard if {"text", "button", "status"} & piece.keys()]
        return {piece["recipient_id" if "status" in piece else "from"] for piece in talks}

    @property
    def ids(self) -> list[str]:
        return [piece["id"] for piece in self.heard]


@pytest.fixture
def smartia() -> Iterator[Smartia]:
    with loopback(TAKEN) as server:
        yield Smartia(server)


def installation(clinic: Clinic) -> str:
    return str(clinic.value("SELECT word FROM smartia_installation"))


def remind(clinic: Clinic, phone: str = PHONE) -> int:
    """Let a patient have been reminded of tomorrow's visit an hour ago."""
    migrate(clinic)
    now = datetime.now(ZoneInfo("America/Sao_Paulo"))
    start = (now + timedelta(days=1)).replace(tzinfo=None, second=0, microsecond=0)
    patient = clinic.add_patient("Maria", phone)
    visit = clinic.add_appointment(patient, start)
    sent_at = (now - timedelta(hours=1)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
    clinic.execute(
        "INSERT INTO smartia_outbox (appointment_id, kind, start, patient_id, phone, state, run_id,"
        " template, message_id, created_at, updated_at, sent_at, claimed_at) VALUES (:visit, '24h',"
        " :start, :patient, :phone, 'sent', 'r', 'smartia_lembrete_24h_v2', 'wamid.OURS', :at, :at,"
        " :at, :at)",
        visit=visit,
        start=start if clinic.dialect == "postgresql" else f"{start:%Y-%m-%d %H:%M:%S.%f}",
        patient=patient,
        phone=f"+{phone}",
        at=sent_at if clinic.dialect == "postgresql" else f"{sent_at:%Y-%m-%d %H:%M:%S.%f}",
    )
    return int(clinic.value("SELECT id FROM smartia_outbox"))


def timed(webhook: Webhook, payload: Any) -> tuple[int, float]:
    """Post, and return what was answered after how many seconds."""
    began_s = time.monotonic()
    answered = webhook.say(payload)
    return answered, time.monotonic() - began_s


def now() -> str:
    return str(int(datetime.now(UTC).timestamp()))


def from_patient(element: Mapping[str, Any], phone: str = PHONE) -> dict[str, Any]:
    return {**element, "from": phone, "timestamp": now()}


def test_what_is_ours_is_kept_and_all_else_is_passed_on(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    row = remind(clinic)
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)
    word = installation(clinic)
    tap = {"payload": f"confirm:{word}:{row}", "text": "Confirmar presença"}

    answered = webhook.say(
        post(
            value(
                statuses=[
                    status("ours", biz_opaque_callback_data=f"{word}:{row}:1"),
                    status("theirs"),
                    status("anothers", biz_opaque_callback_data=f"ffffffff:{row}:1"),
                ],
                messages=[
                    from_patient(message("button", "tap", button=tap)),
                    from_patient(written("Sim, obrigada", "understood")),
                    from_patient(written("sim, mas posso remarcar?", "unclear")),
                    from_patient(message("audio", "voice", audio={"id": "9"})),
                    from_patient(written("Sim", "stranger"), "5521912345678"),
                ],
            )
        )
    )

    assert answered == 200
    assert sorted(smartia.ids) == ["anothers", "stranger", "theirs", "unclear", "voice"]


def test_what_comes_again_is_not_passed_on_again(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    remind(clinic)
    chat = clinic.add_conversation(clinic.value("SELECT id FROM patients"), "CONFIRM")
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)
    words = from_patient(written("Sim", "understood"))
    payload = post(value(statuses=[status("theirs")], messages=[words]))

    first = webhook.say(payload)
    # From now on the same words would be its chatbot's.
    asked_at = datetime.now(ZoneInfo("America/Sao_Paulo")) - timedelta(minutes=5)
    clinic.add_interaction(chat, "Posso marcar?", type="OUTGOING", created_at=asked_at)
    again = [webhook.say(payload) for _ in range(2)]

    assert (first, again) == (200, [200, 200])
    assert smartia.ids == ["theirs"]


def test_the_chatbot_begins_no_dialogue_about_our_messages(
    sqlite_clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    row = remind(sqlite_clinic)
    webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=smartia.url)
    ours = {
        "recipient_id": PHONE,
        "biz_opaque_callback_data": f"{installation(sqlite_clinic)}:{row}:1",
    }
    said = ["Sim", "não posso ir", "Confirmado 👍", "SAIR"]

    for delivery in ("sent", "delivered", "read"):
        webhook.say(post(value(statuses=[status("wamid.OURS", delivery, **ours)])))
    for number, words in enumerate(said):
        webhook.say(post(value(messages=[from_patient(written(words, f"m{number}"))])))
    thumb = {"emoji": "👍", "message_id": "wamid.OURS"}
    webhook.say(post(value(messages=[from_patient(message("reaction", "r", reaction=thumb))])))
    webhook.say(post(value(messages=[from_patient(written("Olá", "hello"), "5521912345678")])))

    assert smartia.written_to == {"5521912345678"}


def test_a_word_to_its_chatbot_is_passed_on_to_it(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    remind(clinic)
    patient = clinic.value("SELECT id FROM patients")
    chat = clinic.add_conversation(patient, "CONFIRM")
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)

    webhook.say(post(value(messages=[from_patient(written("Sim", "to us"))])))
    asked_at = datetime.now(ZoneInfo("America/Sao_Paulo")) - timedelta(minutes=5)
    clinic.add_interaction(chat, "Posso marcar?", type="OUTGOING", created_at=asked_at)
    webhook.say(post(value(messages=[from_patient(written("Sim", "to the chatbot"))])))

    assert smartia.ids == ["to the chatbot"]


def test_two_services_pass_each_thing_on_once(
    postgres_clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    migrate(postgres_clinic)
    services = [serve(postgres_clinic, WEBHOOK_FORWARD_URL=smartia.url) for _ in range(2)]
    payloads = [post(value(statuses=[status(f"w{n}")])) for n in range(20)]

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(one.say, payload) for payload in payloads for one in services]

    assert {one.result() for one in answers} == {200}
    assert sorted(smartia.ids) == sorted(f"w{n}" for n in range(20))


def test_the_same_twice_in_one_post_is_passed_on_once(
    sqlite_clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    migrate(sqlite_clinic)
    webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=smartia.url)

    webhook.say(
        post(
            value(statuses=[status("twice"), status("twice")]),
            *[value(messages=[written("?", "m")])] * 2,
        )
    )

    assert sorted(smartia.ids) == ["m", "twice"]


def test_a_status_of_our_message_is_ours_by_its_id_too(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    remind(clinic)
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)

    webhook.say(post(value(statuses=[status("wamid.OURS"), status("theirs")])))

    assert smartia.ids == ["theirs"]


def test_while_smartia_is_silent_what_is_ours_is_answered_at_once(
    clinic: Clinic, serve: Serve
) -> None:
    row = remind(clinic)
    with loopback(after_request(be_silent)) as server, ThreadPoolExecutor(12) as threads:
        webhook = serve(clinic, WEBHOOK_FORWARD_URL=Smartia(server).url)
        others = [
            threads.submit(timed, webhook, post(value(statuses=[status(f"theirs{number}")])))
            for number in range(12)
        ]
        while not server.requests:
            time.sleep(0.01)
        ours = status("ours", biz_opaque_callback_data=f"{installation(clinic)}:{row}:1")

        answered, within_s = timed(webhook, post(value(statuses=[ours])))
        answers = [one.result() for one in others]

    assert answered == 200
    # Whoever is passed on waits for SmartIA, but not as long as it is silent.
    longest_s = max(seconds for _, seconds in answers)
    assert within_s < longest_s < SILENCE_S
    # Who found no turn surely sent nothing.
    passed_on = [number for number, _ in answers].count(200)
    assert (
        passed_on
        == len(server.requests)
        == clinic.value("SELECT count(*) FROM smartia_forwarded") - 1
    )


def test_while_smartia_is_surely_not_reached_meta_is_asked_to_come_again(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    migrate(clinic)
    with loopback(TAKEN) as server:
        away = Smartia(server).url
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=away)
    payload = post(value(statuses=[status("theirs")]))

    refused = [webhook.say(payload) for _ in range(2)]
    noted = clinic.rows("SELECT mark FROM smartia_forwarded")
    stored = webhook.statuses
    webhook.end()
    back = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)
    taken = [back.say(payload) for _ in range(2)]

    assert (refused, noted, stored) == ([503, 503], [], [("theirs", "delivered")])
    assert (taken, smartia.ids) == ([200, 200], ["theirs"])


def test_what_waits_behind_a_name_server_that_hangs_is_passed_on_when_it_comes_again(
    sqlite_clinic: Clinic, serve: Serve, smartia: Smartia, tmp_path: Path
) -> None:
    migrate(sqlite_clinic)
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    hanging = tmp_path / "hanging"
    hanging.touch()
    path = os.pathsep.join([str(tmp_path), surroundings({})["PYTHONPATH"]])
    url = smartia.url.replace("127.0.0.1", "localhost")
    webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=url, PYTHONPATH=path)
    posts = [post(value(statuses=[status(f"theirs{number}")])) for number in range(9)]

    with ThreadPoolExecutor(len(posts)) as threads:
        answered = list(threads.map(webhook.say, posts))
    hanging.unlink()
    for _ in range(1000):
        if len(smartia.server.requests) == 8:
            break
        time.sleep(0.01)
    again = [webhook.say(one) for one in posts]

    # Eight could leave yet, so nobody asked for them again; the ninth surely had not.
    assert (sorted(answered), again) == ([200] * 8 + [503], [200] * 9)
    assert sorted(smartia.ids) == [f"theirs{number}" for number in range(9)]


@pytest.mark.parametrize(
    "talk",
    [
        after_request(be_silent),
        after_request(hang_up),
        after_request(trickling(answer(b"{}"))),
        after_request(saying(b"what?\r\n\r\n")),
        answering(answer(b"", status="500 Internal Server Error")),
    ],
    ids=["silent", "hanging up", "trickling", "babbling", "refusing"],
)
def test_what_may_have_arrived_is_never_passed_on_again(
    sqlite_clinic: Clinic, serve: Serve, talk: Talk
) -> None:
    migrate(sqlite_clinic)
    with loopback(talk) as server:
        webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=Smartia(server).url)
        payload = post(value(statuses=[status("theirs")]))

        answered = [webhook.say(payload) for _ in range(2)]

    assert answered == [200, 200]
    assert len(server.requests) == 1


def test_what_was_on_its_way_when_the_service_was_killed_is_never_passed_on_again(
    clinic: Clinic, serve: Serve
) -> None:
    migrate(clinic)
    payload = post(value(statuses=[status("theirs")]))
    with loopback(after_request(be_silent)) as server, ThreadPoolExecutor(1) as meta:
        killed = serve(clinic, WEBHOOK_FORWARD_URL=Smartia(server).url)
        unanswered = meta.submit(killed.say, payload)
        while not server.requests:
            time.sleep(0.01)
        killed.end(signal.SIGKILL)

        answered = serve(clinic, WEBHOOK_FORWARD_URL=Smartia(server).url).say(payload)

    assert isinstance(unanswered.exception(), OSError)
    assert answered == 200
    assert len(server.requests) == 1


def test_what_is_stored_and_not_yet_passed_on_is_when_it_comes_again(
    clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    remind(clinic)
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)
    payload = post(value(messages=[from_patient(written("?", "unclear"))]))

    clinic.execute("ALTER TABLE patients RENAME TO elsewhere")
    refused, stored = webhook.say(payload), webhook.answers
    clinic.execute("ALTER TABLE elsewhere RENAME TO patients")
    taken = [webhook.say(payload) for _ in range(2)]

    assert (refused, stored) == (503, ["unclear"])
    assert (taken, smartia.ids) == ([200, 200], ["unclear"])
    assert "is not passed on yet" in webhook.end()


def test_other_fields_are_passed_on_as_they_are(
    sqlite_clinic: Clinic, serve: Serve, smartia: Smartia
) -> None:
    migrate(sqlite_clinic)
    webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=smartia.url)
    payload = post({"event": "PAUSED", "message_template_name": "x"}, field="calls")

    webhook.say(payload)

    (request,) = smartia.server.requests
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == payload


def test_nothing_that_is_passed_on_is_logged(clinic: Clinic, serve: Serve) -> None:
    migrate(clinic)
    with loopback(answering(answer(b"", status="500 No"))) as server:
        webhook = serve(clinic, WEBHOOK_FORWARD_URL=Smartia(server).url, LOG_FORMAT="json")
        body = encoded(post(value(messages=[written("Sim, é o exame", "wamid.SECRET")])))
        assert webhook.send(body) == 200
        logged = webhook.end()

    assert "did not take a post" in logged
    assert not [one for one in (*PRIVATE, "exame") if one in logged]


def test_it_needs_a_webhook(sqlite_clinic: Clinic, start_cli: Any) -> None:
    env = {"DATABASE_URL": sqlite_clinic.url, "WEBHOOK_FORWARD_URL": "https://api.example.org/x"}
    process = start_cli("serve", env={**env, "HTTP_AUTH": "token", "HTTP_TOKEN": SECRET})

    _, told = process.communicate(timeout=60)

    assert process.returncode == 78
    assert "WEBHOOK_FORWARD_URL" in told


def test_what_is_stored_is_acted_on_although_smartia_is_away(
    sqlite_clinic: Clinic, serve: Serve
) -> None:
    remind(sqlite_clinic)
    with loopback(TAKEN) as server:
        away = Smartia(server).url
    webhook: Webhook = serve(sqlite_clinic, WEBHOOK_FORWARD_URL=away)

    webhook.say(
        post(value(statuses=[status("theirs")], messages=[from_patient(written("?", "m"))]))
    )

    assert webhook.answers == ["m"]
