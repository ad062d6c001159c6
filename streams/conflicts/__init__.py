"""What two sources say about one entity: an echo, a later change, or a conflict, and how that is settled. Pure."""
