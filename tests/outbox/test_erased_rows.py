"""What a run that is still under way writes on the rows of a person who was erased."""

from smartia_jobs.report import Result
from tests.outbox.desk import Desk
from tests.support import Clinic
from tests.support.fake_sender import FakeSender


def test_a_late_answer_brings_no_id_back_to_a_row_that_was_erased(clinic: Clinic) -> None:
    desk = Desk(clinic, workers=1)
    for _ in range(2):
        desk.book()
    erased: list[str] = []

    def erase_once(_: str) -> None:
        if not erased:
            erased.append("now")
            clinic.execute("UPDATE smartia_outbox SET phone = NULL")

    report = desk.run(FakeSender(before_send=erase_once))

    assert report.results == {Result.SENT: 2}
    rows = clinic.rows("SELECT state, phone, message_id FROM smartia_outbox ORDER BY id")
    assert [row["state"] for row in rows] == ["sent", "sent"]
    assert {row["phone"] is None: row["message_id"] is None for row in rows} == {
        True: True,
        False: False,
    }
