"""What the tests of the request log share."""

import pytest

from accounts.models import Organisation


@pytest.fixture
def keeper(organisation: Organisation) -> Organisation:
    """Alice's organisation, which keeps bodies for a week and metadata for two."""
    organisation.keeps_bodies = True
    organisation.body_retention_days = 7
    organisation.metadata_retention_days = 14
    organisation.save()
    return organisation
