"""Is everything set up on both sides? Checks that say what was found and, where it fails, the cure. Nothing is written.

checks      all of them, in their order: `examine`
salesforce, selection, permissions, marketo, fields, sales_people    what the answers of both sides say. Pure
machine     the store, the disk, the daemon, the clock
findings    one line of the report
"""

from stream.doctor.checks import as_rows, examine
from stream.doctor.findings import Finding, failure

__all__ = ["Finding", "as_rows", "examine", "failure"]
