"""Simplified Chinese: year, month, day; Django groups digits in fours, which nobody here does."""

DATE_FORMAT = "Y年n月j日"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "Y年n月j日 H:i"
YEAR_MONTH_FORMAT = "Y年n月"
MONTH_DAY_FORMAT = "n月j日"
CLOCK_FORMAT = "n月j日 H:i"
SECONDS_FORMAT = "n月j日 H:i:s"
SHORT_MONTH_FORMAT = "Y年n月"
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
