"""Whether the daemon goes on: its loops, its clock, its store, and who is told."""
