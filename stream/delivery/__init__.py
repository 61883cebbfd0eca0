"""One claimed batch on its way: who is who in Marketo, what may be sent together, and what became of it."""
