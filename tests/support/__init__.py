"""What several tests stand on: disks that lie, scenarios to break, checks that nothing is lost."""
