"""Moving dates by whole days, in the forms of the value representations DA and DT (PS3.5 table 6.2-1)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DATETIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)")
_TIME = re.compile(r"([01]\d|2[0-3])(?:[0-5]\d(?:[0-6]\d(?:\.\d{1,6})?)?)?")


def move(text: str, by: timedelta) -> str | None:
    """Return a DA or DT value moved by whole days; None if it is no full date, or leaves the calendar.

    The time of day and the offset from UTC of a DT stay. ``YYYY.MM.DD``, the form before 1993, comes out as a DA.
    """
    if match := _DATE.fullmatch(text):
        day, rest = "".join(match.groups()), ""
    elif match := _DATETIME.fullmatch(text):
        day, rest = match.groups()
    else:
        return None
    try:
        return f"{datetime.strptime(day, '%Y%m%d') + by:%Y%m%d}".zfill(8) + rest
    except (ValueError, OverflowError):
        return None


def is_time(text: str) -> bool:
    """Tell whether a text is a time of day (TM), and nothing else."""
    return _TIME.fullmatch(text) is not None
