"""What a day's calls and events may be spent on."""
