"""Record the events of runs in the store, in a separate thread, so that no run waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from data_pipeline.events import Emit, Event
from data_pipeline.store import Store

LOGGER = logging.getLogger("data_pipeline.events")
GATHER_SECONDS: Final = 0.05
"""Interval between writes; the events of an interval are written together."""

_Entry = tuple[str, datetime, Event]


class EventRecorder:
    """Queue of events, filled from any thread; `close` writes the last ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="event-recorder", daemon=True)
        self._thread.start()

    def of_run(self, execution_id: str) -> Emit:
        """Return the `emit` of a run."""
        return lambda event: self._entries.put((execution_id, datetime.now(UTC), event))

    def close(self) -> None:
        """Write the remaining events and stop the thread."""
        self._entries.put(None)
        self._thread.join()

    def _write(self) -> None:
        is_open = True
        while is_open:
            gathered = [self._entries.get()]
            if gathered[0] is not None:
                time.sleep(GATHER_SECONDS)
            while not self._entries.empty():
                gathered.append(self._entries.get())
            is_open = None not in gathered
            for execution_id, events in _by_run([entry for entry in gathered if entry is not None]).items():
                try:
                    self._store.add_events(execution_id, events)
                except SQLAlchemyError as error:  # clients miss some events; the run does not depend on them
                    LOGGER.warning("%d events of %s are lost: %s", len(events), execution_id, type(error).__name__)


def _by_run(entries: list[_Entry]) -> dict[str, list[tuple[datetime, Event]]]:
    """Return the events of each run in order; of consecutive counts of moved files, only the newest."""
    runs: dict[str, list[tuple[datetime, Event]]] = {}
    for execution_id, at, event in entries:
        events = runs.setdefault(execution_id, [])
        if events and event.state == "advanced" and events[-1][1].state == "advanced":
            events.pop()
        events.append((at, event))
    return runs
