"""The operations on tasks, for the service and the command line."""
