"""Names read as they are written: nothing in them hides or turns text round."""

import pytest
from django.core.exceptions import ValidationError

from portal.lib.names import check_plain_name


@pytest.mark.parametrize(
    "name", ["Acme", "Müller & Söhne", "模型", "سلام", "שלום", "क्‍ष", "👩‍💻 team", "a-b_c.d (1)", ""]
)
def test_names_of_any_script_are_fine(name: str) -> None:
    check_plain_name(name)


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\n", "\0", "\x1b", "\u2028", "\ue000"]
)
def test_what_hides_or_turns_round_is_refused(hidden: str) -> None:
    with pytest.raises(ValidationError):
        check_plain_name(f"Acme{hidden}moc.live")
