"""How each language writes dates and numbers, where Django's own formats are not what we want.

Beside Django's names there are three of ours, which `|date` knows like the others: `CLOCK_FORMAT`
(a day of this year with its time), `SECONDS_FORMAT` (the same, to the second) and
`SHORT_MONTH_FORMAT`. Where text is compared or copied it is ISO in every language, spelt out
in place. Digits are grouped in threes everywhere, as money is.
"""
