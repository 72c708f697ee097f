"""Signals of this app.

`organisation_created` is sent inside the transaction that makes an organisation, with
`organisation` and `welcome` (whether it may get the welcome credit), so that its ledger account
exists from the first moment.

`key_rotated` is sent inside the transaction that makes a key's successor, with `key_id` and
`successor_id`, so that what the old one has spent counts against the new one's cap.
"""

from django.dispatch import Signal

organisation_created = Signal()
key_rotated = Signal()
