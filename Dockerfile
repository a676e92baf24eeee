# The image of the program: docker build --tag smartia-jobs .
#
# Made to run with a read-only root (--read-only) as a user without rights: nothing is written
# but to the database. To try it: docker run --rm --read-only --tmpfs /tmp smartia-jobs demo
#
# A release names its base by digest as well: --build-arg PYTHON=python:3.13-slim-trixie@sha256:…
ARG PYTHON=python:3.13-slim-trixie


FROM ${PYTHON} AS build

WORKDIR /build
RUN python -m venv --without-pip /opt/smartia-jobs

# Only what stands in requirements.txt with its hash is installed, setuptools for the next step
# included; pip resolves nothing.
COPY requirements.txt ./
RUN pip --python /opt/smartia-jobs install --no-cache-dir --no-compile \
        --require-hashes --no-deps --requirement requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY smartia_jobs ./smartia_jobs
RUN pip --python /opt/smartia-jobs install --no-cache-dir --no-compile \
        --no-index --no-deps --no-build-isolation . \
    && pip --python /opt/smartia-jobs uninstall --yes setuptools \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/smartia-jobs/lib


# The same base again: the environment's interpreter is a link to the base's.
FROM ${PYTHON}

# The official images come without bytecode for the standard library, and a container like this
# one could not keep it: every start would compile it anew and take four times as long.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(test|tests|idlelib|turtledemo|ensurepip|site-packages)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && useradd --system --no-log-init --uid 10001 --no-create-home --shell /usr/sbin/nologin smartia

COPY --from=build /opt/smartia-jobs /opt/smartia-jobs

# The clinic's own zone is CLINIC_TIMEZONE. Bytecode is all there, so none is written at run time.
ENV PATH=/opt/smartia-jobs/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TZ=UTC

# A number, so that a cluster can see that it is not root.
USER 10001
# For a SQLite file, a catalogue or a .env that is mounted there.
WORKDIR /data

# In exec form the program is process 1 and gets the signal to stop itself. Without arguments it
# explains itself; nothing is sent by accident.
ENTRYPOINT ["smartia-jobs"]
CMD ["--help"]
