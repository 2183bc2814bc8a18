"""Pulls the plug on real file systems, in images on loop devices."""
