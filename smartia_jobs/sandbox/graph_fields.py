"""The fields that Meta's nodes have, whether the sandbox gives them a value or not.

A client may ask for any of them: what has no value here is left out of the answer, and only
what Meta does not know either is refused.

Source: Meta's own Python SDK (``WhatsAppBusinessAccount``, v26.0, 2026), Graph's reference
pages of the phone number and of the template, and what pywa 4.5.0 asks for.
"""

#: Of a phone number.
PHONE_NUMBER = (
    "account_mode",
    "certificate",
    "code_verification_status",
    "conversational_automation",
    "country_code",
    "country_dial_code",
    "display_phone_number",
    "eligibility_for_api_business_global_search",
    "health_status",
    "id",
    "is_on_biz_app",
    "is_official_business_account",
    "is_pin_enabled",
    "is_preverified_number",
    "last_onboarded_time",
    "messaging_limit_tier",
    "name_status",
    "new_certificate",
    "new_display_name",
    "new_name_status",
    "platform_type",
    "quality_rating",
    "quality_score",
    "search_visibility",
    "status",
    "throughput",
    "unified_cert_status",
    "username",
    "verified_name",
    "webhook_configuration",
    "whatsapp_business_manager_messaging_limit",
)

#: Of an account (WABA); its edges can be asked for like fields.
ACCOUNT = (
    "account_review_status",
    "analytics",
    "auth_international_rate_eligibility",
    "business_verification_status",
    "country",
    "creation_time",
    "currency",
    "disable_marketing_messages_on_cloud_api",
    "health_status",
    "id",
    "is_enabled_for_insights",
    "is_shared_with_partners",
    "linked_commerce_account",
    "marketing_messages_ad_account",
    "marketing_messages_lite_api_status",
    "marketing_messages_onboarding_status",
    "message_template_namespace",
    "message_templates",
    "name",
    "on_behalf_of_business_info",
    "owner_business",
    "owner_business_info",
    "ownership_type",
    "phone_numbers",
    "primary_business_location",
    "primary_funding_id",
    "purchase_order_number",
    "service_pricing_policy",
    "status",
    "subscribed_apps",
    "template_auto_archival_enabled",
    "timezone_id",
    "whatsapp_business_manager_messaging_limit",
    "whatsapp_manager_marketing_messages_max_price_enroll_status",
)

#: Of a template in one language.
TEMPLATE = (
    "category",
    "components",
    "correct_category",
    "created_time",
    "cta_url_link_tracking_opted_out",
    "degrees_of_freedom_spec",
    "health_status",
    "id",
    "is_primary_device_delivery_only",
    "language",
    "last_updated_time",
    "library_template_name",
    "message_send_ttl_seconds",
    "name",
    "parameter_format",
    "previous_category",
    "quality_score",
    "rejected_reason",
    "rejection_info",
    "specific_rejection_reason",
    "status",
    "sub_category",
)

#: What the listing of templates sums up on request.
TEMPLATE_SUMMARY = (
    "are_translations_complete",
    "message_template_count",
    "message_template_limit",
    "total_count",
)
