"""The daemon's log: which events there are, what becomes of a line, and how repeats are counted."""
