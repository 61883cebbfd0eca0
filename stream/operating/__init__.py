"""What an operator asks of the store, and reads of it, beside the running daemon."""
