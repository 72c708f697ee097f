"""The verbs of this app: make organisations, keys and invitations, change who may do what.

Pages, the management API and commands call these and nothing else. Each is one transaction and
refuses with ValueError, in a sentence for the person who asked.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, keys
from accounts.models import ApiKey, Invitation, Membership, Organisation, Role, Scope, User
from accounts.signals import key_rotated, organisation_created

INVITATION_LASTS = timedelta(days=7)
ROTATION_OVERLAP = timedelta(hours=24)
MAX_IP_RANGES = 20
MAX_INVITATIONS_A_DAY = 50
MAX_KEYS = 1_000  # of an organisation, that have not ended
MAX_KEYS_A_DAY = 1_000  # those that were revoked since, and successors, included
KEYS_OF_FORMS = UUID("6c1d7f0e-6d0e-4c34-9a5a-0f5a5f6d9c1b")
MADE_BEFORE = gettext_lazy(
    "This form has already made its key, and a key is shown only once. "
    "If you did not copy it, revoke it and make another."
)
WITHOUT_OWNER = gettext_lazy("An organisation needs an owner; make somebody else one first.")


@transaction.atomic
def create_organisation(user: User, name: str, *, welcome: bool = True) -> Organisation:
    """An organisation owned by `user`, with its ledger account.

    `welcome`: whether it may get the welcome credit; only a person's first one ever gets it.
    """
    first = User.objects.filter(pk=user.pk, welcomed_at=None).update(welcomed_at=timezone.now())
    welcome = welcome and first == 1
    organisation = Organisation.objects.create(name=name)
    Membership.objects.create(organisation=organisation, user=user, role=Role.OWNER)
    organisation_created.send(Organisation, organisation=organisation, welcome=welcome)
    return organisation


@transaction.atomic
def ensure_organisation(user: User, *, welcome: bool = True) -> Organisation:
    """The user's first organisation; made when there is none, however the user came."""
    User.objects.select_for_update().get(pk=user.pk)  # two tabs make one organisation
    membership = user.memberships.select_related("organisation").order_by("pk").first()
    if membership is not None:
        return membership.organisation
    name = _("%(name)s's organisation") % {"name": user.get_short_name()[:70]}
    return create_organisation(user, name, welcome=welcome)


@transaction.atomic
def suspend(organisation: Organisation, *, anew: bool = False) -> bool:
    """Stop its keys and running streams within two seconds; False when it was suspended before.

    Its moment names a suspension. `anew` puts a new one in the place of one that there is, which
    whoever brought that one does not lift.
    """
    now = timezone.now()
    rows = Organisation.objects.filter(pk=organisation.pk)
    rows = rows if anew else rows.filter(suspended_at=None)
    return audit.noted(rows.update(suspended_at=now), organisation, suspended_at=now)


@transaction.atomic
def resume(organisation: Organisation, *, since: datetime | None = None) -> bool:
    """Undo `suspend`, or only the suspension of that moment; False when it was not suspended."""
    rows = Organisation.objects.filter(pk=organisation.pk, deleted_at=None).exclude(
        suspended_at=None
    )
    rows = rows if since is None else rows.filter(suspended_at=since)
    return audit.noted(rows.update(suspended_at=None), organisation, suspended_at=None)


@transaction.atomic
def erase(organisation: Organisation) -> None:
    """Delete all that belongs to a suspended organisation, but what must not go: its ledger.

    What would go with its row (CASCADE) goes; what would keep the row (PROTECT) stays, and with it
    an organisation without a name. What is being written for it meanwhile goes as well, or is not.
    """
    _one_at_a_time(organisation)
    for relation in Organisation._meta.related_objects:
        if relation.on_delete is models.CASCADE:
            rows: models.Manager[models.Model] = getattr(relation.related_model, "objects")  # noqa: B009
            rows.filter(**{relation.field.name: organisation}).delete()
        elif relation.many_to_many:
            getattr(organisation, str(relation.get_accessor_name())).clear()
    audit.entries(organisation).delete()
    Organisation.objects.filter(pk=organisation.pk).update(
        name="–", keeps_bodies=False, deleted_at=timezone.now()
    )


def ip_ranges(words: Sequence[str]) -> list[str]:
    """Addresses and CIDR ranges in their canonical form. Raises ValueError naming the bad one."""
    if len(words) > MAX_IP_RANGES:
        raise ValueError(_("At most %(most)s ranges.") % {"most": MAX_IP_RANGES})
    ranges = []
    for word in words:
        try:
            ranges.append(str(ipaddress.ip_network(word, strict=False)))
        except ValueError:
            said = _("%(word)s is not an address or a range.") % {"word": word}
            raise ValueError(said) from None
    return ranges


