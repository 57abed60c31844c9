"""What an encoded image announces, checked before a decoder allocates memory for it."""
