"""How many sagas a worker runs, how long they take, and what they survive."""
