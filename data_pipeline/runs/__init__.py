"""A run and its environment: records, the durable engine, worker slots, events, metrics."""
