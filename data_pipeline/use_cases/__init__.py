"""What people do with tasks, for the service and the command line alike."""
