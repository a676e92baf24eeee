"""The program itself, through its own command line, against a server with a made-up certificate.

    python smartia.py CA_BUNDLE capped|uncapped ARGUMENTS...

Two things are put in from outside, so that the program needs no back door for them: whom TLS
trusts, and, ``uncapped``, a pace beyond the highest ``SEND_RATE``.
"""

import sys

from smartia_jobs.cli import main
from smartia_jobs.clock import Clock
from smartia_jobs.jobs import sender
from smartia_jobs.whatsapp import transport
from smartia_jobs.whatsapp.pacing import Pacer

if __name__ == "__main__":
    _, bundle, pace, *arguments = sys.argv
    sys.argv = ["smartia-jobs", *arguments]
    setattr(transport, "DEFAULT_CA_BUNDLE_PATH", bundle)  # noqa: B010 - not its own name

    def uncapped(_: float, clock: Clock) -> Pacer:
        return Pacer(1e6, clock)

    if pace == "uncapped":
        setattr(sender, "Pacer", uncapped)  # noqa: B010 - not its own name
    raise SystemExit(main())
