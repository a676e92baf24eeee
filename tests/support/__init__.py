"""What the tests share: a SmartIA clinic to fill, a private PostgreSQL, the program itself."""

from tests.support.clinic_data import Clinic
from tests.support.program import CliResult, RunCli, StartCli

__all__ = ["CliResult", "Clinic", "RunCli", "StartCli"]
