"""What the files for many clinics have in common: when each job starts, and a fleet to start."""

from pathlib import Path

from smartia_jobs.settings.clinics import Clinics, read_clinics

#: By UTC. The daily ones come every hour, too: ``--at`` takes the clinics where it is nine.
SCHEDULES = {
    "72h": "5 * * * *",
    "24h": "0 * * * *",
    "2h": "10 * * * *",
    "no-show": "40 * * * *",
    "replies": "5-55/10 * * * *",
    "calls": "*/15 * * * *",
}


def clinics_for(folder: Path, environment: dict[str, str]) -> Clinics:
    """Return a fleet with one clinic, as a process with these variables sees it."""
    (folder / "centro.env").write_text(
        "DATABASE_URL=postgresql://u:p@/smartia?host=/cloudsql/p:r:i\n"
        "META_ACCESS_TOKEN=t\nMETA_PHONE_NUMBER_ID=1\nCLINIC_TIMEZONE=America/Manaus\n"
    )
    return read_clinics(folder, environment)
