"""Opening the identity of a complainant: for what, for how long, how often."""

from datetime import timedelta
from typing import Final

from shared.appraisal.labels import LabelledEnum

APPROVAL_KEY: Final = "identity_opening"
"""Kind of the requests that the custodian decides."""
OPENED_SECONDS: Final = 60
"""How long a page shows an opened identity."""
OPENABLE_FOR: Final = timedelta(hours=8)
"""An approved opening that nobody used within this time is void."""
LIMIT_PERIOD: Final = timedelta(hours=1)


class OpeningPurpose(LabelledEnum):
    """For what an identity is opened; the complainant reads it on the progress page."""

    CALL_BACK = "call_back", "电话回访"
    VERIFICATION = "verification", "核实情况"
    PROTECTION = "protection", "保护来件人"
    LAWFUL_REQUEST = "lawful_request", "依法调取"
