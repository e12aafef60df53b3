"""What a person sees, drawn with rich; no screen calls the library."""
