"""The Alembic environment of our own tables; run by :mod:`smartia_jobs.store.schema` alone.

A new migration is a new file in ``versions``, written by hand: the next number as its
revision, and as ``HEAD`` in :mod:`smartia_jobs.store.schema`. It only ever adds (tables,
nullable columns, columns with a server default, indexes on our own tables), because an older
program goes on working beside it while a new version is rolled out, and there is no way back
down. Files that were published never change.
"""
