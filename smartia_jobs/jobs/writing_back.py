"""The word back that a patient gets: queued with the effect, written when it is claimed."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from smartia_jobs.appointment import Appointment, AppointmentStatus
from smartia_jobs.catalogue.loading import load_catalogue
from smartia_jobs.catalogue.render import write_word_back
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.interactions import write_interactions
from smartia_jobs.clinic.rules.hours import SendingHours
from smartia_jobs.errors import ExitStatus
from smartia_jobs.inbox.effects import Told, WordBack
from smartia_jobs.jobs.sender import OnlyTo, WhatsAppSender
from smartia_jobs.jobs.understanding import Understood, told_and_now
from smartia_jobs.kinds import DAY_AHEAD, WORDS_BACK
from smartia_jobs.message import Message, Phone
from smartia_jobs.outbox.source import Source
from smartia_jobs.outbox.words_back import USEFUL_FOR, Reply, Word, enqueue, withdraw, write_back
from smartia_jobs.phones import parse_phone
from smartia_jobs.report import Report
from smartia_jobs.run import Run
from smartia_jobs.settings.checks import wrong_database
from smartia_jobs.store.answers import StoredAnswer, find
from smartia_jobs.store.effects import Effect
from smartia_jobs.store.opt_outs import opted_out, wants_no_message
from smartia_jobs.store.told import told_by

#: The status that the visits must have for a word to be true.
_TRUE_OF = {
    WordBack.CONFIRMED: AppointmentStatus.CONFIRMED,
    WordBack.CANCELLED: AppointmentStatus.CANCELLED,
}


class WritingBack:
    """One run's words back; without a token, or where ``WORD_BACK`` is 0, there are none."""

    def __init__(self, run: Run, appointments: Appointments) -> None:
        """Prepare; nothing is read or sent yet."""
        self._run = run
        self._appointments = appointments
        settings = run.settings
        has_number = settings.meta_access_token and settings.meta_phone_number_id
        self._mismatch = wrong_database(settings) if settings.word_back and has_number else None
        self._is_on = settings.word_back and bool(has_number) and self._mismatch is None

    def promise(
        self,
        connection: Connection,
        answer: StoredAnswer,
        understood: Understood,
        word: WordBack | None,
        *,
        at: datetime,
    ) -> None:
        """Queue a word back in the answer's transaction; it replaces an earlier one.

        There is none where it would come too late, or where no message says whom it is about.
        """
        about = understood.about
        if not self._is_on or word is None or about is None or understood.phone is None:
            return
        if at - answer.said_at >= USEFUL_FOR:
            return
        visits = {about.appointment_id, *(one.appointment_id for one in understood.told)}
        withdraw(connection, visits, run_id=self._run.id, at=at)
        enqueue(
            connection,
            answer_id=answer.id,
            word=word,
            appointment_id=about.appointment_id,
            start=about.start,
            patient_id=about.patient_id,
            phone=understood.phone,
            said_at=answer.said_at,
            run_id=self._run.id,
            at=at,
        )

    def send(self, report: Report) -> None:
        """Send the words that wait; whether WhatsApp takes them changes no exit status."""
        if self._mismatch is not None:
            why, advice = self._mismatch
            report.warnings.append(f"Patients get no word back. {why} To mend it, {advice}.")
        if not self._is_on or self._run.stop.requested:
            return
        self._catalogue = load_catalogue(self._run.settings.messages_file)
        self._only_to = OnlyTo(self._run.settings)
        # No word is a template, so any template will do for the sender.
        sender = WhatsAppSender(
            self._run.settings, self._catalogue[DAY_AHEAD.name], self._run.clock
        )
        sender.workers = 1
        source = Source(
            kind=WORDS_BACK,
            next_page=lambda _: None,
            reread=self._appointments.by_id,
            refusals=(),
            send_before=lambda _, now: now,
            write_interactions=partial(write_interactions, message_type="text"),
        )
        hours = SendingHours.of(self._run.settings)
        done = write_back(
            self._run,
            source,
            sender,
            self._compose,
            is_quiet=lambda now: hours.closed(now) is not None,
        )
        report.extra["written_back"] = done.written
        if done.is_bug:
            report.stop("a bug in smartia-jobs; see the log", ExitStatus.BUG)

    def _compose(self, connection: Connection, word: Word) -> Reply | None:
        """Return the message of a word; None: it is no longer true, or may not be sent."""
        answer, what = find(connection, word.answer_id), WordBack(word.word)
        if answer is None or word.phone is None:
            return None
        tellings = told_by(connection, answer.outbox_id) if answer.outbox_id else []
        told = told_and_now(connection, self._run.settings, self._appointments, tellings)
        visits = [one.visit for one in told if one.visit is not None]
        if not _is_true(what, told, answer):
            return None
        # A phone that opted out gets this word, and no other.
        silent = opted_out if what is WordBack.STOPPED else wants_no_message
        if (what is WordBack.STOPPED) is not bool(silent(connection, {word.phone})):
            return None
        stored = next((one.visit.phone for one in told if one.visit is not None), None)
        phone = self._address(stored, word.phone)
        if phone is None or not self._only_to.has(phone.canonical):
            return None
        known = answer.message_id if answer.message_id.startswith("wamid.") else ""
        text = write_word_back(self._catalogue, what, visits, self._run.settings)
        return Reply(
            phone,
            Message(WORDS_BACK, what, "", {}, named=False, text=text, reply_to=known),
            visits[0]
            if visits
            else Appointment(word.appointment_id, word.patient_id, None, None, word.start),
        )

    def _address(self, stored: str | None, canonical: str) -> Phone | None:
        """Return where the word goes: to the number as the clinic stores it, if it still does."""
        country = self._run.settings.clinic_country
        phones = (parse_phone(raw, country) for raw in (stored, canonical))
        return next(
            (one for one in phones if isinstance(one, Phone) and one.canonical == canonical), None
        )


def _is_true(what: WordBack, told: Sequence[Told], answer: StoredAnswer) -> bool:
    """Whether a word is still true."""
    if answer.effect is Effect.UNDONE:
        return False
    if (status := _TRUE_OF.get(what)) is None:
        return answer.settled_at is None  # else the reception has spoken with the patient
    return len(told) > 0 and all(
        one.is_same_visit and one.visit is not None and one.visit.status is status for one in told
    )
