"""Is everything set up on both sides? Checks that say what was found and, where it fails, the cure. Nothing is written.

checks      all of them, in their order: `examine`
salesforce, selection, permissions, marketo, fields, sales_people    what the answers of both sides say. Pure
machine     the store, the disk, the daemon, the clock
record      one lead or contact, from link to link: why its sales person's widget is empty
findings    one line of the report
"""

from stream.doctor.checks import as_rows, examine
from stream.doctor.findings import Finding, failure
from stream.doctor.record import diagnose

__all__ = ["Finding", "as_rows", "diagnose", "examine", "failure"]
