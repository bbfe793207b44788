"""Networks that write images down in fewer numbers and read them back."""
