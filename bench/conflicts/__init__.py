"""How soon three stores hold what two sources agree on, under load, and whether they hold the same at the end."""
