"""Understanding one answer: whose it is and what it says, as far as the database knows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Connection

from smartia_jobs.appointment import AppointmentStatus
from smartia_jobs.catalogue.loading import Catalogue, load_catalogue
from smartia_jobs.catalogue.words import load_words
from smartia_jobs.clinic.appointments import Appointments
from smartia_jobs.clinic.chats import phones_in_dialogue
from smartia_jobs.inbox.effects import Told
from smartia_jobs.inbox.whose import By, Candidate, NotAnAnswer, Purpose, Tap, Whose, whose
from smartia_jobs.inbox.words import meaning_of
from smartia_jobs.incoming import Meaning, PatientAnswer
from smartia_jobs.kinds import INVITATION, WORDS_BACK
from smartia_jobs.message import Scope
from smartia_jobs.phones import canonical_phone
from smartia_jobs.run import Run
from smartia_jobs.settings import Settings
from smartia_jobs.store.installation import installation_id
from smartia_jobs.store.told import Telling, told_by, told_by_answered, told_by_message, told_to
from smartia_jobs.vocabulary import Vocabulary

_PURPOSES = {INVITATION: Purpose.INVITATION, WORDS_BACK: Purpose.WORD_BACK}


@dataclass(frozen=True, slots=True)
class Understood:
    """One answer, and what follows from what the database knows of it.

    Attributes:
        meaning: what it says.
        phone: whose answer it is, canonical; None: not known.
        told: the visits that it is about, as they were told and as they are; empty where that
            is not known.
        about: a row of the message that it answers, else of the newest to this phone; None:
            there is none.
        scope: which messages it ends if it is an opt-out.
        tapped: on a button of ours.
        proves: the message that surely arrived, as it was tapped on or quoted; None: none.
        why: what a person should know about it.
        ignored: why it is no answer to us; None: it is one.
    """

    meaning: Meaning
    phone: str | None
    told: Sequence[Told] = ()
    about: Telling | None = None
    scope: Scope = Scope.ALL
    tapped: bool = False
    proves: Telling | None = None
    why: str = ""
    ignored: str | None = None


@dataclass(slots=True)
class _Sent:
    """A message of ours: the row that leads it, and its visits."""

    leader: Telling
    told: list[Told] = field(default_factory=list)


class Understanding:
    """What one run asks the database about each answer; what all answers share is read once."""

    def __init__(self, run: Run, appointments: Appointments) -> None:
        """Read nothing yet."""
        self._run = run
        self._appointments = appointments
        self._talking: frozenset[str] | None = None

    def of(self, connection: Connection, answer: PatientAnswer) -> Understood:
        """Return whose an answer is, and what it says."""
        messages = self._messages(connection, answer)
        found = whose(
            answer,
            [self._candidate(message) for message in messages],
            installation=installation_id(connection),
            clinic_phone=self._canonical(self._run.settings.clinic_phone),
        )
        if isinstance(found, NotAnAnswer):
            return Understood(Meaning.UNCLEAR, None, ignored=found)
        about = next((one for one in messages if _is(one, found.message)), None)
        meaning = found.means or self._read(connection, answer, found, about, messages)
        if not found.counts(meaning):
            return Understood(meaning, found.phone, ignored=NotAnAnswer.NO_REMINDER)
        unread = f"sent something to look at ({answer.type})"
        why_unclear = "was not understood" if answer.text else unread
        theirs = (one for one in reversed(messages) if one.leader.phone == found.phone)
        newest = next(theirs, None)
        return Understood(
            meaning,
            found.phone,
            told=about.told if about else (),
            about=message.leader if (message := about or newest) else None,
            scope=found.scope,
            tapped=found.by is By.TAPPED,
            proves=about.leader if about and found.by is not By.BARE else None,
            why=found.why or why_unclear,
        )

    def _messages(self, connection: Connection, answer: PatientAnswer) -> list["_Sent"]:
        """Return the messages that an answer may be about, the newest last."""
        rows: list[Telling] = []
        if (phone := self._canonical(answer.phone)) is not None:
            rows += told_to(connection, phone)
        if (tap := Tap.parse(answer.payload)) is not None:
            rows += told_by(connection, tap.outbox_id)
        if answer.context_id is not None:
            for row in told_by_message(connection, answer.context_id):
                rows += told_by(connection, row.leader_id)
        by_id = {row.outbox_id: row for row in rows}
        told = told_and_now(connection, self._run.settings, self._appointments, by_id.values())
        messages: dict[int, _Sent] = {}
        for row, one in zip(by_id.values(), told, strict=True):
            message = messages.setdefault(row.leader_id, _Sent(row))
            message.told.append(one)
            if row.outbox_id == row.leader_id:
                message.leader = row
        quoted = answer.context_id
        for message in messages.values():
            leader = message.leader
            if quoted and leader.kind == WORDS_BACK and leader.message_id == quoted:
                # An answer to a word back is about all visits that the word was about.
                visits = told_by_answered(connection, leader.outbox_id)
                message.told = told_and_now(
                    connection, self._run.settings, self._appointments, visits
                )
        in_order = sorted(messages.items(), key=lambda one: (one[1].leader.sent_at, one[0]))
        return [message for _, message in in_order]

    def _candidate(self, message: "_Sent") -> Candidate:
        leader = message.leader
        return Candidate(
            outbox_id=leader.leader_id,
            wamid=leader.message_id,
            phone=leader.phone,
            purpose=_PURPOSES.get(leader.kind, Purpose.REMINDER),
            asked=leader.template in self._asking,
            visits=frozenset((one.appointment_id, one.start) for one in message.told),
            sent_at=leader.sent_at,
            stands=all(
                one.is_same_visit and one.visit is not None and one.visit.is_open
                for one in message.told
            ),
        )

    def _read(
        self,
        connection: Connection,
        answer: PatientAnswer,
        found: Whose,
        about: "_Sent | None",
        messages: Sequence["_Sent"],
    ) -> Meaning:
        """Return what an answer means that is no tap on a button of ours."""
        told = about.told if about else ()
        statuses = {one.visit.status for one in told if one.visit is not None}
        meaning = meaning_of(
            answer,
            self._words,
            asked=found.asked,
            confirmed=statuses == {AppointmentStatus.CONFIRMED},
        )
        if found.by is not By.BARE or meaning in (Meaning.COURTESY, Meaning.UNCLEAR):
            return meaning
        if found.phone is not None and self._is_talking(connection, found.phone):
            return Meaning.UNCLEAR
        now = self._run.clock.now()
        ahead = any(one.is_ahead(now) for message in messages for one in message.told)
        # "ok" to a visit that is over, or was cancelled, is a receipt.
        return Meaning.COURTESY if meaning is Meaning.CONFIRM and not ahead else meaning

    @cached_property
    def _catalogue(self) -> Catalogue:
        return load_catalogue(self._run.settings.messages_file)

    @cached_property
    def _words(self) -> Vocabulary:
        name = self._run.settings.clinic_name
        return load_words(self._catalogue.own_words, clinic_name=name)

    @cached_property
    def _asking(self) -> frozenset[str]:
        """The templates that ask whether the patient will come."""
        return frozenset(
            template.name for template in self._catalogue.templates.values() if template.asks
        )

    def _is_talking(self, connection: Connection, phone: str) -> bool:
        """Whether SmartIA's chatbot is in a dialogue with this phone."""
        if self._talking is None:
            times = self._appointments.times
            stored = phones_in_dialogue(connection, times, now=self._run.clock.now())
            self._talking = frozenset(filter(None, map(self._canonical, stored)))
        return phone in self._talking

    def _canonical(self, raw: str | None) -> str | None:
        return canonical_phone(raw, self._run.settings.clinic_country)


def told_and_now(
    connection: Connection,
    settings: Settings,
    appointments: Appointments,
    tellings: Iterable[Telling],
) -> list[Told]:
    """Return visits as they were told and as they are now."""
    tellings = tuple(tellings)
    ids = {telling.appointment_id for telling in tellings}
    now = appointments.by_id(connection, ids) if ids else {}
    told = []
    for telling in tellings:
        visit = now.get(telling.appointment_id)
        phone = None if visit is None else canonical_phone(visit.phone, settings.clinic_country)
        told.append(
            Told(
                appointment_id=telling.appointment_id,
                start=telling.start,
                phone=telling.phone,
                visit=visit,
                phone_now=phone,
            )
        )
    return told


def _is(message: _Sent, found: Candidate | None) -> bool:
    return found is not None and message.leader.leader_id == found.outbox_id
