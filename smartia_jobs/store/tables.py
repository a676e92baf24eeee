"""Our own tables, beside SmartIA's and without a foreign key into them."""

from functools import cache

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from smartia_jobs.database import UtcDateTime

metadata = MetaData()

# SQLite numbers rows only where the column is exactly INTEGER PRIMARY KEY.
_Id = BigInteger().with_variant(Integer, "sqlite")

outbox = Table(
    "smartia_outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("appointment_id", BigInteger, nullable=False),
    #: 24h | 2h | no_show
    Column("kind", String(20), nullable=False),
    #: Counts what the patient was told of this visit by this kind, from 1.
    Column("turn", Integer, nullable=False, server_default=text("1")),
    #: The clinic wall time the patient is told, to the minute. Correcting a time-zone setting
    #: sends nothing again, and moving a visit does.
    Column("start", DateTime(timezone=False), nullable=False),
    #: The row that leads this one's message (one message per person and day); NULL: itself.
    Column("leader_id", BigInteger),
    #: The answer that this row is a word back to; NULL: no word back.
    Column("answer_id", BigInteger),
    Column("patient_id", BigInteger, nullable=False),
    #: Canonical E.164, or the stored text when it cannot be a phone.
    Column("phone", String(64)),
    Column("state", String(12), nullable=False),
    #: The run that owns the claim, or made the last change.
    Column("run_id", String(100), nullable=False),
    #: How often it was claimed: distinguishes the tries in what comes back.
    Column("claims", Integer, nullable=False, server_default=text("1")),
    #: Requests posted, in all runs.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    #: Of the last ones, how many WhatsApp could not read, one after the other.
    Column("request_errors", Integer, nullable=False, server_default=text("0")),
    #: How often an unknown message was sent again.
    Column("resends", Integer, nullable=False, server_default=text("0")),
    #: Both on the database's clock.
    Column("claimed_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    #: No attempt starts at or after this instant.
    Column("send_before", UtcDateTime),
    #: SmartIA's status when the message was claimed (metrics compare like with like by it).
    Column("appointment_status", String(12)),
    Column("template", String(512)),
    #: WhatsApp's id of the message; holds the phone number: personal data.
    Column("message_id", String(255)),
    Column("error_code", Integer),
    #: Plain words, no personal data.
    Column("error", String(500)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("read_at", UtcDateTime),
    UniqueConstraint("appointment_id", "kind", "turn", name="smartia_outbox_once"),
    UniqueConstraint("answer_id", name="smartia_outbox_answer"),
    Index("smartia_outbox_told", "phone", "kind", "start"),
    Index("smartia_outbox_message", "message_id"),
    # An id names a message to people, and to WhatsApp: it is never reused.
    sqlite_autoincrement=True,
)


@cache
def draw_index() -> Index:
    """Add the outbox's index to the tables: only rows that still want something, few of millions.

    Queries need no drawing of it, and SQLAlchemy would load PostgreSQL's dialect to check one.
    """
    open_states = outbox.c.state.in_(["claimed", "retry", "unknown"])
    return Index(
        "smartia_outbox_open",
        outbox.c.state,
        outbox.c.kind,
        sqlite_where=open_states,
        postgresql_where=open_states,
    )


status_changes = Table(
    "smartia_status_changes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("appointment_id", BigInteger, nullable=False),
    #: Whose visit it was.
    Column("patient_id", BigInteger, nullable=False),
    #: Clinic wall time, as in the outbox: a visit is marked as a no-show at most once per start.
    Column("start", DateTime(timezone=False), nullable=False),
    #: SmartIA's date as it was stored: tells a visit that was moved from one whose time only
    #: means something else since a time setting was corrected.
    Column("stored_date", String(64), nullable=False),
    #: SmartIA's status before and after; the same where an answer left the visit as it was.
    Column("before", String(12), nullable=False),
    Column("after", String(12), nullable=False),
    #: In a word: no_show, confirmed, cancel, ...
    Column("why", String(20), nullable=False),
    #: The answer that was acted on; 0: none, the visit was a no-show.
    Column("answer_id", BigInteger, nullable=False),
    Column("run_id", String(100), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("undone_at", UtcDateTime),
    UniqueConstraint("appointment_id", "start", "answer_id", name="smartia_status_changes_once"),
    Index("smartia_status_changes_answer", "answer_id"),
)

opt_outs = Table(
    "smartia_opt_outs",
    metadata,
    Column("id", _Id, primary_key=True),
    #: Canonical E.164.
    Column("phone", String(20), nullable=False),
    #: person (typed by the clinic) | whatsapp (131050, or told WhatsApp) | answer (wrote it)
    Column("source", String(12), nullable=False),
    #: invitations (reminders go on) | all (no message at all)
    Column("scope", String(12), nullable=False, server_default=text("'invitations'")),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("phone", name="smartia_opt_outs_once"),
)

statuses = Table(
    "smartia_statuses",
    metadata,
    Column("id", _Id, primary_key=True),
    #: WhatsApp's id of the message; holds the phone number: personal data.
    Column("wamid", String(255), nullable=False),
    #: As Meta says it: sent | delivered | read | failed
    Column("status", String(12), nullable=False),
    #: When Meta says that it happened, and when it came here.
    Column("said_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    #: What was sent along with the message; NULL: nothing.
    Column("callback", String(512)),
    #: Meta's reason, with failed alone.
    Column("code", Integer),
    #: When it was applied to the outbox; NULL: not yet.
    Column("applied_at", UtcDateTime),
    UniqueConstraint("wamid", "status", name="smartia_statuses_once"),
)

answers = Table(
    "smartia_answers",
    metadata,
    Column("id", _Id, primary_key=True),
    #: WhatsApp's id of the answer; holds the phone number: personal data.
    Column("message_id", String(255), nullable=False),
    #: webhook | smartia
    Column("source", String(12), nullable=False),
    #: Canonical E.164, or what WhatsApp sent; NULL: it hid the number.
    Column("phone", String(64)),
    #: As Meta says it: button, text, audio, ...
    Column("type", String(20), nullable=False),
    Column("text", String(4096)),
    Column("payload", String(255)),
    #: The message that was tapped on, quoted or reacted to.
    Column("context_id", String(255)),
    Column("said_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    #: The row of the outbox that it answers; NULL: not known.
    Column("outbox_id", BigInteger),
    Column("meaning", String(12)),
    Column("effect", String(20)),
    #: Why it is for a person, or had no effect. Plain words, no personal data.
    Column("why", String(100)),
    Column("acted_at", UtcDateTime),
    #: The run that acted on it.
    Column("run_id", String(100)),
    #: When it stopped holding anything back.
    Column("settled_at", UtcDateTime),
    UniqueConstraint("message_id", name="smartia_answers_once"),
    Index("smartia_answers_outbox", "outbox_id"),
    # An id names an answer to people, and to the outbox: it is never reused.
    sqlite_autoincrement=True,
)

installation = Table(
    "smartia_installation",
    metadata,
    # Exactly one row.
    Column("id", Integer, primary_key=True, autoincrement=False),
    #: A random id: which database a message was sent from.
    Column("word", String(32), nullable=False),
    #: Up to which of SmartIA's interactions nothing is read again; NULL: none was read yet.
    Column("interactions_seen", BigInteger),
    CheckConstraint("id = 1", name="smartia_installation_one"),
)

forwarded = Table(
    "smartia_forwarded",
    metadata,
    Column("id", _Id, primary_key=True),
    #: A digest of what was, or may have been, forwarded to SmartIA's API.
    Column("mark", String(64), nullable=False),
    Column("forwarded_at", UtcDateTime, nullable=False),
    UniqueConstraint("mark", name="smartia_forwarded_once"),
)

notices = Table(
    "smartia_notices",
    metadata,
    Column("id", _Id, primary_key=True),
    #: The webhook's field: a template's status or category, or the account.
    Column("field", String(40), nullable=False),
    #: As Meta says it: PAUSED, ACCOUNT_RESTRICTION, ...; for a category the new one.
    Column("event", String(64), nullable=False),
    #: The template and its language; empty for the account.
    Column("subject", String(540), nullable=False),
    #: Meta's reason or kind of restriction; NULL: none given.
    Column("detail", String(200)),
    Column("said_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("field", "event", "subject", "said_at", name="smartia_notices_once"),
)
