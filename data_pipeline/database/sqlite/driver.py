"""The parts of the SQLite driver."""

from __future__ import annotations

from typing import Final

from data_pipeline.database.driver import Driver
from data_pipeline.database.sqlite.catalogue import SqliteCatalogue
from data_pipeline.database.sqlite.connecting import SqliteConnector
from data_pipeline.database.sqlite.faults import SqliteFaults
from data_pipeline.database.sqlite.grammar import GRAMMAR
from data_pipeline.database.sqlite.reading import SqliteReader

DRIVER: Final = Driver(GRAMMAR, SqliteConnector(), SqliteCatalogue(), SqliteReader(), SqliteFaults(), waits=False)
