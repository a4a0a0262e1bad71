"""Runs that start because something happened outside of Pouch."""
