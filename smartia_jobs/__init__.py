"""Reminds the patients of a SmartIA clinic over WhatsApp, once each, at the right time."""

__version__ = "0.1.0"
