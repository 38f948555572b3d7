"""What the commands of the program do, without the program: each takes what it needs and returns or calls what it found."""

from .doctor import Diagnosis, diagnosis_of, misconfigured
from .explain import Explanation, explanation_of
from .migrating import migrated
from .serving import relaying, served
from .status import Status
from .tailing import live_events
from .tokens import issued_token

__all__ = [
    "Diagnosis",
    "Explanation",
    "Status",
    "diagnosis_of",
    "explanation_of",
    "issued_token",
    "live_events",
    "migrated",
    "misconfigured",
    "relaying",
    "served",
]
