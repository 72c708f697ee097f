"""Addresses of accounts; sign-in itself is django-allauth's, under /accounts/."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("portal/members/", views.members, name="members"),
    path("portal/members/invite/", views.member_invite, name="member_invite"),
    path(
        "portal/members/invitations/<int:invitation_id>/withdraw/",
        views.invitation_withdraw,
        name="invitation_withdraw",
    ),
    path("portal/members/<int:membership_id>/role/", views.member_role, name="member_role"),
    path("portal/members/<int:membership_id>/remove/", views.member_remove, name="member_remove"),
    path("portal/settings/", views.settings, name="settings"),
    path("portal/switch/", views.organisation_switch, name="organisation_switch"),
    path("portal/visit/end/", views.visit_end, name="visit_end"),
    path("invitation/<str:token>/", views.invitation, name="invitation"),
    path("operator-link/<str:token>/", views.operator_link, name="operator_link"),
]
