"""`changefeed doctor`: is it all as it should be, and what is to be done where it is not? See `docs/doctor.md`."""

from .diagnosis import Diagnosis, diagnosis_of, misconfigured
from .finding import Finding, Level

__all__ = ["Diagnosis", "Finding", "Level", "diagnosis_of", "misconfigured"]
