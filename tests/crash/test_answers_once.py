"""``kill -9`` and races while answers are acted on: one effect each, and one word back at most."""

import json
import logging
import random
import time
from collections import Counter
from datetime import UTC, datetime

from smartia_jobs.sandbox.scripts import Scripted
from tests.crash.site import Site, kill
from tests.crash.test_kills import SEED

#: WhatsApp takes free text, as it does within 24 hours of what a patient wrote.
TAKEN = Scripted(
    status=200,
    body=json.dumps({"messages": [{"id": "wamid.WORD"}]}),
    content_type="application/json",
    accepted=True,
    delay_s=0.05,
)

VISITS = 20


def tap_all(site: Site) -> None:
    """Remind everybody; each patient taps a button, every third of them "não"."""
    site.book(VISITS)
    assert site.run().exit_code == 0
    now = datetime.now(UTC)
    for number, one in enumerate(site.sandbox.received):
        means = "cancel" if number % 3 == 0 else "confirm"
        (payload,) = (text for text in one["payloads"].values() if text.startswith(means))
        site.clinic.execute(
            "INSERT INTO smartia_answers (message_id, source, phone, type, text, payload,"
            " context_id, said_at, received_at) VALUES (:id, 'webhook', :phone, 'button', 'x',"
            " :payload, :wamid, :now, :now)",
            id=f"wamid.IN{number}",
            phone=one["wa_id"],
            payload=payload,
            wamid=one["wamid"],
            now=now if site.clinic.dialect != "sqlite" else f"{now:%Y-%m-%d %H:%M:%S.%f}",
        )
    site.sandbox.script("POST /messages", TAKEN, repeat_last=True)


def assert_all_done_once(site: Site) -> None:
    """Assert one effect for each answer, and for nobody two words."""
    effects = Counter(row["effect"] for row in site.clinic.rows("SELECT * FROM smartia_answers"))
    statuses = Counter(row["status"] for row in site.clinic.rows("SELECT * FROM appointments"))
    cancelled = (VISITS + 2) // 3
    assert effects == {"confirmed": VISITS - cancelled, "cancelled": cancelled}
    assert statuses == {"CONFIRMED": VISITS - cancelled, "CANCELLED": cancelled}
    changes = site.clinic.rows("SELECT answer_id FROM smartia_status_changes")
    assert sorted(row["answer_id"] for row in changes) == list(range(1, VISITS + 1))
    words = site.clinic.rows("SELECT * FROM smartia_outbox WHERE answer_id IS NOT NULL")
    assert len(words) == VISITS
    free = Counter(one["to"] for one in site.sandbox.received if one["template"] is None)
    assert [count for count in free.values() if count > 1] == []
    told = {word["phone"] for word in words if word["state"] == "sent"}
    assert told <= {str(to) for to in free}


def test_a_killed_run_is_finished_by_the_next_and_answers_nobody_twice(site: Site) -> None:
    logging.getLogger(__name__).warning("the seed is %d", SEED)
    chance = random.Random(SEED)  # noqa: S311 - no secret
    tap_all(site)
    sent = len(site.sandbox.received)
    for _ in range(5):
        process = site.start("replies", "--json")
        if chance.random() < 0.6:
            sent = len(site.sandbox.received)
            site.wait_for_messages(sent + 1, process)
            time.sleep(chance.uniform(0, 0.2))
        else:
            time.sleep(chance.uniform(0.3, 1.2))
        kill(process)
        site.lapse()

    rest = site.run("replies", "--json")

    assert rest.exit_code == 0, rest.stderr
    assert_all_done_once(site)
    states = Counter(
        row["state"]
        for row in site.clinic.rows("SELECT state FROM smartia_outbox WHERE answer_id IS NOT NULL")
    )
    assert states["unknown"] <= 5
    assert states["sent"] == VISITS - states["unknown"]


def test_four_runs_at_once_act_once_on_each_answer(site: Site) -> None:
    tap_all(site)
    processes = [site.start("replies", "--json") for _ in range(4)]

    results = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, results
    assert_all_done_once(site)
    assert sum(json.loads(out)["answers"] for out, _ in results) == VISITS
    assert sum(json.loads(out)["written_back"] for out, _ in results) == VISITS
