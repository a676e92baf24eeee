"""The product: one module for each thing the clinic asks for."""
