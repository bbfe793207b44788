"""Networks that tell what a picture shows, and their export."""
