"""Measurements, side by side with rivals and physical limits; never part of the tests."""
