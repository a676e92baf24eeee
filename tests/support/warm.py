"""An interpreter that has loaded the program once, and forks a process for each run of it.

Most of a short run is imports, and what undoes them at its end: of half a second of processor
time a fork leaves a tenth. It is a process all the same, with an environment, a folder, streams,
signals and an exit status of its own.

This file runs as a script, with nothing but the standard library and the program on its path.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys

#: More than the arguments and variables of any run.
LARGEST_REQUEST = 1 << 17


def load() -> None:
    """Import the whole program, and what it imports only where it needs it."""
    import smartia_jobs

    for module in pkgutil.walk_packages(smartia_jobs.__path__, "smartia_jobs."):
        if module.name not in ("smartia_jobs.__main__", "smartia_jobs.store.migrations.env"):
            importlib.import_module(module.name)
    for name in (
        "alembic.command", "jinja2", "psycopg", "requests", "rich.live", "rich.table",
        "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite",
        "starlette.applications", "uvicorn",
    ):  # fmt: skip
        importlib.import_module(name)


def serve(requests: socket.socket) -> list[str]:
    """Fork a process for each request until nobody can ask any more.

    A request is the arguments, variables and folder of a run as JSON, with three descriptors:
    standard output, standard error, and where its id and exit status are to be told.

    Returns:
        In a process that is to be a run of the program: its arguments.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a run
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 3)
        if not request:
            sys.exit()
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        requests.close()
        stdout, stderr, told = descriptors
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if pid := os.fork():
            os.close(stdout)
            os.close(stderr)
            os.write(told, str(pid).encode())
            _, status = os.waitpid(pid, 0)
            os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        os.close(told)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in ((1, stdout), (2, stderr)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        arguments, variables, folder = json.loads(request)
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        sys.path[0] = folder
        return list(arguments)


def main() -> None:
    """Load the program, then be every run of it that is asked for."""
    status = 0

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    # Registered first, so called last: after the program's own threads and handlers.
    atexit.register(leave)
    load()
    gc.freeze()  # in memory that is shared, and is not to be copied
    sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    status = 1
    try:
        runpy.run_module("smartia_jobs", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = int(end.code or 0)
        raise


if __name__ == "__main__":
    main()
