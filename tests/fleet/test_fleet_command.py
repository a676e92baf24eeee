"""``smartia-jobs fleet``, whole: many clinics, of which some are as bad as clinics can be."""

import json
import os
import re
import signal
import subprocess
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from smartia_jobs.sandbox.scripts import Scripted
from tests.fleet.conftest import Fleet
from tests.jobs.calls_desk import CallsDesk
from tests.jobs.metrics_desk import SAO_PAULO
from tests.support import StartCli
from tests.support.postgres import create_database, drop_database
from tests.support.terminal import run_on_terminal
from tests.whatsapp.loopback import answer, answering, loopback

_ROOT = Path(__file__).parents[2]


def phones() -> "count[int]":
    """Return phones that no two clinics share."""
    return count(5511987700001)


#: Loaded by an interpreter before anything else: a program with a bug that only one clinic meets.
_WITH_A_BUG = """
from smartia_jobs.clinic import schema

as_it_should = schema.require_smartia

def with_a_bug(connection):
    as_it_should(connection)
    if "/bug.db" in str(connection.exec_driver_sql("PRAGMA database_list").all()):
        raise KeyError("nobody thought of this")

schema.require_smartia = with_a_bug
"""


def test_one_bad_clinic_of_each_kind_costs_no_other_its_messages(
    fleet: Fleet, start_cli: StartCli, tmp_path: Path
) -> None:
    numbers = phones()
    told = [fleet.book(fleet.add(f"good-{n:02}"), str(next(numbers))) for n in range(21)]
    dead = fleet.book(fleet.add("dead-token"), str(next(numbers)))
    fleet.sandbox.script(dead, Scripted(code=190), repeat_last=True)
    silent = fleet.book(fleet.add("silent-whatsapp"), str(next(numbers)))
    fleet.sandbox.script(silent, Scripted(delay_s=20, accepted=False))
    killed = fleet.book(fleet.add("killed"), str(next(numbers)))
    fleet.sandbox.script(killed, Scripted(delay_s=20, accepted=False))
    fleet.book(fleet.add("bug"), str(next(numbers)))
    fleet.book(fleet.add("wrong-setting", CLINIC_TIMEZONE="Brasil/SP"), str(next(numbers)))
    fleet.write("no-database", DATABASE_URL=f"sqlite:///{fleet.folder}/nowhere.db")
    fleet.write("no-server", DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/smartia")
    (fleet.folder / "broken.env").write_text(
        "DATABASE_URL=x\nthis is no setting: it is a broken line\n"
    )
    (fleet.folder / "garbage.env").write_bytes(os.urandom(64) + b"\xff\x00")
    (tmp_path / "sitecustomize.py").write_text(_WITH_A_BUG)
    options = ["--clinics", str(fleet.folder), "--parallel", "6", "--time-limit", "6", "--json"]

    process = start_cli("fleet", "24h", *options, env={"PYTHONPATH": f"{tmp_path}:{_ROOT}"})
    os.kill(process_of("killed", process, fleet, killed), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 69, stderr
    clinics = json.loads(stdout)["clinics"]
    assert {name: one["exit_code"] for name, one in clinics.items() if one["exit_code"]} == {
        "bug": 1,
        "no-server": 69,
        "killed": 75,
        "silent-whatsapp": 75,
        "dead-token": 77,
        "wrong-setting": 78,
        "no-database": 78,
        "broken": 78,
        "garbage": 78,
    }
    assert len(clinics) == 30
    assert fleet.told() == sorted(told)
    for name, one in clinics.items():
        assert bool(one["advice"]) == bool(one["exit_code"]), name
    assert "bug in smartia-jobs" in clinics["bug"]["advice"]
    assert "SIGKILL" in clinics["killed"]["advice"]
    assert "CLINIC_TIMEZONE" in clinics["wrong-setting"]["advice"]
    assert "nowhere.db" in clinics["no-database"]["advice"]
    assert "token" in clinics["dead-token"]["advice"]
    assert "--time-limit" in clinics["silent-whatsapp"]["advice"]
    assert "broken.env" in clinics["broken"]["advice"]
    assert "garbage.env" in clinics["garbage"]["advice"]
    assert "secret" not in stdout + stderr


def process_of(clinic: str, process: subprocess.Popen[str], fleet: Fleet, phone: str) -> int:
    """Return the process of a clinic that waits for WhatsApp to answer about this phone."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(6000):
        if phone in str(fleet.sandbox.received):
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    (pid,) = (
        int(child)
        for child in children.read_text().split()
        for file in Path(f"/proc/{child}/fd").iterdir()
        if file.is_symlink() and file.readlink().name == f"{clinic}.db"
    )
    return pid


def test_two_shards_two_files_and_two_runs_tell_nobody_twice(
    fleet: Fleet, start_cli: StartCli
) -> None:
    numbers = phones()
    told = []
    for name in ("centro", "norte", "sul"):
        clinic = fleet.add(name, SEND_RATE="50")
        fleet.write(f"{name}-again", DATABASE_URL=clinic.url, SEND_RATE="50")
        told += [fleet.book(clinic, str(next(numbers))) for _ in range(6)]
    arguments = ("fleet", "24h", "--clinics", str(fleet.folder), "--json", "--parallel", "3")

    processes = [start_cli(*arguments, "--shard", shard) for shard in ("0/2", "1/2", "0/1")]
    ends = [(process.communicate(timeout=120), process.returncode) for process in processes]

    assert {status for _, status in ends} <= {0, 75}, ends
    assert fleet.told() == sorted(told)


@pytest.mark.parametrize("name", ["DATABASE_URL", "META_ACCESS_TOKEN", "CLINIC_NAME"])
def test_what_is_one_clinic_s_own_in_the_environment_ends_a_fleet_before_anything_is_done(
    fleet: Fleet, name: str
) -> None:
    fleet.book(fleet.add("centro"))

    result = fleet.run("24h", "--json", **{name: "sqlite:///other.db"})

    assert result.exit_code == 78
    assert result.json["error"].startswith(f"{name} in the environment")
    assert fleet.sandbox.received == []


def test_a_dry_run_counts_and_sends_nothing(fleet: Fleet) -> None:
    fleet.book(fleet.add("centro"))
    fleet.book(fleet.add("norte"))

    result = fleet.run("24h", "--dry-run", "--json")

    assert result.exit_code == 0
    assert (result.json["dry_run"], result.json["totals"]["would_send"]) == (True, 2)
    assert fleet.sandbox.received == []


def test_sigterm_ends_all_in_order_and_no_message_is_lost(
    fleet: Fleet, start_cli: StartCli
) -> None:
    numbers = phones()
    clinics = {name: fleet.add(name, SEND_WORKERS="1") for name in ("a", "b", "c", "d")}
    for clinic in clinics.values():
        for _ in range(5):
            phone = fleet.book(clinic, str(next(numbers)))
            fleet.sandbox.script(phone, Scripted(delay_s=0.3))
    process = start_cli("fleet", "24h", "--clinics", str(fleet.folder), "--parallel", "2", "--json")
    for _ in range(6000):
        if len(fleet.sandbox.received) >= 2 or process.poll() is not None:
            break
        time.sleep(0.01)

    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=60)

    body = json.loads(stdout)
    assert (process.returncode, body["exit_code"]) == (143, 143)
    assert set(body["left"]) >= {"c", "d"}
    states = [
        row["state"]
        for name in ("a", "b")
        for row in clinics[name].rows("SELECT state FROM smartia_outbox")
    ]
    assert set(states) <= {"sent", "retry"}
    assert states.count("sent") == len(fleet.told())


def test_a_clinic_that_hangs_is_named_before_the_platform_kills_the_fleet(
    fleet: Fleet, start_cli: StartCli
) -> None:
    phone = fleet.book(fleet.add("silent"))
    fleet.sandbox.script(phone, Scripted(delay_s=30, accepted=False))
    process = start_cli("fleet", "24h", "--clinics", str(fleet.folder), "--json")
    for _ in range(6000):
        if fleet.sandbox.received or process.poll() is not None:
            break
        time.sleep(0.01)

    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=60)

    body = json.loads(stdout)  # nothing is printed by a fleet that had to leave
    assert process.returncode == 143
    assert body["clinics"]["silent"]["advice"] == "was told to end; running again goes on"


def test_the_clinics_of_both_engines_are_run_side_by_side(fleet: Fleet, postgres_url: str) -> None:
    numbers = phones()
    told = [fleet.book(fleet.add("lite"), str(next(numbers)))]
    for name in ("fleet_one", "fleet_two"):
        create_database(postgres_url, name)
    try:
        for name in ("one", "two"):
            url = postgres_url.format(database=f"fleet_{name}")
            told.append(fleet.book(fleet.add(name, url=url), str(next(numbers))))

        result = fleet.run("24h", "--json")

        assert result.exit_code == 0, result.stderr
        assert fleet.told() == told
    finally:
        for clinic in fleet.opened:
            clinic.close()
        fleet.opened.clear()
        for name in ("fleet_one", "fleet_two"):
            assert drop_database(postgres_url, name) == 0


def test_each_clinic_tells_the_monitor_of_its_job(fleet: Fleet) -> None:
    fleet.add("centro")
    fleet.add("wrong", CLINIC_TIMEZONE="Brasil/SP")
    (fleet.folder / "broken.env").write_bytes(b"\xff")
    with loopback(answering(answer(b"OK"))) as server:
        result = fleet.run("2h", "--json", PING_URL=f"{server.url}/{{clinic}}-{{job}}")

    assert result.exit_code == 78, result.stderr
    asked = sorted(request.split(b" ")[1].decode() for request in server.requests)
    assert asked == [
        f"/{name}-2h/{end}"
        for name, status in (("broken", 78), ("centro", 0), ("wrong", 78))
        for end in (status, "start")
    ]


def test_every_log_line_of_a_clinic_names_it(fleet: Fleet) -> None:
    for name in ("centro", "norte"):
        fleet.book(fleet.add(name))

    result = fleet.run("24h", "--json", LOG_FORMAT="json")

    lines = [json.loads(line) for line in result.stderr.splitlines()]
    sent = [line for line in lines if line.get("action") == "message"]
    labels = {line["logging.googleapis.com/labels"]["clinic"] for line in sent}
    assert labels == {"centro", "norte"}
    (closing,) = [line for line in lines if line.get("event") == "fleet_finished"]
    assert (closing["clinics"], closing["totals"]["sent"]) == (2, 2)
    text = fleet.run("24h", LOG_FORMAT="text").stderr
    assert "clinic=centro" in text


def test_a_job_s_own_options_reach_it_and_the_clinic_s_name_is_filled_in(
    fleet: Fleet, tmp_path: Path
) -> None:
    for name in ("centro", "norte"):
        fleet.book(fleet.add(name))
    pages = tmp_path / "pages"
    pages.mkdir()

    limited = fleet.run("24h", "--limit", "1", "--json")
    written = fleet.run("calls", "--format", "html", "--output", f"{pages}/{{clinic}}.html")

    assert limited.json["totals"]["sent"] == 2
    assert written.exit_code == 0, written.stderr
    assert sorted(page.name for page in pages.iterdir()) == ["centro.html", "norte.html"]


@pytest.mark.parametrize("job", ["calls", "metrics"])
@pytest.mark.parametrize(
    "form",
    [
        "--format html --output {folder}/{{clinic}}.html",
        "--format=csv --output={folder}/{{clinic}}.csv",
        "--format json --output {folder}/{{clinic}}.json",
        "--output {folder}/{{clinic}}.txt",
        "--format table",
        "--format json",
        "",
    ],
)
def test_a_clinic_s_counts_reach_the_fleet_in_whatever_form_they_were_asked_for(
    fleet: Fleet, tmp_path: Path, job: str, form: str
) -> None:
    now = datetime.now(SAO_PAULO).replace(tzinfo=None)
    for name in ("centro", "norte"):
        desk = CallsDesk(fleet.add(name), now=now)
        desk.visit(now - timedelta(minutes=1), "COMPLETED")
        visit = desk.visit(now + timedelta(days=1), name="Maria Souza")
        desk.answer(desk.remind(visit), text="posso levar minha filha?")
    words = (job, *form.format(folder=tmp_path).split())

    in_json, shown = fleet.run(*words, "--json"), fleet.run(*words)

    name = {"calls": "calls", "metrics": "total"}[job]
    assert in_json.json["totals"][name] == 2, in_json.stderr
    assert f"{name} 1" in shown.stdout.splitlines()[1]
    assert "Nothing to do" not in shown.stdout
    assert "said" not in in_json.json["clinics"]["centro"]
    assert "Maria" not in in_json.stdout
    assert "filha" not in in_json.stdout


def test_a_terminal_gets_the_table_alone_when_each_clinic_writes_a_page(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.add("centro")
    words = ("calls", "--format", "html", "--output", f"{tmp_path}/{{clinic}}.html")

    shown = run_on_terminal(
        "fleet", *words, "--clinics", str(fleet.folder), env={}, cwd=tmp_path, stdout_too=True
    )

    assert (tmp_path / "centro.html").exists()
    assert "was written" not in shown.screen


def test_each_job_can_be_done_for_all_clinics(fleet: Fleet) -> None:
    for name in ("centro", "norte"):
        fleet.add(name)

    results = {
        job: fleet.run(*job.split(), "--json")
        for job in (
            "db upgrade",
            "72h",
            "no-show",
            "replies",
            "calls",
            "metrics",
            "check --offline",
        )
    }

    for job, result in results.items():
        assert list(result.json["clinics"]) == ["centro", "norte"], job
        assert result.json["job"] == f"fleet {job.removesuffix(' --offline')}"
    assert results["db upgrade"].json["clinics"]["norte"]["said"][0].startswith("tables: created")
    assert "outranks the environment" in json.dumps(results["check --offline"].json)
    failed = [job for job, result in results.items() if result.exit_code and "check" not in job]
    assert failed == []


@pytest.mark.parametrize("job", ["db upgrade", "calls --format html --output {clinic}.html"])
def test_what_is_wrong_is_told_of_a_job_that_prints_no_json(fleet: Fleet, job: str) -> None:
    fleet.write("broken", CLINIC_TIMEZONE="Brasil/SP", DATABASE_URL="sqlite:///x.db")
    fleet.write("no-database", DATABASE_URL=f"sqlite:///{fleet.folder}/nowhere.db")

    clinics = fleet.run(*job.split(), "--json").json["clinics"]

    assert "CLINIC_TIMEZONE" in clinics["broken"]["advice"]
    assert "nowhere.db" in clinics["no-database"]["advice"]


def test_what_an_upgrade_changed_is_shown_clinic_by_clinic(fleet: Fleet) -> None:
    for name in ("centro", "norte"):
        fleet.add(name)

    lines = fleet.run("db", "upgrade").stdout.splitlines()

    assert lines[1] == "centro                 0  tables: created, version 0001"
    assert lines[2].startswith(" " * 26 + "index on appointments")
    assert "Nothing to do" not in "".join(lines)


def test_what_is_odd_about_the_folder_is_told_when_all_of_it_is_meant(fleet: Fleet) -> None:
    fleet.add("centro")
    (fleet.folder / "notes.txt").write_text("")

    of_all, of_one = fleet.run("2h", "--json"), fleet.run("2h", "--only", "centro", "--json")

    assert [bool(one.json["warnings"]) for one in (of_all, of_one)] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "is not one of"),
        (["db", "current"], "is not one of"),
        (["24h", "--limt", "3"], "smartia-jobs fleet 24h: No such option: --limt"),
        (["24h", "--now", "2026-11-23T09:00"], "--dry-run"),
        (["replies", "--now", "2026-11-23T09:00"], "--dry-run"),
        (["24h", "--limit", "none"], "--limit"),
        (["24h", "--env-file", "x"], "--env-file"),
        (["24h", "--env-file=x"], "--env-file"),
        (["calls", "--output", "one-for-all.html"], "{clinic}"),
        (["calls", "--format", "html"], "--output 'DIR/{clinic}.html'"),
        (["metrics", "--format=csv"], "--output 'DIR/{clinic}.csv'"),
        (["24h", "--shard", "2/2"], "--shard"),
        (["24h", "--at", "24"], "--at"),
        (["24h", "--only", "nobody"], "--only nobody"),
        (["remind"], "NAME"),
    ],
)
def test_a_wrong_command_line_is_refused_once_and_not_by_every_clinic(
    fleet: Fleet, arguments: list[str], named: str
) -> None:
    fleet.book(fleet.add("centro"))

    result = fleet.run(*arguments)

    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert fleet.sandbox.received == []


def test_a_pipe_gets_a_line_a_clinic_the_worst_first(fleet: Fleet) -> None:
    fleet.book(fleet.add("a-clinic-with-a-long-name-that-goes-on"))
    fleet.add("idle")
    fleet.write("broken", DATABASE_URL="")

    lines = fleet.run("24h").stdout.splitlines()

    assert lines[0].startswith("fleet 24h · 3 clinics")
    assert lines[1].split()[:2] == ["broken", "78"]
    assert "sent 1" in lines[2]
    assert lines[3] == "Nothing to do at 1 clinic."
    assert lines[-1].startswith("Exit 78 after")


def test_a_terminal_gets_a_table_the_worst_first_within_its_width(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.book(fleet.add("a-clinic-with-a-long-name-that-goes-on"))
    fleet.add("idle")
    fleet.write("broken", DATABASE_URL="x", CLINIC_TIMEZONE="[/red] [bold]SP")

    shown = run_on_terminal(
        "fleet", "24h", "--clinics", str(fleet.folder), env={}, cwd=tmp_path, stdout_too=True
    )

    assert shown.exit_code == 78
    screen = re.sub(r"\x1b\[[0-9;]*m", "", shown.screen)
    lines = screen.splitlines()
    assert "fleet 24h · 3 clinics" in lines[0]
    assert max(map(len, lines)) <= 80
    assert "[/red]" in screen
    assert screen.index("│ broken ") < screen.index("│ a-clinic-with-a-long-na")
    assert lines[-1].startswith("Exit 78 after")
