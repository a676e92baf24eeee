"""``serve --clinics`` over a real port: whose each part of a post is, and who stops whom."""

import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartia_jobs.database import Database
from tests.support import Clinic, RunCli, StartCli
from tests.support.terminal import TerminalWindow
from tests.web.folder import SECRETS, TOKEN, Folder, Service, about, migrate, serving
from tests.web.meta import post, signature, status, written
from tests.web.test_forwarding import TAKEN
from tests.web.test_webhook import Webhook, _children, _until, add_sent
from tests.web.test_webhook_faults import _gone
from tests.whatsapp.loopback import Loopback, loopback

#: Never in a log line, whatever is posted.
PRIVATE = ("554198765432", "wamid", "Sim", TOKEN, *SECRETS.values())


@pytest.fixture(params=["sqlite", "postgresql"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, _empty_smartia: Path
) -> Iterator[Folder]:
    """An empty folder; the test runs once with the clinics on each engine."""
    server = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    yield from _made(Folder(tmp_path / "clinics", _empty_smartia, server))


@pytest.fixture
def files(tmp_path: Path, _empty_smartia: Path) -> Iterator[Folder]:
    """An empty folder, for clinics on SQLite."""
    yield from _made(Folder(tmp_path / "clinics", _empty_smartia, None))


def _made(folder: Folder) -> Iterator[Folder]:
    folder.path.mkdir()
    yield folder
    assert folder.close() == 0


Serve = Callable[..., Service]


# Tests name the folder before it: what serves must end before its databases do.
@pytest.fixture
def serve(start_cli: StartCli) -> Serve:
    """Serve a folder; on PostgreSQL as on Cloud Run, without jobs that outlive the test."""

    def begin(folder: Folder, **env: str) -> Service:
        if folder.postgres is not None:
            env = {"K_SERVICE": "webhook", **env}
        return serving(start_cli, folder, {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", **env})

    return begin


@pytest.fixture
def two(folder: Folder, serve: Serve) -> Service:
    """It serves two clinics, each with an app of its own."""
    folder.add("centro")
    folder.add("norte")
    return serve(folder)


def lines(logged: str) -> list[dict[str, Any]]:
    """Return the log lines; a job that is ended while it begins says so in plain words."""
    return [json.loads(line) for line in logged.splitlines() if line.startswith("{")]


# Whose it is


def test_a_post_is_stored_for_the_clinic_of_its_number(folder: Folder, two: Service) -> None:
    payload = post(about("centro", statuses=[status("a")], messages=[written()]))

    assert two.say(payload, "centro") == 200

    assert (folder.statuses("centro"), folder.statuses("norte")) == (["a"], [])
    assert folder.clinics["centro"].value("SELECT count(*) FROM smartia_answers") == 1
    assert two.announced.endswith("GET /webhook, POST /webhook of 2 of 2 clinics\n")


def test_one_post_about_several_clinics_of_one_app_is_stored_for_each(
    folder: Folder, serve: Serve
) -> None:
    for name in ("centro", "norte", "sul"):
        folder.add(name, META_APP_SECRET=SECRETS["centro"])
    service = serve(folder)
    payload = post(
        about("centro", statuses=[status("a"), {"id": ["broken"]}]),
        about("norte", statuses=[status("b")]),
        about("centro", statuses=[status("c")]),
    )

    answers = [service.say(payload, "centro") for _ in range(2)]

    assert answers == [200, 200]
    stored = [folder.statuses(name) for name in ("centro", "norte", "sul")]
    assert stored == [["a", "c"], ["b"], []]


def test_what_is_about_a_number_of_nobody_here_is_acknowledged_and_counted(
    folder: Folder, two: Service
) -> None:
    strangers = about("123456123", statuses=[status(), status("b")], messages=[written()])

    assert two.say(post(strangers), "norte") == 200
    assert two.say(post(strangers, about("norte", statuses=[status("c")])), "norte") == 200

    assert (folder.statuses("centro"), folder.statuses("norte")) == ([], ["c"])
    counted = [line["ignored"] for line in lines(two.end()) if line.get("ignored")]
    assert counted == [{"another_number": 3}] * 2


def test_what_meta_tells_of_an_account_is_stored_for_its_clinics_whose_app_signed(
    folder: Folder, serve: Serve
) -> None:
    shared = SECRETS["centro"]
    folder.add("centro")
    folder.add("norte", META_APP_SECRET=shared, META_APP_SECRET_OLD=SECRETS["norte"])
    folder.add("sul")
    folder.add("oeste", META_PHONE_NUMBER_ID="1004", META_APP_SECRET=shared, META_WABA_ID="78")
    service = serve(folder)
    notice = post(
        {"event": "PAUSED", "message_template_name": "lembrete"},
        field="message_template_status_update",
    )
    notice["entry"][0]["id"] = "77"

    assert service.say(notice, shared) == 200

    count = "SELECT count(*) FROM smartia_notices"
    stored = {name: clinic.value(count) for name, clinic in folder.clinics.items()}
    assert stored == {"centro": 1, "norte": 1, "sul": 0, "oeste": 0}
    told = [line["clinic"] for line in lines(service.end()) if "check lists it" in line["message"]]
    assert sorted(told) == ["centro", "norte"]


# Whose secret


def test_a_clinic_believes_nothing_that_another_clinics_app_has_signed(
    folder: Folder, two: Service
) -> None:
    payload = post(about("centro", statuses=[status("a")]), about("norte", statuses=[status("b")]))

    by_others = two.say(post(about("centro", statuses=[status("x")])), "norte")
    of_both = two.say(payload, "norte")
    stored = folder.statuses("centro"), folder.statuses("norte")
    again = [two.say(payload, "centro"), two.say(payload, "norte")]

    assert (by_others, of_both, again) == (401, 401, [401, 401])
    assert stored == ([], ["b"])
    assert (folder.statuses("centro"), folder.statuses("norte")) == (["a"], ["b"])
    refused = [line["clinic"] for line in lines(two.end()) if line.get("status") == 401]
    assert refused == ["centro", "centro", "norte", "centro"]


def test_what_nobodys_app_has_signed_is_refused(folder: Folder, two: Service) -> None:
    payload = post(about("centro", statuses=[status()]))

    answers = [two.say(payload, secret) for secret in ("another", SECRETS["centro"][:-1])]
    answers.append(two.webhook.send(b"", "sha256=" + "0" * 64))
    answers.append(two.webhook.ask("POST", "/webhook", b"{}")[0])

    assert answers == [401] * 4
    assert folder.statuses("centro") == []


def test_either_secret_of_a_clinic_signs_while_it_is_changed(files: Folder, serve: Serve) -> None:
    files.add("centro", META_APP_SECRET_OLD="o" * 32)
    files.add("norte")
    service = serve(files)

    answers = [
        service.say(post(about("centro", statuses=[status(secret[0])])), secret)
        for secret in (SECRETS["centro"], "o" * 32)
    ]
    other = service.say(post(about("norte", statuses=[status()])), "o" * 32)

    assert (answers, other) == ([200, 200], 401)
    assert files.statuses("centro") == ["c", "o"]


def test_what_cannot_be_understood_is_acknowledged_if_any_app_has_signed_it(
    files: Folder, serve: Serve
) -> None:
    files.add("centro")
    webhook = serve(files).webhook
    bodies = [b"", b"no json", b"[" * (3 << 20), b'{"object": "whatsapp_business_account"}']

    answers = [webhook.send(body, signature(body, SECRETS["centro"])) for body in bodies]

    assert answers == [200] * 4


def test_of_hundreds_of_apps_each_ones_posts_are_believed_however_large_and_one_of_nobodys_number(
    files: Folder, serve: Serve
) -> None:
    first = files.add("centro")
    numbers = {f"clinic-{n:03}": f"5{n:03}" for n in range(300)}
    for name, number in numbers.items():
        files.write(
            name,
            DATABASE_URL=first.url,
            META_PHONE_NUMBER_ID=number,
            META_APP_SECRET=name * 4,
            META_WABA_ID="",
        )
    service = serve(files)
    bundle = [status(f"w{n}") for n in range(1000)]

    large = [
        service.say(post(about(numbers[name], statuses=bundle)), name * 4)
        for name in ("clinic-000", "clinic-150", "clinic-299")
    ]
    unknown = [
        service.say(post(about("9", statuses=[status()])), name * 4)
        for name in ("clinic-000", "clinic-150", "clinic-299")
    ]

    assert (large, unknown) == ([200] * 3, [200] * 3)
    assert len(files.statuses("centro")) == 1000


def test_what_is_too_large_to_be_hashed_with_every_secret_is_not_believed(
    files: Folder, serve: Serve
) -> None:
    first = files.add("centro")
    secrets = [f"{n:02}" * 16 for n in range(30)]
    for n, secret in enumerate(secrets):
        files.write(
            f"clinic-{n}",
            DATABASE_URL=first.url,
            META_PHONE_NUMBER_ID=f"5{n}",
            META_APP_SECRET=secret,
        )
    service = serve(files)
    body = b" " * (3 << 20)

    answers = [service.webhook.send(body, signature(body, secret)) for secret in secrets]

    # Eight of the 31 secrets are tried, perhaps that of centro among them.
    assert 7 <= answers.count(200) <= 8
    assert answers.count(401) == 30 - answers.count(200)
    assert [service.webhook.send(b"", signature(b"", secret)) for secret in secrets] == [200] * 30


def test_any_clinics_word_shakes_hands(files: Folder, serve: Serve) -> None:
    files.add("centro", META_VERIFY_TOKEN="word-of-centro")
    files.add("norte", META_VERIFY_TOKEN="")
    files.add("sul", META_VERIFY_TOKEN="word-of-sul")
    webhook = serve(files).webhook

    answers = [
        webhook.shake(mode="subscribe", challenge="7", verify_token=word)[:2]
        for word in ("word-of-centro", "word-of-sul", "word-of-norte", "")
    ]

    assert answers == [(200, "7"), (200, "7"), (403, "refused"), (403, "refused")]


# One that is broken


def test_a_clinic_whose_database_is_away_stops_no_other_and_stores_once_when_it_is_back(
    folder: Folder, serve: Serve
) -> None:
    for name in ("centro", "norte"):
        folder.add(name, META_APP_SECRET=SECRETS["centro"])
    service = serve(folder)
    both = post(about("centro", statuses=[status("a")]), about("norte", statuses=[status("b")]))

    with _away(folder, "centro"):
        away = [service.say(both, "centro") for _ in range(2)]
        others = service.say(post(about("norte", statuses=[status("c")])), "centro")
        stored = folder.statuses("norte")
    back = [service.say(both, "centro") for _ in range(2)]

    assert (away, others, back) == ([503, 503], 200, [200, 200])
    assert stored == ["b", "c"]
    assert (folder.statuses("centro"), folder.statuses("norte")) == (["a"], ["b", "c"])
    failed = [line["clinic"] for line in lines(service.end()) if "not stored" in line["message"]]
    assert failed == ["centro", "centro"]


def test_a_clinic_without_our_tables_stops_no_other(folder: Folder, serve: Serve) -> None:
    folder.add("centro", migrated=False)
    folder.add("norte")
    service = serve(folder)

    before = service.say(post(about("centro", statuses=[status("a")])), "centro")
    other = service.say(post(about("norte", statuses=[status("b")])), "norte")
    migrate(folder.clinics["centro"])
    after = service.say(post(about("centro", statuses=[status("a")])), "centro")

    assert (before, other, after) == (503, 200, 200)
    assert (folder.statuses("centro"), folder.statuses("norte")) == (["a"], ["b"])
    advice = f"Run: smartia-jobs fleet db upgrade --clinics {folder.path} --only centro"
    (why,) = (line for line in lines(service.end()) if "not stored" in line["message"])
    assert why["message"].endswith(advice)


def test_a_clinic_on_sqlite_that_can_store_nothing_is_named_at_the_start_and_served(
    files: Folder, serve: Serve
) -> None:
    files.add("centro")
    files.add("norte", migrated=False)
    files.write("sul", DATABASE_URL=f"sqlite:///{files.path}/nowhere.db")
    service = serve(files)

    warned = {
        line["clinic"]: line["message"]
        for line in lines(service.end())
        if line.get("event") == "settings_warning" and "clinic" in line
    }

    assert warned.keys() == {"norte", "sul"}
    assert warned["norte"].endswith(f"fleet db upgrade --clinics {files.path} --only norte")
    assert "there is no such file" in warned["sul"]
    assert "of 3 of 3 clinics" in service.announced


def test_a_start_asks_no_postgresql_server(files: Folder, serve: Serve) -> None:
    files.add("norte")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        files.write("centro", DATABASE_URL=f"postgresql://u@127.0.0.1:{port}/clinic")

        service = serve(files)

        assert select.select([silent], [], [], 0) == ([], [], [])
    assert "of 2 of 2 clinics" in service.announced


def test_while_one_clinics_database_hangs_the_posts_of_the_others_do_not_wait(
    folder: Folder, two: Service
) -> None:
    with ThreadPoolExecutor(12) as threads:
        with _hanging(folder.clinics["centro"]):
            hanging = [
                threads.submit(two.say, post(about("centro", statuses=[status(f"a{n}")])), "centro")
                for n in range(12)
            ]
            others = [
                two.say(post(about("norte", statuses=[status(f"b{n}")])), "norte") for n in range(3)
            ]
            answered_meanwhile = [one for one in hanging if one.done()]
        answers = {one.result() for one in hanging}

    assert others == [200] * 3
    assert answered_meanwhile == []
    assert answers <= {200, 503}


def _away(folder: Folder, name: str) -> Any:
    """Let a clinic's database be gone meanwhile."""
    clinic = folder.clinics[name]
    if clinic.dialect == "postgresql":
        return _gone(clinic)
    path = Path(clinic.url.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    stack = ExitStack()
    stack.callback(path.with_suffix(".away").rename, path)
    return stack


def _hanging(clinic: Clinic) -> Any:
    """Let whoever stores for a clinic wait."""
    if clinic.dialect == "sqlite":
        stack = ExitStack()
        database = stack.enter_context(closing(Database(clinic.url)))
        stack.enter_context(database.write())
        return stack
    connection = psycopg.connect(clinic.url.replace("+psycopg", ""))
    connection.execute("LOCK TABLE smartia_statuses IN ACCESS EXCLUSIVE MODE")
    return closing(connection)


# How it starts


def test_a_wrong_a_missing_and_a_broken_one_are_named_and_the_others_are_served(
    files: Folder, serve: Serve
) -> None:
    files.add("centro")
    files.add("wrong", META_APP_SECRET="w" * 32, META_PHONE_NUMBER_ID="+55 41 3000-0000")
    files.add("missing", META_APP_SECRET="m" * 32)
    files.add("unsigned", META_PHONE_NUMBER_ID="1009")
    files.write("nowhere", META_PHONE_NUMBER_ID="1008", META_APP_SECRET="x" * 32)
    (files.path / "garbage.env").write_bytes(b"\xff\xfe\x00META_APP_SECRET=g")
    service = serve(files)

    served = service.say(post(about("centro", statuses=[status("a")])), "centro")
    left_out = [
        service.say(post(about(number, statuses=[status("b")])), "centro")
        for number in ("1008", "1009")
    ]
    both = post(about("1009", statuses=[status("b")]), about("centro", statuses=[status("c")]))
    left_out.append(service.say(both, "centro"))

    assert (served, left_out) == (200, [503] * 3)  # Meta keeps what nobody can store yet
    assert files.statuses("centro") == ["a", "c"]
    assert "of 1 of 6 clinics" in service.announced
    logged = lines(service.end())
    refused = [line.get("clinic") for line in logged if line.get("status") == 503]
    assert refused == ["nowhere", "unsigned", "unsigned"]
    why = {
        line["clinic"]: line["message"]
        for line in logged
        if line.get("event") == "settings_warning" and "clinic" in line
    }
    assert {name: "is not served" in said for name, said in why.items()} == dict.fromkeys(
        ["wrong", "missing", "unsigned", "nowhere", "garbage"], True
    )
    assert "META_PHONE_NUMBER_ID is '+55" in why["wrong"]
    assert "META_PHONE_NUMBER_ID is not set" in why["missing"]
    assert "META_APP_SECRET is not set" in why["unsigned"]
    assert "DATABASE_URL is not set" in why["nowhere"]
    assert "not UTF-8" in why["garbage"]


def test_a_number_that_two_clinics_claim_is_served_for_neither(files: Folder, serve: Serve) -> None:
    files.add("centro")
    files.add("copied", META_PHONE_NUMBER_ID="1001", META_APP_SECRET=SECRETS["centro"])
    files.add("norte", META_APP_SECRET=SECRETS["centro"])
    service = serve(files)

    answers = [
        service.say(post(about(name, statuses=[status("a")])), "centro")
        for name in ("centro", "norte")
    ]

    assert answers == [503, 200]
    stored = {name: files.statuses(name) for name in files.clinics}
    assert stored == {"centro": [], "copied": [], "norte": ["a"]}
    said = service.end()
    assert "clinic centro is not served: its META_PHONE_NUMBER_ID is that of copied" in said
    assert "clinic copied is not served: its META_PHONE_NUMBER_ID is that of centro" in said
    refused = [line["clinic"] for line in lines(said) if line.get("status") == 503]
    assert refused == ["centro", "copied"]


@pytest.mark.parametrize(
    "settings",
    [
        b"\xff\xfe\x00META_PHONE_NUMBER_ID=1002",
        b"META_APP_SECRET=s\n",
        b"META_PHONE_NUMBERID=1002\nMETA_APP_SECRET=s\n",
        b"META_PHONE_NUMBER_ID=+55 41 3000-0000\nMETA_APP_SECRET=s\n",
        b"META_PHONE_NUMBER_ID=1001\nMETA_APP_SECRET=s\n",
    ],
    ids=["no UTF-8", "missing", "misspelt", "no id", "another clinic's"],
)
def test_while_a_clinics_own_number_is_not_known_no_post_about_an_unknown_one_is_acknowledged(
    files: Folder, serve: Serve, settings: bytes
) -> None:
    shared = SECRETS["centro"]
    files.add("centro")
    files.add("sul", META_APP_SECRET=shared)
    (files.path / "norte.env").write_bytes(settings)
    service = serve(files)
    unknown = about("1002", messages=[written()])
    notice = post(
        {"event": "PAUSED", "message_template_name": "lembrete"},
        field="message_template_status_update",
    )

    answers = [
        service.say(post(*changes), shared)
        for changes in ([unknown], [unknown, about("sul", statuses=[status("a")])])
    ]
    others = [
        service.say(payload, shared)
        for payload in (post(about("sul", statuses=[status("b")])), notice)
    ]

    assert (answers, others) == ([503, 503], [200, 200])
    assert files.statuses("sul") == ["a", "b"]
    logged = lines(service.end())
    why = [line for line in logged if "a number of no clinic, while" in line["message"]]
    warned = [line for line in logged if "a number of no clinic are not ackn" in line["message"]]
    assert [(line["status"], "norte" in line["clinics"]) for line in why] == [(503, True)] * 2
    assert [line["clinics"] for line in warned] == [why[0]["clinics"]]


def test_it_warns_of_what_the_clinics_do_not_hear(files: Folder, serve: Serve) -> None:
    files.add("centro", META_WABA_ID="", META_VERIFY_TOKEN="")
    files.add("norte", META_VERIFY_TOKEN="")

    warned = lines(serve(files).end())

    assert ["centro"] in [line.get("clinics") for line in warned if "META_WABA_ID" in str(line)]
    assert [line for line in warned if "META_VERIFY_TOKEN is set for no clinic" in line["message"]]


@pytest.mark.parametrize(
    ("settings", "env", "named"),
    [
        ({"META_APP_SECRET": ""}, {}, "nothing to serve"),
        ({}, {"HTTP_AUTH": "token", "HTTP_TOKEN": "t" * 32}, "HTTP_AUTH"),
        ({}, {"DATABASE_URL": "sqlite:///x"}, "DATABASE_URL in the environment"),
        ({}, {"META_APP_SECRET": "s"}, "META_APP_SECRET in the environment"),
        ({}, {"K_SERVICE": "webhook"}, "SQLite"),
    ],
)
def test_it_refuses_to_start_with_nothing_to_serve_or_what_is_of_one_clinic(
    files: Folder, run_cli: RunCli, settings: dict[str, str], env: dict[str, str], named: str
) -> None:
    files.write("centro", **{"DATABASE_URL": files.add("centro").url, **settings})

    result = run_cli("serve", "--port", "0", "--clinics", str(files.path), env=env)

    assert (result.exit_code, result.stdout) == (78, "")
    assert named in result.stderr


def test_a_folder_without_a_clinic_is_refused(files: Folder, run_cli: RunCli) -> None:
    result = run_cli("serve", "--port", "0", "--clinics", str(files.path))

    assert (result.exit_code, result.stdout) == (78, "")
    assert "there is no clinic in it" in result.stderr


def test_an_env_file_besides_is_a_usage_error(files: Folder, run_cli: RunCli) -> None:
    files.add("centro")
    file = str(files.path / "centro.env")

    result = run_cli("serve", "--port", "0", "--clinics", str(files.path), "--env-file", file)

    assert result.exit_code == 2
    assert "--env-file" in result.stderr


def test_the_environments_log_form_holds_and_no_clinics(files: Folder, serve: Serve) -> None:
    files.add("centro", LOG_LEVEL="ERROR", LOG_FORMAT="text")
    service = serve(files)

    service.say(post(about("centro", statuses=[status()])), "centro")

    assert '"message":"heard"' in service.end()


# What follows


def test_on_a_server_a_job_acts_on_what_was_heard_for_its_clinic_alone(
    files: Folder, serve: Serve
) -> None:
    for name in ("centro", "norte"):
        add_sent(files.add(name, SEND_RATE="5"), 1)
    service = serve(files, SEND_RATE="a clinic's file outranks it")
    states = "SELECT state FROM smartia_outbox"

    service.say(post(about("centro", statuses=[status("w1")])), "centro")

    _until(lambda: files.clinics["centro"].value(states) == "delivered")
    assert files.clinics["norte"].value(states) == "sent"
    _until(lambda: _children(service.process.pid) == [])
    said = [line for line in lines(service.end()) if line["message"].startswith("replies:")]
    assert [(line["clinic"], line["statuses"]) for line in said] == [("centro", 1)]


def test_jobs_of_at_most_four_clinics_run_at_one_time_and_each_gets_its_turn(
    files: Folder, serve: Serve
) -> None:
    names = [f"clinic-{n}" for n in range(6)]
    for number, name in enumerate(names):
        add_sent(
            files.add(name, META_PHONE_NUMBER_ID=f"200{number}", META_APP_SECRET=SECRETS["sul"]), 1
        )
    service = serve(files)
    seen: list[list[str]] = []

    def acted_on() -> bool:
        children = [_arguments(child) for child in _children(service.process.pid)]
        seen.append([line for line in children if line.startswith("fleet")])
        states = "SELECT state FROM smartia_outbox"
        return {clinic.value(states) for clinic in files.clinics.values()} == {"delivered"}

    payload = post(*(about(f"200{n}", statuses=[status("w1")]) for n in range(6)))
    assert [service.say(payload, "sul") for _ in range(2)] == [200, 200]
    _until(acted_on)

    assert max(len(children) for children in seen) == 4
    assert [children for children in seen if len(set(children)) < len(children)] == []
    assert {line for children in seen for line in children} == {
        f"fleet replies --json --clinics={files.path} --only={name}" for name in names
    }


def _arguments(process: int) -> str:
    """Return a child's command line after the program's name; empty: it has ended or just began."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_text().rstrip("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return " ".join(line.partition("\0smartia_jobs\0")[2].split("\0"))


@pytest.mark.parametrize("folder", ["postgresql"], indirect=True)
def test_on_cloud_run_nothing_is_started_after_the_answer(folder: Folder, serve: Serve) -> None:
    folder.add("centro")
    service = serve(folder)

    service.say(post(about("centro", statuses=[status()])), "centro")

    time.sleep(0.5)
    assert _children(service.process.pid) == []


def test_what_is_not_ours_is_passed_on_to_the_clinics_own_smartia_alone(
    folder: Folder, serve: Serve
) -> None:
    with loopback(TAKEN) as of_centro, loopback(TAKEN) as of_norte:
        for name, server in (("centro", of_centro), ("norte", of_norte)):
            folder.add(
                name,
                META_APP_SECRET=SECRETS["centro"],
                WEBHOOK_FORWARD_URL=f"{server.url}/webhook/meta",
            )
        folder.add("sul", META_APP_SECRET=SECRETS["centro"])
        service = serve(folder)
        payload = post(
            about("centro", messages=[written("?", "to centro")]),
            about("norte", messages=[written("?", "to norte")]),
            about("sul", messages=[written("?", "to sul")]),
            about("9", messages=[written("?", "to nobody")]),
        )

        answers = [service.say(payload, "centro") for _ in range(2)]

    assert answers == [200, 200]
    assert [_passed_on(server) for server in (of_centro, of_norte)] == [["to centro"], ["to norte"]]


def _passed_on(server: Loopback) -> list[str]:
    found = []
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"X-Hub-Signature-256: {signature(body, SECRETS['centro'])}".encode() in head
        for entry in json.loads(body)["entry"]:
            for change in entry["changes"]:
                found += [message["id"] for message in change["value"]["messages"]]
    return found


def test_a_smartia_that_is_away_is_logged_with_its_clinic_and_stops_no_other(
    files: Folder, serve: Serve
) -> None:
    with loopback(TAKEN) as server:
        away = f"{server.url}/webhook/meta"
    files.add("centro", WEBHOOK_FORWARD_URL=away)
    files.add("norte")
    service = serve(files)

    answers = [
        service.say(post(about(name, messages=[written("?")])), name)
        for name in ("centro", "norte")
    ]

    assert answers == [503, 200]
    unreached = [line for line in lines(service.end()) if line.get("event") == "forwarding"]
    assert [line["clinic"] for line in unreached] == ["centro"]


def test_lines_about_a_clinic_name_it_and_nothing_private(folder: Folder, two: Service) -> None:
    payload = post(
        about("centro", statuses=[status("wamid.SECRET")], messages=[written("Sim")]),
    )

    two.say(payload, "centro")
    two.say(payload, "norte")
    two.webhook.shake(mode="subscribe", challenge="1", verify_token="Sim")
    logged = two.end()

    heard = [line for line in lines(logged) if line["message"] == "heard"]
    assert [(line["clinic"], line["statuses"], line["answers"]) for line in heard] == [
        ("centro", 1, 1)
    ]
    assert not [private for private in PRIVATE if private in logged]


def test_a_person_at_a_terminal_sees_what_works_a_line_for_each(files: Folder) -> None:
    files.add("centro")
    with TerminalWindow("serve", "--port", "0", "--clinics", str(files.path), env={}) as window:
        url = window.read_until(r"Listening on (\S+)")
        webhook = Webhook(window.process, url, files.clinics["centro"])
        service = Service(webhook, "")
        answers = [written(), written(message_id="wamid.IN2")]
        said = [
            webhook.shake(mode="subscribe", challenge="7", verify_token=TOKEN)[0],
            service.say(post(about("centro", statuses=[status()], messages=answers)), "centro"),
            service.say(post(about("9", statuses=[status()])), "centro"),
        ]
        coloured = window.read_until(r"(?s)(.*left out: 1 another number)")
        window.process.terminate()
        ended = window.process.wait(timeout=30)

    screen = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert ended == 143
    assert said == [200] * 3
    assert "a handshake was accepted" in screen
    assert "heard 1 status, 2 answers clinic=centro" in screen
    assert "heard nothing for us; left out: 1 another number" in screen
    assert not [private for private in PRIVATE if private in screen]
