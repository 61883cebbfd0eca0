"""What the daemon reaches, measured beside what it is compared with. docs/performance.md explains it."""
