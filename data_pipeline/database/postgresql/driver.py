"""The parts of the PostgreSQL driver."""

from __future__ import annotations

from typing import Final

from data_pipeline.database.driver import Driver
from data_pipeline.database.postgresql.catalogue import PostgresCatalogue
from data_pipeline.database.postgresql.connecting import PostgresConnector
from data_pipeline.database.postgresql.faults import PostgresFaults
from data_pipeline.database.postgresql.grammar import GRAMMAR
from data_pipeline.database.postgresql.reading import PostgresReader

DRIVER: Final = Driver(
    GRAMMAR, PostgresConnector(), PostgresCatalogue(), PostgresReader(), PostgresFaults(), waits=True
)
