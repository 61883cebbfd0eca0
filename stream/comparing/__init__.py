"""Both sides beside each other: what is, what should be, and what would be sent."""
