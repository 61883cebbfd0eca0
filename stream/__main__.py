"""`python -m stream` is `msi-stream`."""

from __future__ import annotations

from stream.cli.main import main

main()
