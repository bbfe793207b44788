"""Networks that predict what is noise in a picture, and the preconditionings around them."""
