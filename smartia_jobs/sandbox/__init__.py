"""A small WhatsApp Cloud API on 127.0.0.1, for trying and testing; it is not Meta."""

from smartia_jobs.sandbox.account import PHONE_NUMBER_ID, WABA_ID
from smartia_jobs.sandbox.person import Person
from smartia_jobs.sandbox.received import Received
from smartia_jobs.sandbox.scripts import Scripted
from smartia_jobs.sandbox.server import Sandbox

__all__ = ["PHONE_NUMBER_ID", "WABA_ID", "Person", "Received", "Sandbox", "Scripted"]
