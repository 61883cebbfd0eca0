"""The simulated Marketo: an instance in memory, behind the REST API that Adobe documents."""

from sandbox.marketo.instance import Instance, Violation, Write
from sandbox.marketo.quirks import Quirks
from sandbox.marketo.schema import Field
from sandbox.marketo.server import SimulatedMarketo

__all__ = ["Field", "Instance", "Quirks", "SimulatedMarketo", "Violation", "Write"]
