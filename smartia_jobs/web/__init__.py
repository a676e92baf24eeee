"""The HTTP service: WhatsApp's webhook, and the old programs' endpoints with their field names."""
