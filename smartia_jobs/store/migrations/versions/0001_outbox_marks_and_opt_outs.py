"""Create the outbox, the no-show marks and the opt-outs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite numbers rows by itself only for a column that is exactly INTEGER PRIMARY KEY.
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_WALL_TIME = sa.DateTime(timezone=False)


def upgrade() -> None:
    """Create the first three tables."""
    op.create_table(
        "smartia_outbox",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("appointment_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("start", _WALL_TIME, nullable=False),
        sa.Column("leader_id", sa.BigInteger),
        sa.Column("patient_id", sa.BigInteger, nullable=False),
        sa.Column("phone", sa.String(64)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
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
        "smartia_no_show_marks",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("appointment_id", sa.BigInteger, nullable=False),
        sa.Column("start", _WALL_TIME, nullable=False),
        sa.Column("stored_date", sa.String(64), nullable=False),
        sa.Column("status_before", sa.String(12), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("marked_at", _INSTANT, nullable=False),
        sa.Column("undone_at", _INSTANT),
        sa.UniqueConstraint("appointment_id", "start", name="smartia_no_show_marks_once"),
    )
    op.create_table(
        "smartia_opt_outs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("phone", sa.String(20), nullable=False),
        sa.Column("source", sa.String(12), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("phone", name="smartia_opt_outs_once"),
    )
