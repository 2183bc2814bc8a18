"""The executor of runs, for the service, the command line and tests."""
