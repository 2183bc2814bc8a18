"""A run and its surroundings: records, the durable engine, worker slots, events, metrics."""
