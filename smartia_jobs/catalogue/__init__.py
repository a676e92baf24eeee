"""What patients are told: the catalogue of templates and the writing of each message; pure."""
