"""WhatsApp Cloud API: phone numbers, sending, what its answers mean, and how fast to go."""
