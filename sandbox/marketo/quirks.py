"""Where documents leave Marketo's behaviour open, or instances differ: one switch each, set on `Instance.quirks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Quirks:
    """How this instance behaves. The defaults are the stricter reading wherever there are two."""

    external_person_id_lookup: bool = True
    """Whether `lookupField` may be externalPersonId; otherwise 1011."""
    external_person_id_updateable: bool = True
    """Whether externalPersonId can change once it is set; otherwise such a record is skipped with 1003."""
    company_fields_in_leads: Literal["refuse", "apply", "ignore"] = "refuse"
    """Company fields in a lead sync: 1021, or they change the company of every lead in it, or they are passed over."""
    sales_person_email: Literal["refuse", "accept", "ignore"] = "refuse"
    """A changed email of a known sales person: skipped with 1003, taken, or silently passed over."""
    opportunity_without_sales_person: Literal["batch", "record", "lose"] = "batch"
    """An opportunity naming an unknown sales person: 718 for the whole call, for the record, or the relation is lost."""
    native_crm: bool = False
    """A native CRM sync is on: writes answer 1018 and the role API is not there (610)."""
    native_crm_takes_leads: bool = False
    """With native CRM sync on, leads can be written all the same (the documents name only the other objects as read-only)."""
    partition_required: bool = False
    """Lead creates must name a partition (1009)."""
    denied_paths: list[str] = field(default_factory=list)
    """Regular expressions of paths that this API user may not call (603)."""
    integer_codes: bool = False
    """Codes are numbers instead of text."""
    sparse: bool = False
    """Members of the envelope that can be implied are left out."""
    reverse_results: bool = False
    """Results that carry `seq` come in reverse order."""
    assorted_datetimes: bool = True
    """Datetimes are answered in three formats; otherwise always as `…Z`."""
    create_latency_seconds: float = 0.0
    """Time between a lead sync's look at who exists and its writing: two closely timed creates make duplicates."""
    batch_most: int = 300
    """Records that a write gets done in time; with more of them it answers 604, and nothing is done."""
    crowded_seconds: float = 0.0
    """How much longer a call takes for each other one that is under way when it comes."""
    accept_query_token: bool = False
    """The withdrawn `access_token` query parameter still works."""
    activities_scanned: int = 300
    """How many activities of any type one call looks through: pages of a rare type come short or empty, with more to follow."""
    value_change_activities: bool = True
    """Whether every changed lead field leaves an activity 13, as in a real instance (memory, in a large one)."""
    journal: bool = True
    """Whether accepted writes are remembered (memory, in a large instance); without it the oracle knows less."""
