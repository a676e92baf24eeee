"""What comes back from WhatsApp, as values, and what it means: pure, without a database or HTTP."""
