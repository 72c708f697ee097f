"""The operator's pages for models and their aliases."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing import pricing
from inference import catalog, console
from inference.models import ModelAlias, ServedModel
from portal.lib.money import format_dollars

HELP = {
    "source": _(
        "a checkpoint's folder on this machine, or its id at Hugging Face; "
        "empty: an engine that you run yourself"
    ),
    "max_model_len": _("tokens of a prompt and its answer together"),
    "position": _("in lists: the smaller, the earlier"),
    "shutdown_date": _("announced in lists and on the model's page"),
}


class AliasInline(admin.StackedInline[ModelAlias, ServedModel]):
    model = ModelAlias
    extra = 0


@admin.register(ServedModel)
class ServedModelAdmin(admin.ModelAdmin[ServedModel]):
    list_display = [
        "name",
        "price",
        "enabled",
        "is_public",
        "state",
        "num_engines",
        "problem",
        "kind",
        "max_model_len",
        "quantization",
        "is_chat",
        "position",
    ]
    list_filter = ["enabled", "is_public", "kind", "is_chat"]
    # With its label: the search field of Django's autocomplete for several has none.
    raw_id_fields = ["organisations"]
    search_fields = ["name", "description"]
    readonly_fields = ["price", "problem", "created_at"]
    inlines = [AliasInline]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **more: Any
    ) -> Any:
        return super().get_form(request, obj, change, help_texts=HELP, **more)

    def get_urls(self) -> list[URLPattern]:
        engines = self.admin_site.admin_view(console.engines)
        margins = self.admin_site.admin_view(console.margins_page)
        return [
            path("engines/", engines, name="inference_engines"),
            path("margins/", margins, name="inference_margins"),
            *super().get_urls(),
        ]

    @admin.display(description=_("price per million tokens"))
    def price(self, row: ServedModel) -> SafeString:
        """Input, cached input and output, with a link to every price it had."""
        address = f"{reverse('admin:billing_price_changelist')}?model={row.name}"
        try:
            sheet = pricing.current_price(row.name)
        except pricing.NoPrice:
            address = f"{reverse('admin:billing_price_add')}?model={row.name}"
            return format_html('<a href="{}">{}</a>', address, _("none: it is not offered"))
        amounts = (
            sheet.input_nanos_per_mtok,
            sheet.cached_input_nanos_per_mtok,
            sheet.output_nanos_per_mtok,
        )
        told = " / ".join(format_dollars(nanos) for nanos in amounts)
        if sheet.flex_percent:
            told += f" (flex {sheet.flex_percent} %)"
        return format_html('<a href="{}">{}</a>', address, told)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The last thing that is written: the row, its organisations, its aliases."""
        super().save_related(request, form, formsets, change)
        catalog.forget()


@admin.register(ModelAlias)
class ModelAliasAdmin(admin.ModelAdmin[ModelAlias]):
    list_display = ["name", "target"]
    search_fields = ["name", "target__name"]
    autocomplete_fields = ["target"]

    def save_model(self, request: HttpRequest, obj: ModelAlias, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        catalog.forget()
