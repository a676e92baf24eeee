"""What SmartIA's API gets to hear of what our webhook hears: what is not for us, once."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support import Clinic
from tests.web.meta import SECRET, encoded, message, post, signature, status, value, written
from tests.web.test_webhook import PRIVATE, Serve, Webhook, migrate
from tests.web.test_webhook import serve as serve
from tests.whatsapp.loopback import Loopback, Talk, answer, answering, be_silent, hearing, loopback

#: As SmartIA's API answers whatever it is given.
TAKEN = answering(answer(b'{"received":true,"processed":1,"provider":"meta"}'))
PHONE = "5511987654321"


@dataclass(frozen=True, slots=True)
class Smartia:
    """SmartIA's API, as far as a post reaches it."""

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
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=smartia.url)
    words = from_patient(written("Sim", "understood"))
    payload = post(value(statuses=[status("theirs")], messages=[words]))

    first = webhook.say(payload)
    clinic.execute("UPDATE appointments SET status = 'CANCELLED'")
    again = [webhook.say(payload) for _ in range(2)]

    assert (first, again) == (200, [200, 200])
    assert smartia.ids == ["theirs"]


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


def test_while_smartia_is_surely_not_reached_meta_is_asked_to_come_again(
    clinic: Clinic, serve: Serve
) -> None:
    migrate(clinic)
    with loopback(TAKEN) as server:
        away = Smartia(server).url
    webhook = serve(clinic, WEBHOOK_FORWARD_URL=away)
    payload = post(value(statuses=[status("theirs")]))

    assert [webhook.say(payload) for _ in range(2)] == [503, 503]

    assert webhook.statuses == [("theirs", "delivered")]
    assert clinic.rows("SELECT mark FROM smartia_forwarded") == []


@pytest.mark.parametrize(
    "talk",
    [hearing(be_silent), answering(answer(b"", status="500 Internal Server Error"))],
    ids=["silent", "refusing"],
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
