"""Signals of this app.

`organisation_created` is sent inside the transaction that makes an organisation, with
`organisation` and `welcome` (whether it may get the welcome credit), so that its ledger account
exists from the first moment.
"""

from django.dispatch import Signal

organisation_created = Signal()
