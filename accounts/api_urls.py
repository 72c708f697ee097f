"""Addresses of accounts under /api/."""

from django.urls import path

from accounts import api

urlpatterns = [
    path("organisation/", api.OrganisationView.as_view(), name="api_organisation"),
    path("members/", api.MembersView.as_view(), name="api_members"),
    path("members/<int:member_id>/", api.MemberView.as_view(), name="api_member"),
    path("invitations/", api.InvitationsView.as_view(), name="api_invitations"),
    path("invitations/<int:invitation_id>/", api.InvitationView.as_view(), name="api_invitation"),
    path("keys/", api.KeysView.as_view(), name="api_keys"),
    path("keys/<uuid:key_id>/", api.KeyView.as_view(), name="api_key"),
    path("keys/<uuid:key_id>/rotate/", api.KeyRotationView.as_view(), name="api_key_rotate"),
]
