"""Is everything set up on both sides? Checks that say what was found and, where it fails, the cure. Nothing is written.

examine     all checks, in their order: `examine`
salesforce, marketo    what the answers of either say. Pure
findings    one line of the report
"""

from stream.doctor.examine import as_rows, examine
from stream.doctor.findings import Finding, failure

__all__ = ["Finding", "as_rows", "examine", "failure"]
