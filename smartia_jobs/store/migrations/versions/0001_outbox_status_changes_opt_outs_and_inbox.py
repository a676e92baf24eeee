"""Create the outbox, the status changes, the opt-outs and the inbox."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite numbers rows by itself only for a column that is exactly INTEGER PRIMARY KEY.
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_WALL_TIME = sa.DateTime(timezone=False)


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "smartia_outbox",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("appointment_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("start", _WALL_TIME, nullable=False),
        sa.Column("leader_id", sa.BigInteger),
        sa.Column("answer_id", sa.BigInteger),
        sa.Column("patient_id", sa.BigInteger, nullable=False),
        sa.Column("phone", sa.String(64)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("claims", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("request_errors", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("resends", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("claimed_at", _INSTANT),
        sa.Column("lease_until", _INSTANT),
        sa.Column("send_before", _INSTANT),
        sa.Column("appointment_status", sa.String(12)),
        sa.Column("template", sa.String(512)),
        sa.Column("message_id", sa.String(255)),
        sa.Column("error_code", sa.Integer),
        sa.Column("error", sa.String(500)),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT),
        sa.Column("delivered_at", _INSTANT),
        sa.Column("read_at", _INSTANT),
        sa.UniqueConstraint("appointment_id", "kind", "turn", name="smartia_outbox_once"),
        sa.UniqueConstraint("answer_id", name="smartia_outbox_answer"),
        sqlite_autoincrement=True,
    )
    op.create_index("smartia_outbox_told", "smartia_outbox", ["phone", "kind", "start"])
    op.create_index("smartia_outbox_message", "smartia_outbox", ["message_id"])
    open_states = sa.column("state").in_(["claimed", "retry", "unknown"])
    op.create_index(
        "smartia_outbox_open",
        "smartia_outbox",
        ["state", "kind"],
        sqlite_where=open_states,
        postgresql_where=open_states,
    )
    op.create_table(
        "smartia_status_changes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("appointment_id", sa.BigInteger, nullable=False),
        sa.Column("patient_id", sa.BigInteger, nullable=False),
        sa.Column("start", _WALL_TIME, nullable=False),
        sa.Column("stored_date", sa.String(64), nullable=False),
        sa.Column("before", sa.String(12), nullable=False),
        sa.Column("after", sa.String(12), nullable=False),
        sa.Column("why", sa.String(20), nullable=False),
        sa.Column("answer_id", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.Column("undone_at", _INSTANT),
        sa.UniqueConstraint(
            "appointment_id", "start", "answer_id", name="smartia_status_changes_once"
        ),
    )
    op.create_index("smartia_status_changes_answer", "smartia_status_changes", ["answer_id"])
    op.create_table(
        "smartia_opt_outs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("phone", sa.String(20), nullable=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("scope", sa.String(12), nullable=False, server_default=sa.text("'invitations'")),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("phone", name="smartia_opt_outs_once"),
    )
    op.create_table(
        "smartia_statuses",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("wamid", sa.String(255), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("said_at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("callback", sa.String(512)),
        sa.Column("code", sa.Integer),
        sa.Column("applied_at", _INSTANT),
        sa.UniqueConstraint("wamid", "status", name="smartia_statuses_once"),
    )
    op.create_table(
        "smartia_answers",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("phone", sa.String(64)),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("text", sa.String(4096)),
        sa.Column("payload", sa.String(255)),
        sa.Column("context_id", sa.String(255)),
        sa.Column("said_at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("outbox_id", sa.BigInteger),
        sa.Column("meaning", sa.String(12)),
        sa.Column("effect", sa.String(20)),
        sa.Column("why", sa.String(100)),
        sa.Column("acted_at", _INSTANT),
        sa.Column("run_id", sa.String(100)),
        sa.Column("settled_at", _INSTANT),
        sa.UniqueConstraint("message_id", name="smartia_answers_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("smartia_answers_outbox", "smartia_answers", ["outbox_id"])
    installation = op.create_table(
        "smartia_installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("word", sa.String(32), nullable=False),
        sa.Column("interactions_seen", sa.BigInteger),
        sa.CheckConstraint("id = 1", name="smartia_installation_one"),
    )
    op.bulk_insert(installation, [{"id": 1, "word": secrets.token_hex(4)}])
    op.create_table(
        "smartia_forwarded",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("forwarded_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("mark", name="smartia_forwarded_once"),
    )
    op.create_table(
        "smartia_notices",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("field", sa.String(40), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(540), nullable=False),
        sa.Column("detail", sa.String(200)),
        sa.Column("said_at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("field", "event", "subject", "said_at", name="smartia_notices_once"),
    )
