"""What most scripts do: a request and a commit for each message, one after the other.

python loop.py requests|pywa DATABASE_URL URL CA_BUNDLE MESSAGES
"""

import sys
from collections.abc import Callable, Iterator

from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

Send = Callable[[str, str], str]


class Base(DeclarativeBase):
    """SmartIA's tables, as its own models have them."""


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone_number: Mapped[str]
    name: Mapped[str]


class Conversation(Base):
    __tablename__ = "conversations"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    state: Mapped[str]


class Appointment(Base):
    __tablename__ = "appointments"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    status: Mapped[str]
    patient: Mapped[Patient] = relationship()


class Interaction(Base):
    __tablename__ = "interactions"
    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id"))
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    type: Mapped[str]
    message_type: Mapped[str]
    message_text: Mapped[str]
    provider_message_id: Mapped[str]


def with_requests(url: str, bundle: str) -> Send:
    """Return a sender that is a call of ``requests.post``."""
    import requests

    def send(phone: str, name: str) -> str:
        answer = requests.post(
            f"{url}/v25.0/1/messages",
            headers={"Authorization": "Bearer made-up"},
            json={
                "messaging_product": "whatsapp",
                "to": phone,
                "type": "template",
                "template": {
                    "name": "smartia_lembrete_24h",
                    "language": {"code": "pt_BR"},
                    "components": [
                        {
                            "type": "body",
                            "parameters": [
                                {"type": "text", "parameter_name": "paciente", "text": name}
                            ],
                        }
                    ],
                },
            },
            timeout=30,
            verify=bundle,
        )
        return str(answer.json()["messages"][0]["id"])

    return send


def with_pywa(url: str, bundle: str) -> Send:
    """Return a sender that is a call of pywa's client."""
    import ssl

    import httpx
    from pywa import WhatsApp
    from pywa.types.templates import BodyText, TemplateLanguage

    session = httpx.Client(verify=ssl.create_default_context(cafile=bundle), timeout=30)
    client = WhatsApp(phone_id="1", token="made-up", session=session)
    session.base_url = f"{url}/v25.0"

    def send(phone: str, name: str) -> str:
        sent = client.send_template(
            to=phone,
            name="smartia_lembrete_24h",
            language=TemplateLanguage.PORTUGUESE_BR,
            params=[BodyText.params(paciente=name)],
        )
        return str(sent.id)

    return send


def main(database_url: str, send: Send, messages: int) -> None:
    """Send to everybody who is confirmed, one by one."""
    with Session(create_engine(database_url)) as session:
        for appointment in _due(session, messages):
            patient = appointment.patient
            conversation = session.scalars(
                select(Conversation).where(Conversation.patient_id == patient.id)
            ).first()
            if conversation is None:
                conversation = Conversation(patient_id=patient.id, state="DONE")
                session.add(conversation)
                session.flush()
            message_id = send(patient.phone_number, patient.name)
            session.add(
                Interaction(
                    conversation_id=conversation.id,
                    patient_id=patient.id,
                    type="OUTGOING",
                    message_type="template",
                    message_text=f"Olá, {patient.name}!",
                    provider_message_id=message_id,
                )
            )
            session.commit()


def _due(session: Session, messages: int) -> Iterator[Appointment]:
    query = select(Appointment).where(Appointment.status == "CONFIRMED").limit(messages)
    yield from session.scalars(query).all()


if __name__ == "__main__":
    _, kind, database_url, url, bundle, messages = sys.argv
    sender = with_requests if kind == "requests" else with_pywa
    main(database_url, sender(url, bundle), int(messages))