@transaction.atomic
def create_key(
    organisation: Organisation,
    user: User | None,
    name: str,
    *,
    scope: str = Scope.INFERENCE,
    allowed_models: Sequence[str] = (),
    ip_ranges: Sequence[str] = (),
    monthly_cap_nanos: int | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    expires_at: datetime | None = None,
    first_key_id: UUID | None = None,
    form_token: str = "",
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is stored nowhere and can be shown only now.

    `form_token`: of the form that asks for it, which makes one key however often it is sent.
    """
    _leave_room_for_a_key(organisation)
    minted = keys.mint()
    key = ApiKey(
        id=uuid5(KEYS_OF_FORMS, f"{organisation.pk} {form_token}") if form_token else uuid4(),
        organisation=organisation,
        created_by=user,
        name=name,
        prefix=minted.prefix,
        last_four=minted.last_four,
        key_hash=minted.key_hash,
        scope=scope,
        allowed_models=list(allowed_models),
        ip_ranges=list(ip_ranges),
        monthly_cap_nanos=monthly_cap_nanos,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        expires_at=expires_at,
        first_key_id=first_key_id,
    )
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError:
        if not ApiKey.objects.filter(pk=key.pk).exists():
            raise
        raise ValueError(MADE_BEFORE) from None
    return key, minted.secret


def _leave_room_for_a_key(organisation: Organisation) -> None:
    """Refuse when there are enough. A key that is rotated has ended: its successor finds room."""
    _one_at_a_time(organisation)
    _leave_room_among_live_keys(organisation)
    since = timezone.now() - timedelta(days=1)
    made = ApiKey.objects.filter(organisation=organisation, created_at__gt=since)
    if made.count() >= MAX_KEYS_A_DAY:
        said = _("An organisation makes at most %(most)s keys a day; try again tomorrow.")
        raise ValueError(said % {"most": f"{MAX_KEYS_A_DAY:,}"})


def _leave_room_among_live_keys(organisation: Organisation) -> None:
    """Refuse when enough have not ended. The caller has locked the organisation."""
    unrevoked = ApiKey.objects.filter(organisation=organisation, revoked_at=None)
    live = unrevoked.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    if live.count() >= MAX_KEYS:
        said = _("An organisation has at most %(most)s keys; revoke some first.")
        raise ValueError(said % {"most": f"{MAX_KEYS:,}"})


def lock(organisation_id: str) -> bool:
    """Until the caller's transaction ends nobody else counts what it has, nor deletes it.

    False: it was deleted.
    """
    rows = Organisation.objects.select_for_update(no_key=True).filter(pk=organisation_id)
    return rows.filter(deleted_at=None).exists()


def _one_at_a_time(organisation: Organisation) -> None:
    """`lock` it. Raises ValueError when it was deleted."""
    if not lock(organisation.pk):
        raise ValueError(_("This organisation was deleted."))


@transaction.atomic
def change_key(key: ApiKey, **fields: Any) -> ApiKey:
    """Give a key another name, models, addresses, caps, limits or expiry; not one that ended."""
    now, row = timezone.now(), ApiKey.objects.filter(pk=key.pk)
    if "expires_at" in fields:
        _one_at_a_time(key.organisation)  # before its key, in the order of `erase`
        if row.filter(expires_at__lte=now).exists():  # it had ended, and comes back
            _leave_room_among_live_keys(key.organisation)
    live = row.filter(Q(revoked_at=None) | Q(revoked_at__gt=now))
    if fields and not audit.noted(live.update(**fields), key, **fields):
        raise ValueError(_("This key is revoked."))
    key.refresh_from_db()
    return key


@transaction.atomic
def revoke_key(key: ApiKey) -> bool:
    """Revoke now; False when it was revoked before. Running streams end within two seconds."""
    now = timezone.now()
    live = ApiKey.objects.filter(pk=key.pk).filter(Q(revoked_at=None) | Q(revoked_at__gt=now))
    return audit.noted(live.update(revoked_at=now), key, revoked_at=now)


@transaction.atomic
def rotate_key(
    key: ApiKey, user: User | None, *, overlap: timedelta = ROTATION_OVERLAP
) -> tuple[ApiKey, str]:
    """A successor with the same rights; the old key works until `overlap` is over.

    What both use counts towards one cap and one limit.
    """
    _one_at_a_time(key.organisation)  # before its key, in the order of `erase`
    ends_at = timezone.now() + overlap
    live = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
    if not audit.noted(live.update(revoked_at=ends_at), key, revoked_at=ends_at):
        raise ValueError(_("This key is already revoked or being rotated."))
    successor, secret = create_key(
        key.organisation,
        user,
        key.name,
        scope=key.scope,
        allowed_models=key.allowed_models,
        ip_ranges=key.ip_ranges,
        monthly_cap_nanos=key.monthly_cap_nanos,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        expires_at=key.expires_at,
        first_key_id=key.first_key_id or key.pk,
    )
    key_rotated.send(ApiKey, key_id=key.pk, successor_id=successor.pk)
    return successor, secret


@transaction.atomic
def invite(
    organisation: Organisation, inviter: User | None, email: str, role: str
) -> tuple[Invitation, str]:
    """An invitation and its token, which goes into the mail and is stored as a hash only.

    An open invitation of the same address is replaced: the newest mail is the one that works.
    """
    email = email.strip().lower()
    _one_at_a_time(organisation)
    if organisation.memberships.filter(user__email__iexact=email).exists():
        raise ValueError(_("This person is a member already."))
    day_ago = timezone.now() - timedelta(days=1)
    if audit.invitations_since(organisation, day_ago) >= MAX_INVITATIONS_A_DAY:
        # Each is a mail to an address that anybody may have typed in.
        raise ValueError(_("No more invitations can be sent today; try again tomorrow."))
    replaced = organisation.invitations.filter(email__iexact=email, accepted_at=None)
    owners = replaced.filter(role=Role.OWNER, expires_at__gt=timezone.now())
    if role != Role.OWNER and owners.exists():
        # An owner's is an owner's to withdraw, by this way as well.
        raise ValueError(_("This person is invited as an owner; withdraw that invitation first."))
    replaced.delete()
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        organisation=organisation,
        email=email,
        role=role,
        token_hash=hash_token(token),
        invited_by=inviter,
        expires_at=timezone.now() + INVITATION_LASTS,
    )
    return invitation, token


def withdraw_invitation(invitation: Invitation) -> None:
    """Make the mail that carries it worth nothing. Raises ValueError for one that has ended."""
    deleted, _by_model = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).delete()
    if not deleted:
        raise ValueError(_("This invitation has already been accepted or withdrawn."))


def find_invitation(token: str) -> Invitation | None:
    """The open invitation with this token, or None."""
    return (
        Invitation.objects.select_related("organisation")
        .filter(token_hash=hash_token(token), accepted_at=None, expires_at__gt=timezone.now())
        .first()
    )


@transaction.atomic
def accept_invitation(token: str, user: User) -> Membership:
    """Make the invited person a member, once. The address must be the invited one."""
    invitation = find_invitation(token)
    if invitation is None:
        raise ValueError(_("This invitation was used, replaced or has expired."))
    if invitation.email.lower() != user.email.lower():
        raise ValueError(_("This invitation is for another email address."))
    _one_at_a_time(invitation.organisation)
    taken = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(
        accepted_at=timezone.now()
    )
    if not taken:
        raise ValueError(_("This invitation was used, replaced or has expired."))
    try:
        with transaction.atomic():
            return Membership.objects.create(
                organisation=invitation.organisation, user=user, role=invitation.role
            )
    except IntegrityError:
        raise ValueError(_("You are a member already.")) from None


@transaction.atomic
def change_role(membership: Membership, role: str) -> None:
    """Give a member another role; the last owner stays one. Not to who has gone meanwhile."""
    # The owners first, as everywhere: two of them would wait for each other.
    if role != Role.OWNER:
        keep_an_owner(membership)
    if not Membership.objects.select_for_update().filter(pk=membership.pk).exists():
        raise ValueError(_("This person is no longer a member."))
    membership.role = role
    membership.save(update_fields=["role"])


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """Remove a member; the last owner stays. Keys they made belong to the organisation.

    What they were generating in the playground ends within two seconds.
    """
    keep_an_owner(membership)
    membership.delete()


def keep_an_owner(membership: Membership) -> None:
    """Refuse when this member is the last owner.

    The caller is in a transaction; the organisation's owners are locked until its end.
    """
    owners = Membership.objects.select_for_update().filter(
        organisation_id=membership.organisation_id, role=Role.OWNER
    )
    if [owner.pk for owner in owners] == [membership.pk]:
        raise ValueError(WITHOUT_OWNER)


def hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
