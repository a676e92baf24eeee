"""SmartIA's tables as far as this program uses them; it never creates or alters them.

Date and status columns are read raw: on SQLite dates are text that may be no date, and one
unreadable row must not keep the others from their reminder.
"""

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, Text
from sqlalchemy.types import UserDefinedType

from smartia_jobs.database import NativeEnum

metadata = MetaData()


class Raw(UserDefinedType[Any]):
    """Whatever the driver gives and takes: text on SQLite, datetime on PostgreSQL.

    A type of its own, so that SQLAlchemy adds no cast to a bound value: only the database knows
    which of PostgreSQL's two timestamp types a column has.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return a name that no DDL ever shows."""
        return "TIMESTAMP"


patients = Table(
    "patients",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("phone_number", String(20)),
    Column("name", String),
    Column("created_at", Raw),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("patient_id", Integer),
    Column("state", NativeEnum("conversationstate")),
    Column("intent", String(50)),
    Column("context_data", Text),
    Column("created_at", Raw),
    Column("updated_at", Raw),
)

interactions = Table(
    "interactions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("conversation_id", Integer),
    Column("patient_id", Integer),
    Column("type", NativeEnum("interactiontype")),
    Column("message_text", Text),
    Column("message_type", String(20)),
    Column("provider_message_id", String(255)),
    Column("created_at", Raw),
)

appointments = Table(
    "appointments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("patient_id", Integer),
    Column("conversation_id", Integer),
    Column("appointment_date", Raw),
    Column("duration_minutes", Integer),
    Column("status", NativeEnum("appointmentstatus")),
    Column("created_at", Raw),
    Column("updated_at", Raw),
)
